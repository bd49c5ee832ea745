/** FROM: what its items are called, which columns they have, and in what order `*` gives them. */
import type {
  Alias,
  JoinExpr,
  JsonTable,
  Node,
  RangeFunction,
  RangeSubselect,
  RangeTableFunc,
  RangeVar,
} from '@pgsql/types';
import { condition, conditions, unknown } from './expression.ts';
import { inside } from './inside.ts';
import { qualifiedName, strings, tagOf } from './node.ts';
import { outputName } from './output-name.ts';
import { ownOperator } from './operator.ts';
import { useRelation } from './relation-use.ts';
import { type RangeEntry, type Scope, type ScopeColumn, childScope, findCommonTable, mark } from './scope.ts';
import { type Result, subquery } from './select.ts';
import { castType } from './type-name.ts';
import { type Output, eitherFlow } from './value.ts';
import type { Walk } from './walk.ts';

export interface Item {
  readonly columns: readonly ScopeColumn[];
  readonly open: boolean;
  readonly single: boolean;
}

/** Puts the items into the scope, one after the other: each may see those before it. */
export function fromClause(walk: Walk, nodes: readonly Node[], scope: Scope): void {
  const [only] = nodes;
  if (only !== undefined && nodes.length === 1) {
    const item = fromItem(walk, only, scope);
    scope.star = item;
    scope.single = item.single;
    return;
  }
  const columns: ScopeColumn[] = [];
  let open = false;
  for (const node of nodes) {
    const item = fromItem(walk, node, scope);
    columns.push(...item.columns);
    open ||= item.open;
  }
  scope.star = { columns, open };
}

export function fromItem(walk: Walk, node: Node, scope: Scope): Item {
  if ('RangeVar' in node) return namedRelation(walk, node.RangeVar, scope);
  if ('JoinExpr' in node) return join(walk, node.JoinExpr, scope);
  if ('RangeSubselect' in node) return subselect(walk, node.RangeSubselect, scope);
  if ('RangeFunction' in node) return functions(walk, node.RangeFunction, scope);
  if ('RangeTableSample' in node) return sample(walk, node.RangeTableSample, scope);
  if ('RangeTableFunc' in node) return xmlTable(walk, node.RangeTableFunc, scope);
  if ('JsonTable' in node) return jsonTable(walk, node.JsonTable, scope);
  unknown(walk, tagOf(node));
  return enter(scope, { name: '', schema: null, columns: [], open: true, relation: null }, undefined, false);
}

/** Adds an entry under its alias, columns renamed. */
export function enter(scope: Scope, entry: RangeEntry, alias: Alias | undefined, single: boolean): Item {
  const renamed = alias === undefined ? entry : aliased(entry, alias);
  scope.entries.push(renamed);
  return { columns: renamed.columns, open: renamed.open, single };
}

function aliased(entry: RangeEntry, { aliasname, colnames }: Alias): RangeEntry {
  const names = strings(colnames);
  const columns =
    names.length === 0 ? entry.columns : entry.columns.map((column, index) => rename(column, names[index]));
  return { ...entry, name: aliasname ?? entry.name, schema: null, columns };
}

/** Under another name it is still a read of the table's column, which is marked at once. */
function rename(column: ScopeColumn, name: string | undefined): ScopeColumn {
  return name === undefined || name === column.name
    ? column
    : { ...column, name, origin: column.origin ?? column.name };
}

function namedRelation(walk: Walk, variable: RangeVar, scope: Scope): Item {
  const name = variable.relname ?? '';
  const cte = variable.schemaname === undefined ? findCommonTable(scope.ctes, name) : null;
  if (cte) {
    walk.seen.add(variable);
    const { columns, open } = cte.outputs();
    return enter(
      scope,
      { name, schema: null, columns: own(columns), open, relation: null },
      variable.alias,
      false,
    );
  }
  const { relation, columns, open } = useRelation(walk, variable, 'read');
  walk.effect('read');
  const schema = relation?.schema ?? variable.schemaname ?? null;
  const single = relation !== null && relation.kind !== 'view';
  return enter(scope, { name, schema, columns, open, relation }, variable.alias, single);
}

const own = (columns: readonly Output[]): readonly ScopeColumn[] =>
  columns.map((column) => ({ ...column, table: null }));

function subselect(walk: Walk, node: RangeSubselect, scope: Scope): Item {
  // Not LATERAL: the items beside it are not visible, those of queries around are.
  const outer = node.lateral === true ? scope : childScope(scope.parent, scope.ctes);
  const result: Result = node.subquery ? subquery(walk, node.subquery, outer) : { columns: [], open: true };
  const entry = { name: '', schema: null, columns: own(result.columns), open: result.open, relation: null };
  return enter(scope, entry, node.alias, result.single === true);
}

function join(walk: Walk, node: JoinExpr, scope: Scope): Item {
  const start = scope.entries.length;
  const left = node.larg ? fromItem(walk, node.larg, scope) : EMPTY;
  const right = node.rarg ? fromItem(walk, node.rarg, scope) : EMPTY;
  const using = node.isNatural === true ? common(walk, left, right) : strings(node.usingClause);
  if (using.length > 0) ownOperator(walk, null, '=');
  const merged = using.map((name) => mergedColumn(walk, name, left, right, node.isNatural === true));
  if (node.quals) {
    const visible = { ...scope, entries: scope.entries.slice(start) };
    condition(walk, node.quals, joinScope(visible, scope, start), 'JOIN ON');
  }
  const rest = (item: Item) => item.columns.filter(({ name }) => !using.includes(name));
  const columns = [...merged, ...rest(left), ...rest(right)];
  const open = left.open || right.open;
  if (node.join_using_alias) {
    scope.entries.push({
      name: node.join_using_alias.aliasname ?? '',
      schema: null,
      columns: merged,
      open: false,
      relation: null,
    });
  }
  if (node.alias === undefined) return { columns, open, single: false };
  // The alias hides what is inside.
  scope.entries.length = start;
  return enter(scope, { name: '', schema: null, columns, open, relation: null }, node.alias, false);
}

const EMPTY: Item = { columns: [], open: true, single: false };

/** A join's condition sees its own sides first. */
function joinScope(visible: Scope, scope: Scope, start: number): Scope {
  return start === 0 ? scope : { ...visible, parent: { ...scope, entries: scope.entries.slice(0, start) } };
}

function common(walk: Walk, left: Item, right: Item): string[] {
  const names = new Set(right.columns.map(({ name }) => name));
  if ((left.open || right.open) && walk.masked) walk.lost('a NATURAL JOIN of columns that are not known');
  return left.columns.filter(({ name }) => names.has(name)).map(({ name }) => name);
}

function mergedColumn(walk: Walk, name: string, left: Item, right: Item, natural: boolean): ScopeColumn {
  const sides = [...left.columns, ...right.columns].filter((column) => column.name === name);
  let flow = null;
  for (const column of sides) {
    flow = eitherFlow(flow, column.flow);
    mark(walk, column);
  }
  if (flow) walk.refuseFlow(flow, natural ? 'NATURAL JOIN' : 'JOIN USING');
  const [first] = sides;
  const type = sides.every((column) => column.type === first?.type) ? (first?.type ?? 0) : 0;
  return { name, flow, type, total: sides.every(({ total }) => total), table: null };
}

function functions(walk: Walk, node: RangeFunction, scope: Scope): Item {
  walk.effect('read');
  const columns: ScopeColumn[] = [];
  let open = false;
  const lists = (node.functions ?? []).map((item) => ('List' in item ? (item.List.items ?? []) : [item]));
  for (const [call, definitions] of lists) {
    if (call === undefined) continue;
    conditions(walk, [call], scope, 'a function in FROM');
    const defined = definedColumns(
      walk,
      definitions !== undefined && 'List' in definitions ? definitions.List.items : node.coldeflist,
    );
    if (defined.length > 0) columns.push(...defined);
    else {
      const known = functionColumns(call, node.alias);
      columns.push(...known.columns);
      open ||= known.open;
    }
  }
  if (node.ordinality === true) columns.push(plainColumn('ordinality', 20));
  const name = lists[0]?.[0] ? outputName(lists[0][0]) : '';
  return enter(scope, { name, schema: null, columns, open, relation: null }, node.alias, false);
}

const plainColumn = (name: string, type: number): ScopeColumn => ({
  name,
  flow: null,
  type,
  total: true,
  table: null,
});

function definedColumns(walk: Walk, nodes: readonly Node[] | undefined): ScopeColumn[] {
  const columns: ScopeColumn[] = [];
  for (const node of nodes ?? []) {
    if (!('ColumnDef' in node)) unknown(walk, tagOf(node));
    else
      columns.push(
        plainColumn(
          node.ColumnDef.colname ?? '',
          node.ColumnDef.typeName ? castType(walk, node.ColumnDef.typeName) : 0,
        ),
      );
  }
  return columns;
}

/** Functions of pg_catalog that give exactly one column, named like the function (or its alias) unless said otherwise. */
const ONE_COLUMN: ReadonlyMap<string, string | null> = new Map([
  ['generate_series', null],
  ['generate_subscripts', null],
  ['regexp_split_to_table', null],
  ['regexp_matches', null],
  ['string_to_table', null],
  ['json_array_elements', 'value'],
  ['jsonb_array_elements', 'value'],
  ['json_array_elements_text', 'value'],
  ['jsonb_array_elements_text', 'value'],
  ['json_object_keys', null],
  ['jsonb_object_keys', null],
]);

function functionColumns(call: Node, alias: Alias | undefined): { columns: ScopeColumn[]; open: boolean } {
  if (!('FuncCall' in call))
    return { columns: [plainColumn(alias?.aliasname ?? outputName(call), 0)], open: false };
  const { name } = qualifiedName(call.FuncCall.funcname);
  const column = ONE_COLUMN.get(name);
  if (column !== undefined)
    return { columns: [plainColumn(column ?? alias?.aliasname ?? name, 0)], open: false };
  // Whatever it gives, nothing of it is protected: its arguments are not.
  return { columns: strings(alias?.colnames).map((given) => plainColumn(given, 0)), open: true };
}

function sample(
  walk: Walk,
  node: { relation?: Node; method?: Node[]; args?: Node[]; repeatable?: Node },
  scope: Scope,
): Item {
  const item = node.relation ? fromItem(walk, node.relation, scope) : EMPTY;
  conditions(walk, node.args, scope, 'TABLESAMPLE');
  condition(walk, node.repeatable, scope, 'TABLESAMPLE');
  const { schema, name } = qualifiedName(node.method);
  const builtin = (schema === null || schema === 'pg_catalog') && (name === 'system' || name === 'bernoulli');
  if (!builtin) walk.opaque(`the sampling method ${name}`);
  return item;
}

function xmlTable(walk: Walk, node: RangeTableFunc, scope: Scope): Item {
  walk.effect('read');
  inside(walk, { ...node, alias: undefined, columns: node.columns }, scope, 'XMLTABLE');
  const columns = (node.columns ?? []).flatMap((column) =>
    'RangeTableFuncCol' in column ? [plainColumn(column.RangeTableFuncCol.colname ?? '', 0)] : [],
  );
  return enter(
    scope,
    { name: 'xmltable', schema: null, columns, open: false, relation: null },
    node.alias,
    false,
  );
}

function jsonTable(walk: Walk, node: JsonTable, scope: Scope): Item {
  walk.effect('read');
  inside(walk, { ...node, alias: undefined }, scope, 'JSON_TABLE');
  const columns = jsonColumns(node.columns ?? []);
  return enter(
    scope,
    { name: 'json_table', schema: null, columns, open: false, relation: null },
    node.alias,
    false,
  );
}

function jsonColumns(nodes: readonly Node[]): ScopeColumn[] {
  return nodes.flatMap((node) => {
    if (!('JsonTableColumn' in node)) return [];
    const { coltype, name, columns } = node.JsonTableColumn;
    return coltype === 'JTC_NESTED' ? jsonColumns(columns ?? []) : [plainColumn(name ?? '', 0)];
  });
}
