/** SELECT, VALUES, set operations and WITH: what a query gives out, and under what conditions. */
import type { Node, ResTarget, SelectStmt } from '@pgsql/types';
import { commonTables } from './common-table.ts';
import { commonType, condition, expression, oneType, starOf, unknown } from './expression.ts';
import { fromClause } from './from.ts';
import { tagOf } from './node.ts';
import { outputName } from './output-name.ts';
import { restricts } from './restriction.ts';
import { groupBy, orderBy, windowDefinition } from './select-clause.ts';
import { type Scope, childScope, mark } from './scope.ts';
import { type Flow, type Output, eitherFlow, firstFlow } from './value.ts';
import type { Walk } from './walk.ts';

export interface Result {
  readonly columns: readonly Output[];
  /** The number of columns, or which they are, is not known. */
  readonly open: boolean;
  /** Its rows are those of one relation, each at most once. */
  readonly single?: boolean;
  /** Every SELECT in it has a condition. */
  readonly restricted?: boolean;
}

export const NO_RESULT: Result = { columns: [], open: false };

/** A query inside an expression or FROM; names around it are visible. */
export function subquery(walk: Walk, node: Node, scope: Scope): Result {
  if ('SelectStmt' in node) return select(walk, node.SelectStmt, scope);
  unknown(walk, tagOf(node));
  return { columns: [], open: true };
}

export function select(walk: Walk, statement: SelectStmt, outer: Scope): Result {
  walk.step();
  walk.seen.add(statement);
  const scope = childScope(outer, outer.ctes);
  if (statement.withClause) commonTables(walk, statement.withClause, scope);
  const result =
    statement.op !== undefined && statement.op !== 'SETOP_NONE'
      ? setOperation(walk, statement, scope)
      : statement.valuesLists !== undefined && statement.valuesLists.length > 0
        ? values(walk, statement, scope)
        : simple(walk, statement, scope);
  condition(walk, statement.limitCount, scope, 'LIMIT');
  condition(walk, statement.limitOffset, scope, 'OFFSET');
  // FOR UPDATE and the like change no data, but make other sessions wait, as advisory locks do.
  if (statement.lockingClause !== undefined && statement.lockingClause.length > 0) walk.effect('session');
  return result;
}

function simple(walk: Walk, statement: SelectStmt, scope: Scope): Result {
  fromClause(walk, statement.fromClause ?? [], scope);
  condition(walk, statement.whereClause, scope, 'WHERE');
  const result = targetList(walk, statement.targetList ?? [], scope);
  const { columns } = result;
  groupBy(walk, statement.groupClause ?? [], scope, columns, 'GROUP BY');
  condition(walk, statement.havingClause, scope, 'HAVING');
  for (const node of statement.windowClause ?? []) {
    if ('WindowDef' in node) windowDefinition(walk, node.WindowDef, scope);
    else unknown(walk, tagOf(node));
  }
  orderBy(walk, statement.sortClause ?? [], scope, columns);
  distinct(walk, statement, scope, columns);
  const grouped = statement.groupClause !== undefined || statement.distinctClause !== undefined;
  return {
    ...result,
    single: scope.single && !grouped,
    restricted: statement.whereClause !== undefined && restricts(statement.whereClause),
  };
}

/** DISTINCT is `[{}]`, DISTINCT ON a list of expressions. */
function distinct(walk: Walk, statement: SelectStmt, scope: Scope, columns: readonly Output[]): void {
  const nodes = statement.distinctClause ?? [];
  if (nodes.length === 0) return;
  const keys = nodes.filter((node) => tagOf(node) !== '');
  if (keys.length > 0) groupBy(walk, keys, scope, columns, 'DISTINCT ON');
  else refuseAny(walk, columns, 'DISTINCT');
}

function refuseAny(walk: Walk, columns: readonly Output[], clause: string): void {
  const flow = firstFlow(columns);
  if (flow) walk.refuseFlow(flow, clause);
}

/** A target list, or RETURNING: stars spread out. */
export function targetList(walk: Walk, nodes: readonly Node[], scope: Scope): Result {
  const columns: Output[] = [];
  let open = false;
  for (const node of nodes) {
    if (!('ResTarget' in node) || node.ResTarget.val === undefined) {
      unknown(walk, tagOf(node));
      continue;
    }
    const star = starTarget(walk, node.ResTarget, scope);
    if (star === null) columns.push(target(walk, node.ResTarget, node.ResTarget.val, scope));
    else {
      columns.push(...star.columns);
      open ||= star.open;
    }
  }
  return { columns, open };
}

function target(walk: Walk, { name }: ResTarget, node: Node, scope: Scope): Output {
  const { flow, type, total, row } = expression(walk, node, scope);
  return { name: name ?? outputName(node), flow, type, total, row };
}

function starTarget(walk: Walk, { val }: ResTarget, scope: Scope): Result | null {
  if (val === undefined) return null;
  if ('ColumnRef' in val && val.ColumnRef.fields?.length === 1) {
    const [only] = val.ColumnRef.fields;
    if (only === undefined || !('A_Star' in only)) return null;
    walk.seen.add(val.ColumnRef);
    return spread(walk, scope);
  }
  return starOf(walk, val, scope);
}

function spread(walk: Walk, scope: Scope): Result {
  const { star } = scope;
  for (const column of star.columns) mark(walk, column);
  return star;
}

function values(walk: Walk, statement: SelectStmt, scope: Scope): Result {
  const rows: Output[][] = [];
  for (const node of statement.valuesLists ?? []) {
    if (!('List' in node)) {
      unknown(walk, tagOf(node));
      continue;
    }
    rows.push(
      (node.List.items ?? []).map((item, index) => {
        const { flow, type, total } = expression(walk, item, scope);
        return { name: `column${index + 1}`, flow, type, total };
      }),
    );
  }
  const first = rows[0] ?? [];
  const columns = first.map((output, index) => {
    if (rows.length === 1) return output;
    const all = rows.map((row) => row[index] ?? output);
    return united(walk, output.name, all, 'VALUES');
  });
  orderBy(walk, statement.sortClause ?? [], scope, columns);
  return { columns, open: false, restricted: true };
}

/** One column out of several: of the rows of VALUES, or of both sides of UNION ALL. */
export function united(walk: Walk, name: string, all: readonly Output[], what: string): Output {
  let flow: Flow | null = null;
  for (const output of all) flow = eitherFlow(flow, output.flow);
  const type = commonType(all);
  if (flow && !oneType(all, type)) walk.refuseFlow(flow, `${what} with values of different types`);
  const row = all.every((output) => output.row === all[0]?.row) ? (all[0]?.row ?? null) : null;
  return { name, flow, type, total: all.every(({ total }) => total), row };
}

function setOperation(walk: Walk, statement: SelectStmt, scope: Scope): Result {
  const left = statement.larg ? select(walk, statement.larg, scope) : NO_RESULT;
  const right = statement.rarg ? select(walk, statement.rarg, scope) : NO_RESULT;
  const result = bothSides(walk, left, right);
  if (statement.op !== 'SETOP_UNION' || statement.all !== true) {
    refuseAny(walk, result.columns, 'UNION, INTERSECT or EXCEPT: use UNION ALL');
  }
  orderBy(walk, statement.sortClause ?? [], scope, result.columns);
  return result;
}

export function bothSides(walk: Walk, left: Result, right: Result): Result {
  const restricted = left.restricted === true && right.restricted === true;
  if (left.open || right.open) {
    const all = [...left.columns, ...right.columns];
    const flow = firstFlow(all);
    if (flow) walk.refuseFlow(flow, 'UNION ALL with columns that are not known');
    return { columns: left.columns, open: true, restricted };
  }
  const columns = left.columns.map((output, index) => {
    const other = right.columns[index];
    return other === undefined ? output : united(walk, output.name, [output, other], 'UNION ALL');
  });
  return { columns, open: false, restricted };
}
