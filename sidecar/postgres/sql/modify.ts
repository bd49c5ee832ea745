/** INSERT, UPDATE, DELETE and MERGE: what they change, under what conditions, and what RETURNING gives out. */
import type {
  DeleteStmt,
  InsertStmt,
  MergeStmt,
  MergeWhenClause,
  Node,
  OnConflictClause,
  RangeVar,
  ResTarget,
  ReturningClause,
  UpdateStmt,
} from '@pgsql/types';
import type { Access } from '../../operation.ts';
import { commonTables } from './common-table.ts';
import { condition, expression, unknown } from './expression.ts';
import { enter, fromItem } from './from.ts';
import { tagOf } from './node.ts';
import { type Change, changeRelation } from './oracle.ts';
import { type Used, useRelation } from './relation-use.ts';
import { restricts } from './restriction.ts';
import { type Scope, type ScopeColumn, childScope } from './scope.ts';
import { NO_RESULT, type Result, select, targetList } from './select.ts';
import { firstFlow } from './value.ts';
import { type Walk, relationName } from './walk.ts';

export function isModification(node: Node): boolean {
  return 'InsertStmt' in node || 'UpdateStmt' in node || 'DeleteStmt' in node || 'MergeStmt' in node;
}

/** `INSERT`, `UPDATE`, … */
export const commandOf = (node: Node): string => tagOf(node).replace(/Stmt$/, '').toUpperCase();

/** Gives what RETURNING does. */
export function dataModification(walk: Walk, node: Node, outer: Scope): Result {
  walk.runs(commandOf(node));
  if ('InsertStmt' in node) return insert(walk, node.InsertStmt, level(walk, node.InsertStmt, outer));
  if ('UpdateStmt' in node) return update(walk, node.UpdateStmt, level(walk, node.UpdateStmt, outer));
  if ('DeleteStmt' in node) return remove(walk, node.DeleteStmt, level(walk, node.DeleteStmt, outer));
  if ('MergeStmt' in node) return merge(walk, node.MergeStmt, level(walk, node.MergeStmt, outer));
  unknown(walk, tagOf(node));
  return { columns: [], open: true };
}

function level(walk: Walk, statement: Pick<InsertStmt, 'withClause'>, outer: Scope): Scope {
  const scope = childScope(outer, outer.ctes);
  if (statement.withClause) commonTables(walk, statement.withClause, scope);
  return scope;
}

interface Target {
  readonly used: Used;
  readonly columns: readonly ScopeColumn[];
}

function enterTarget(walk: Walk, variable: RangeVar | undefined, access: Access, scope: Scope): Target {
  const used = useRelation(walk, variable ?? {}, access);
  const { relation, columns, open } = used;
  const name = variable?.relname ?? '';
  const schema = relation?.schema ?? null;
  const item = enter(scope, { name, schema, columns, open, relation }, variable?.alias, true);
  return { used, columns: item.columns };
}

function change(walk: Walk, { relation }: Used, kind: Change, assigned: readonly string[]): void {
  if (relation === null) return;
  for (const name of assigned) walk.column(relationName(relation), name, 'write');
  changeRelation(walk, relation, kind, new Set(assigned));
}

function insert(walk: Walk, statement: InsertStmt, scope: Scope): Result {
  walk.effect('write');
  const inner = childScope(scope.parent, scope.ctes);
  const target = enterTarget(walk, statement.relation, 'write', inner);
  const result = source(walk, statement.selectStmt, scope);
  const flow = firstFlow(result.columns);
  if (flow) walk.refuseFlow(flow, 'the values of INSERT');
  const named = assignedNames(walk, statement.cols ?? [], inner);
  const count = result.open ? target.columns.length : result.columns.length;
  const assigned = named.length > 0 ? named : target.used.columns.slice(0, count).map(({ name }) => name);
  change(walk, target.used, 'insert', assigned);
  if (statement.onConflictClause) onConflict(walk, statement.onConflictClause, target, inner);
  return returning(walk, statement.returningClause, inner, target, target.columns);
}

function source(walk: Walk, node: Node | undefined, scope: Scope): Result {
  if (node === undefined) return NO_RESULT;
  if ('SelectStmt' in node) return select(walk, node.SelectStmt, scope);
  unknown(walk, tagOf(node));
  return { columns: [], open: true };
}

function assignedNames(walk: Walk, nodes: readonly Node[], scope: Scope): string[] {
  const names: string[] = [];
  for (const node of nodes) {
    if (!('ResTarget' in node)) unknown(walk, tagOf(node));
    else names.push(assignedName(walk, node.ResTarget, scope));
  }
  return names;
}

/** A subscript on the left side is an expression too. */
function assignedName(walk: Walk, { name, indirection }: ResTarget, scope: Scope): string {
  for (const step of indirection ?? []) {
    if (!('A_Indices' in step)) continue;
    condition(walk, step.A_Indices.lidx, scope, 'a subscript');
    condition(walk, step.A_Indices.uidx, scope, 'a subscript');
  }
  return name ?? '';
}

/** The columns of EXCLUDED hold what the client sends. */
function onConflict(walk: Walk, clause: OnConflictClause, target: Target, scope: Scope): void {
  conflictTarget(walk, clause, target, scope);
  if (clause.action !== 'ONCONFLICT_UPDATE') return;
  const inner = childScope(scope.parent, scope.ctes);
  const excluded = target.used.columns.map((column) => ({ ...column, flow: null, table: null }));
  inner.entries = [
    ...scope.entries,
    { name: 'excluded', schema: null, columns: excluded, open: target.used.open, relation: null },
  ];
  assign(walk, clause.targetList ?? [], target, inner);
  condition(walk, clause.whereClause, inner, 'WHERE of ON CONFLICT');
}

function conflictTarget(walk: Walk, { infer }: OnConflictClause, { used }: Target, scope: Scope): void {
  for (const node of infer?.indexElems ?? []) {
    if (!('IndexElem' in node)) {
      unknown(walk, tagOf(node));
      continue;
    }
    const { name, expr } = node.IndexElem;
    condition(walk, expr, scope, 'ON CONFLICT');
    const flow = used.columns.find((column) => column.name === name)?.flow;
    if (flow) walk.refuseFlow(flow, 'ON CONFLICT');
  }
  condition(walk, infer?.whereClause, scope, 'ON CONFLICT');
  const constraint = used.relation?.constraints.find(({ name }) => name === infer?.conname);
  const numbers = new Set(constraint?.columns);
  const names = new Set(
    used.relation?.columns.filter(({ number }) => numbers.has(number)).map(({ name }) => name),
  );
  const flow = used.columns.find((column) => names.has(column.name) && column.flow)?.flow;
  if (flow) walk.refuseFlow(flow, 'ON CONFLICT');
}

/** SET: no protected data may be written anywhere, from where it could be read back. */
function assign(walk: Walk, nodes: readonly Node[], target: Target, scope: Scope): void {
  const assigned = assignedNames(walk, nodes, scope);
  for (const node of nodes) {
    if (!('ResTarget' in node) || node.ResTarget.val === undefined) continue;
    const { flow } = expression(walk, node.ResTarget.val, scope);
    if (flow) walk.refuseFlow(flow, 'SET');
  }
  change(walk, target.used, 'update', assigned);
}

function update(walk: Walk, statement: UpdateStmt, scope: Scope): Result {
  walk.effect('write');
  const target = enterTarget(walk, statement.relation, 'write', scope);
  const columns = [...target.columns, ...others(walk, statement.fromClause ?? [], scope)];
  restricted(walk, statement.whereClause, scope, 'WHERE');
  assign(walk, statement.targetList ?? [], target, scope);
  return returning(walk, statement.returningClause, scope, target, columns);
}

function remove(walk: Walk, statement: DeleteStmt, scope: Scope): Result {
  walk.effect('delete');
  const target = enterTarget(walk, statement.relation, 'delete', scope);
  const columns = [...target.columns, ...others(walk, statement.usingClause ?? [], scope)];
  restricted(walk, statement.whereClause, scope, 'WHERE');
  change(walk, target.used, 'delete', []);
  return returning(walk, statement.returningClause, scope, target, columns);
}

function others(walk: Walk, nodes: readonly Node[], scope: Scope): readonly ScopeColumn[] {
  const columns: ScopeColumn[] = [];
  for (const node of nodes) {
    const item = fromItem(walk, node, scope);
    columns.push(...item.columns);
    if (item.open) columns.push(UNKNOWN_REST);
  }
  return columns;
}

/** Stands for columns that are not known. */
const UNKNOWN_REST: ScopeColumn = { name: '', flow: null, type: 0, total: false, table: null };

function restricted(walk: Walk, where: Node | undefined, scope: Scope, clause: string): void {
  walk.modifies = true;
  if (where === undefined || !restricts(where)) walk.unconditional = true;
  condition(walk, where, scope, clause);
}

function merge(walk: Walk, statement: MergeStmt, scope: Scope): Result {
  const clauses: MergeWhenClause[] = [];
  for (const node of statement.mergeWhenClauses ?? []) {
    if ('MergeWhenClause' in node) clauses.push(node.MergeWhenClause);
    else unknown(walk, tagOf(node));
  }
  const deletes = clauses.some(({ commandType }) => commandType === 'CMD_DELETE');
  const writes = clauses.some(
    ({ commandType }) => commandType === 'CMD_INSERT' || commandType === 'CMD_UPDATE',
  );
  const target = enterTarget(walk, statement.relation, writes || !deletes ? 'write' : 'delete', scope);
  if (deletes) mergeDeletes(walk, target.used);
  if (writes) walk.effect('write');
  const sources = others(walk, statement.sourceRelation ? [statement.sourceRelation] : [], scope);
  restricted(walk, statement.joinCondition, scope, 'the ON of MERGE');
  for (const clause of clauses) mergeClause(walk, clause, target, scope);
  return returning(walk, statement.returningClause, scope, target, [...sources, ...target.columns]);
}

function mergeDeletes(walk: Walk, used: Used): void {
  walk.effect('delete');
  if (used.relation !== null) walk.table(relationName(used.relation), 'delete', false);
  change(walk, used, 'delete', []);
}

function mergeClause(walk: Walk, clause: MergeWhenClause, target: Target, scope: Scope): void {
  condition(walk, clause.condition, scope, 'WHEN');
  if (clause.commandType === 'CMD_UPDATE') assign(walk, clause.targetList ?? [], target, scope);
  if (clause.commandType !== 'CMD_INSERT') return;
  const values = (clause.values ?? []).map((node) => expression(walk, node, scope));
  const flow = firstFlow(values);
  if (flow) walk.refuseFlow(flow, 'the values of MERGE');
  const named = assignedNames(walk, clause.targetList ?? [], scope);
  const all = target.used.columns.slice(0, values.length).map(({ name }) => name);
  change(walk, target.used, 'insert', named.length > 0 ? named : all);
}

function returning(
  walk: Walk,
  clause: ReturningClause | undefined,
  outer: Scope,
  target: Target,
  star: readonly ScopeColumn[],
): Result {
  if (clause === undefined) return NO_RESULT;
  walk.effect('read');
  const { used } = target;
  const scope = childScope(outer.parent, outer.ctes);
  const version = (name: string) => ({
    name,
    schema: null,
    columns: used.columns,
    open: used.open,
    relation: used.relation,
  });
  const { before, after } = versionNames(walk, clause);
  scope.entries = [...outer.entries, version(before), version(after)];
  scope.star = { columns: star, open: used.open || star.includes(UNKNOWN_REST) };
  return targetList(walk, clause.exprs ?? [], scope);
}

function versionNames(walk: Walk, clause: ReturningClause): { before: string; after: string } {
  let [before, after] = ['old', 'new'];
  for (const node of clause.options ?? []) {
    if (!('ReturningOption' in node)) unknown(walk, tagOf(node));
    else if (node.ReturningOption.option === 'RETURNING_OPTION_OLD')
      before = node.ReturningOption.value ?? before;
    else after = node.ReturningOption.value ?? after;
  }
  return { before, after };
}
