/** Expressions: what they read and call, and where protected data in them goes. */
import type { A_Expr, A_Indirection, CaseExpr, ColumnRef, Node, SubLink, TypeCast } from '@pgsql/types';
import { functionCall, rowFunction } from './call.ts';
import { constantText, strings, tagOf } from './node.ts';
import { operation, ownOperator } from './operator.ts';
import { type Scope, findEntry, lookup, lookupIn, mark, rowValue } from './scope.ts';
import { subquery } from './select.ts';
import { inside } from './inside.ts';
import { castType } from './type-name.ts';
import {
  BOOL,
  CONSTANT,
  INT4,
  NUMERIC,
  type Output,
  PARTIAL,
  TEXT,
  type Value,
  clear,
  compatible,
  derived,
  firstFlow,
  isBuiltinType,
  isText,
  rowFlow,
} from './value.ts';
import type { Walk } from './walk.ts';

export function expression(walk: Walk, node: Node, scope: Scope): Value {
  if ('ColumnRef' in node) return columnReference(walk, node.ColumnRef, scope);
  if ('A_Const' in node) return constant(node);
  if ('ParamRef' in node) return parameter(walk, node.ParamRef.number ?? 0);
  if ('A_Expr' in node) return operation(walk, seen(walk, node.A_Expr), scope);
  if ('FuncCall' in node) return functionCall(walk, seen(walk, node.FuncCall), scope);
  if ('TypeCast' in node) return cast(walk, node.TypeCast, scope);
  if ('BoolExpr' in node) return booleans(walk, node.BoolExpr.args ?? [], scope);
  if ('NullTest' in node) return test(walk, node.NullTest.arg, scope);
  if ('BooleanTest' in node) return test(walk, node.BooleanTest.arg, scope);
  if ('SubLink' in node) return subLink(walk, seen(walk, node.SubLink), scope);
  if ('CaseExpr' in node) return caseExpression(walk, node.CaseExpr, scope);
  if ('CoalesceExpr' in node) return coalesce(walk, node.CoalesceExpr.args ?? [], scope);
  if ('MinMaxExpr' in node) return oneOf(walk, node.MinMaxExpr.args ?? [], scope, 'GREATEST or LEAST');
  if ('RowExpr' in node) return row(walk, node.RowExpr.args ?? [], scope);
  if ('A_ArrayExpr' in node)
    return { ...oneOf(walk, node.A_ArrayExpr.elements ?? [], scope, 'an array'), type: 0, row: null };
  if ('A_Indirection' in node) return indirection(walk, node.A_Indirection, scope);
  if ('List' in node) return list(walk, node.List.items ?? [], scope);
  if ('SQLValueFunction' in node) return clear(0, true);
  if ('SetToDefault' in node) return { ...CONSTANT, total: false };
  if ('CollateClause' in node) return collate(walk, node.CollateClause, scope);
  if ('NamedArgExpr' in node)
    return node.NamedArgExpr.arg ? expression(walk, node.NamedArgExpr.arg, scope) : PARTIAL;
  if ('GroupingFunc' in node) return conditions(walk, node.GroupingFunc.args, scope, 'GROUPING');
  if ('MergeSupportFunc' in node) return clear(TEXT, true);
  if ('CurrentOfExpr' in node) return clear(BOOL, false);
  if ('MultiAssignRef' in node)
    return node.MultiAssignRef.source ? expression(walk, node.MultiAssignRef.source, scope) : PARTIAL;
  const tag = tagOf(node);
  const clause = SQL_FUNCTIONS.get(tag);
  if (clause === undefined) return unknown(walk, tag);
  const { declaring } = walk;
  walk.declaring = false;
  inside(walk, node, scope, clause);
  walk.declaring = declaring;
  return PARTIAL;
}

/** The standard's own functions, with a syntax of their own each: all of them can fail. */
const SQL_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ...[
    'JsonFuncExpr',
    'JsonParseExpr',
    'JsonScalarExpr',
    'JsonSerializeExpr',
    'JsonObjectConstructor',
    'JsonArrayConstructor',
    'JsonArrayQueryConstructor',
    'JsonObjectAgg',
    'JsonArrayAgg',
    'JsonIsPredicate',
    'JsonValueExpr',
  ].map((tag): [string, string] => [tag, 'an SQL/JSON function']),
  ['XmlExpr', 'an XML function'],
  ['XmlSerialize', 'an XML function'],
]);

/** A kind of node that no one here has thought of. */
export function unknown(walk: Walk, what: string): Value {
  walk.opaque(`a ${what} node`);
  return PARTIAL;
}

export function seen<T extends object>(walk: Walk, node: T): T {
  walk.seen.add(node);
  return node;
}

/** All of them must be free of protected data. */
export function conditions(
  walk: Walk,
  nodes: readonly Node[] | undefined,
  scope: Scope,
  clause: string,
): Value {
  let total = true;
  for (const node of nodes ?? [])
    total = walk.condition(expression(walk, node, scope), clause).total && total;
  return clear(0, total);
}

export function condition(walk: Walk, node: Node | undefined, scope: Scope, clause: string): void {
  if (node) walk.condition(expression(walk, node, scope), clause);
}

function constant(node: Node): Value {
  if (!('A_Const' in node)) return PARTIAL;
  const { ival, fval, boolval, bsval } = node.A_Const;
  if (ival) return { ...CONSTANT, type: INT4 };
  if (fval) return { ...CONSTANT, type: NUMERIC };
  if (boolval) return { ...CONSTANT, type: BOOL };
  return bsval ? { ...CONSTANT, type: 1560 } : CONSTANT;
}

const PARAMETER: Value = { ...CONSTANT, long: true };

function parameter(walk: Walk, number: number): Value {
  walk.parameterCount = Math.max(walk.parameterCount, number);
  return PARAMETER;
}

function columnReference(walk: Walk, reference: ColumnRef, scope: Scope): Value {
  seen(walk, reference);
  const fields = reference.fields ?? [];
  const names = strings(fields);
  // A star outside a target list, as in count(t.*), is the row.
  const star = names.length < fields.length;
  if (star && names.length === 0) return PARTIAL;
  const column = star ? null : names.pop();
  const name = names.pop() ?? null;
  if (name === null) return lookup(walk, scope, column ?? '') ?? unresolved(walk, column ?? '');
  const entry = findEntry(scope, names.pop() ?? null, name);
  if (entry === null)
    return unresolved(walk, column === null || column === undefined ? name : `${name}.${column}`);
  if (column === null || column === undefined) return rowValue(walk, entry);
  return lookupIn(walk, entry, column) ?? rowFunction(walk, column, rowValue(walk, entry));
}

function unresolved(walk: Walk, name: string): Value {
  if (walk.masked) walk.lost(`the column ${name} was not found`, 'check the names of tables and columns');
  return PARTIAL;
}

/** AND, OR and NOT stop at the first operand that decides. */
function booleans(walk: Walk, nodes: readonly Node[], scope: Scope): Value {
  const values = nodes.map((node) => expression(walk, node, scope));
  return lazily(walk, values, BOOL, 'AND or OR');
}

/** Operands that may not be computed, by what another one is: with protected data among them, all must be total. */
export function lazily(walk: Walk, values: readonly Value[], type: number, what: string): Value {
  const flow = firstFlow(values);
  const total = values.every((value) => value.total);
  if (flow === null) return clear(type, total);
  if (!total) walk.refuseFlow(flow, `${what} beside an expression that can fail`);
  return derived(flow.column, 1, type);
}

function test(walk: Walk, node: Node | undefined, scope: Scope): Value {
  const value = node ? expression(walk, node, scope) : PARTIAL;
  return value.flow ? derived(value.flow.column, 1, BOOL) : clear(BOOL, value.total);
}

function cast(walk: Walk, { arg, typeName }: TypeCast, scope: Scope): Value {
  const value = arg ? expression(walk, arg, scope) : PARTIAL;
  const type = typeName ? castType(walk, typeName) : 0;
  const { flow } = value;
  if (flow === null) {
    const same = type !== 0 && (type === value.type || (type === TEXT && isBuiltinType(value.type)));
    // A literal either fails when the statement is planned, or never.
    const literal = arg !== undefined && 'A_Const' in arg && type !== 0;
    return {
      flow: null,
      type,
      total: value.total && (same || literal),
      constant: value.constant,
      long: value.long === true,
      row: null,
    };
  }
  if (!isText(type) || type === 18 || !(isBuiltinType(value.type) || textRow(value.row))) {
    walk.refuseFlow(flow, 'a cast that can fail');
  }
  return derived(flow.column, flow.weight * 2, type, flow.plain);
}

/** A row whose protected attributes are of built-in types: its text can always be made. */
function textRow(attributes: readonly Output[] | null): boolean {
  return attributes?.every(({ flow, type }) => flow === null || isBuiltinType(type)) ?? false;
}

function caseExpression(walk: Walk, node: CaseExpr, scope: Scope): Value {
  condition(walk, node.arg, scope, 'a CASE condition');
  if (node.arg) ownOperator(walk, null, '=');
  const results: Value[] = [];
  for (const when of node.args ?? []) {
    if (!('CaseWhen' in when)) {
      unknown(walk, tagOf(when));
      continue;
    }
    condition(walk, when.CaseWhen.expr, scope, 'a CASE condition');
    if (when.CaseWhen.result) results.push(expression(walk, when.CaseWhen.result, scope));
  }
  if (node.defresult) results.push(expression(walk, node.defresult, scope));
  return { ...unified(walk, results, 'CASE'), total: false };
}

/** Whether a later operand is computed depends on whether those before are null. */
function coalesce(walk: Walk, nodes: readonly Node[], scope: Scope): Value {
  const values = nodes.map((node) => expression(walk, node, scope));
  const first = values.findIndex(({ flow }) => flow !== null);
  const flow = values[first]?.flow;
  if (flow && values.slice(first + 1).some(({ total }) => !total)) {
    walk.refuseFlow(flow, 'COALESCE before an expression that can fail');
  }
  return unified(walk, values, 'COALESCE');
}

function oneOf(walk: Walk, nodes: readonly Node[], scope: Scope, what: string): Value {
  return unified(
    walk,
    nodes.map((node) => expression(walk, node, scope)),
    what,
  );
}

/** One of several values, brought to a common type. */
function unified(walk: Walk, values: readonly Value[], what: string): Value {
  const flow = firstFlow(values);
  const type = commonType(values);
  const total = values.every((value) => value.total);
  if (flow === null) return clear(type, total);
  if (!oneType(values, type)) walk.refuseFlow(flow, `${what} with values of different types`);
  let weight = 0;
  for (const value of values) weight += value.flow?.weight ?? 0;
  return { ...derived(flow.column, weight, type), total };
}

/** Whether the values come to their common type without a conversion that can fail. */
export function oneType(values: readonly { readonly type: number }[], type: number): boolean {
  return type !== 0 && values.every((value) => compatible(value.type, type));
}

export function commonType(values: readonly { readonly type: number }[]): number {
  let type = UNKNOWN;
  for (const value of values) {
    if (value.type === UNKNOWN || value.type === type) continue;
    if (type === UNKNOWN) type = value.type;
    else return isText(type) && isText(value.type) ? TEXT : 0;
  }
  return type;
}
const UNKNOWN = CONSTANT.type;

function row(walk: Walk, nodes: readonly Node[], scope: Scope): Value {
  const attributes: Output[] = [];
  let open = false;
  for (const [index, node] of nodes.entries()) {
    const star = starOf(walk, node, scope);
    if (star === null) {
      const value = expression(walk, node, scope);
      attributes.push({
        name: `f${index + 1}`,
        flow: value.flow,
        type: value.type,
        total: value.total,
        row: value.row,
      });
    } else {
      attributes.push(...star.columns);
      open ||= star.open;
    }
  }
  const flow = rowFlow(attributes);
  if (open && flow) walk.refuseFlow(flow, 'a row whose attributes are not known');
  return {
    flow,
    type: 0,
    total: attributes.every(({ total }) => total),
    constant: false,
    row: open ? null : attributes,
  };
}

/** What `t.*`, `*` or `(row).*` stands for; null when the node is no star. */
export function starOf(
  walk: Walk,
  node: Node,
  scope: Scope,
): { readonly columns: readonly Output[]; readonly open: boolean } | null {
  if ('A_Indirection' in node) return rowStar(walk, node.A_Indirection, scope);
  if (!('ColumnRef' in node)) return null;
  const fields = node.ColumnRef.fields ?? [];
  const last = fields.at(-1);
  if (last === undefined || !('A_Star' in last)) return null;
  seen(walk, node.ColumnRef);
  const names = strings(fields);
  const name = names.pop();
  if (name === undefined) return null;
  const entry = findEntry(scope, names.pop() ?? null, name);
  if (entry === null) {
    unresolved(walk, `${name}.*`);
    return { columns: [], open: true };
  }
  for (const column of entry.columns) mark(walk, column);
  return entry;
}

function rowStar(
  walk: Walk,
  { arg, indirection: steps = [] }: A_Indirection,
  scope: Scope,
): { readonly columns: readonly Output[]; readonly open: boolean } | null {
  const last = steps.at(-1);
  if (last === undefined || !('A_Star' in last) || arg === undefined) return null;
  const value = expression(
    walk,
    steps.length === 1 ? arg : { A_Indirection: { arg, indirection: steps.slice(0, -1) } },
    scope,
  );
  if (value.row !== null) return { columns: value.row, open: false };
  if (value.flow) walk.refuseFlow(value.flow, 'a row whose attributes are not known');
  return { columns: [], open: true };
}

/** `(row).attribute`, `array[1]`, `array[1:2]`, in steps. */
function indirection(walk: Walk, { arg, indirection: steps = [] }: A_Indirection, scope: Scope): Value {
  let value = arg ? expression(walk, arg, scope) : PARTIAL;
  for (const step of steps) {
    if ('String' in step) value = attribute(walk, value, step.String.sval ?? '');
    else if ('A_Indices' in step) {
      const { lidx, uidx } = step.A_Indices;
      condition(walk, lidx, scope, 'a subscript');
      condition(walk, uidx, scope, 'a subscript');
      value = value.flow ? derived(value.flow.column, value.flow.weight, 0) : clear(0, value.total);
    } else if ('A_Star' in step) {
      if (value.flow) walk.refuseFlow(value.flow, 'a row that is expanded here');
      value = PARTIAL;
    } else value = unknown(walk, tagOf(step));
  }
  return value;
}

function attribute(walk: Walk, value: Value, name: string): Value {
  const found = value.row?.find((candidate) => candidate.name === name);
  if (found)
    return {
      flow: found.flow,
      type: found.type,
      total: found.total,
      constant: false,
      row: found.row ?? null,
    };
  // Of a row that is known it must be a function; of any other, an attribute or a function.
  if (value.row !== null) return rowFunction(walk, name, value);
  if (value.flow === null) return rowFunction(walk, name, value);
  return derived(value.flow.column, value.flow.weight, 0);
}

function list(walk: Walk, nodes: readonly Node[], scope: Scope): Value {
  const values = nodes.map((node) => expression(walk, node, scope));
  const flow = firstFlow(values);
  const total = values.every((value) => value.total);
  return flow ? { ...derived(flow.column, 1, 0), total } : clear(commonType(values), total);
}

function collate(walk: Walk, { arg, collname }: { arg?: Node; collname?: Node[] }, scope: Scope): Value {
  const value = arg ? expression(walk, arg, scope) : PARTIAL;
  const names = strings(collname);
  return names.length > 0 ? { ...value, constant: false } : value;
}

function subLink(walk: Walk, node: SubLink, scope: Scope): Value {
  condition(walk, node.testexpr, scope, 'a comparison with a subquery');
  operatorOfSubLink(walk, node, scope);
  const result = node.subselect ? subquery(walk, node.subselect, scope) : { columns: [], open: true };
  const first = result.columns[0];
  switch (node.subLinkType) {
    case 'EXISTS_SUBLINK':
      return clear(BOOL, false);
    case 'EXPR_SUBLINK':
    case 'MULTIEXPR_SUBLINK':
      return scalar(result.columns);
    case 'ARRAY_SUBLINK':
      if (!first?.flow) return clear(0, false);
      return { ...derived(first.flow.column, first.flow.weight, 0), total: false };
    default: {
      const flow = firstFlow(result.columns);
      if (flow) walk.refuseFlow(flow, 'a comparison with a subquery');
      return clear(BOOL, false);
    }
  }
}

function operatorOfSubLink(walk: Walk, node: SubLink, scope: Scope): void {
  if (node.operName === undefined) {
    if (node.testexpr) operation(walk, EQUALS, scope);
  } else operation(walk, { kind: 'AEXPR_OP', name: node.operName }, scope);
}
/** `x IN (SELECT …)` compares by the operator of this name. */
const EQUALS: A_Expr = { kind: 'AEXPR_OP', name: [{ String: { sval: '=' } }] };

function scalar(columns: readonly Output[]): Value {
  const [first] = columns;
  if (first === undefined) return PARTIAL;
  // (a, b) = (SELECT …): each gets its own column, but any of them may be protected.
  const flow = columns.length > 1 ? firstFlow(columns) : first.flow;
  return { flow, type: first.type, total: false, constant: false, row: first.row ?? null };
}

/** Whether a literal is a non-null text: the key of a json object, say. */
export function isTextConstant(node: Node): boolean {
  if ('TypeCast' in node) return node.TypeCast.arg !== undefined && isTextConstant(node.TypeCast.arg);
  return constantText(node) !== null;
}
