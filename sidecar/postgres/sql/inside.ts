/** Finds the expressions, subqueries and types inside any node, however deep: for statements whose shape does not matter. */
import type { Node, RangeVar, TypeName } from '@pgsql/types';
import { expression, seen } from './expression.ts';
import { useRelation } from './relation-use.ts';
import type { Scope } from './scope.ts';
import { subquery } from './select.ts';
import { castType } from './type-name.ts';
import { firstFlow } from './value.ts';
import type { Walk } from './walk.ts';

const EXPRESSIONS = new Set([
  'ColumnRef',
  'A_Const',
  'ParamRef',
  'A_Expr',
  'FuncCall',
  'TypeCast',
  'BoolExpr',
  'NullTest',
  'BooleanTest',
  'SubLink',
  'CaseExpr',
  'CoalesceExpr',
  'MinMaxExpr',
  'RowExpr',
  'A_ArrayExpr',
  'A_Indirection',
  'SQLValueFunction',
  'SetToDefault',
  'CollateClause',
  'NamedArgExpr',
  'GroupingFunc',
  'MergeSupportFunc',
  'CurrentOfExpr',
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
  'XmlExpr',
  'XmlSerialize',
]);

/** Protected data in what it finds is refused, as used in `clause`. The node itself is only looked into. */
export function inside(walk: Walk, node: Node | object, scope: Scope, clause: string): void {
  for (const [key, child] of Object.entries(firstValue(node))) visit(walk, key, child, scope, clause);
}

/** A tagged node is `{ Tag: { … } }`; untagged ones are their fields. */
function firstValue(node: object): object {
  const [entry, ...others] = Object.entries(node);
  // The tree is JSON: what is an object there is one here.
  const inner = entry?.[1] as unknown;
  const tagged = others.length === 0 && entry !== undefined && /^[A-Z]/.test(entry[0]);
  return tagged && typeof inner === 'object' && inner !== null ? inner : node;
}

export function visit(walk: Walk, key: string, child: unknown, scope: Scope, clause: string): void {
  if (typeof child !== 'object' || child === null) return;
  if (Array.isArray(child)) {
    for (const item of child) visit(walk, '', item, scope, clause);
    return;
  }
  if (EXPRESSIONS.has(key)) {
    // The key of a tagged node is its kind.
    walk.condition(expression(walk, { [key]: child } as unknown as Node, scope), clause);
  } else if (key === 'SelectStmt') {
    const flow = firstFlow(subquery(walk, { SelectStmt: child }, scope).columns);
    if (flow) walk.refuseFlow(flow, clause);
  } else if (isTypeName(child)) {
    // Where a type is only declared, nothing is converted to it.
    if (walk.declaring) markAll(walk, child);
    else castType(walk, child);
  } else if (isRangeVar(child)) {
    useRelation(walk, child, walk.defining);
  } else {
    seen(walk, child);
    for (const [name, value] of Object.entries(child)) visit(walk, name, value, scope, clause);
  }
}

/** Only a type's name has both fields. */
function isTypeName(node: object): node is TypeName {
  return 'names' in node && 'typemod' in node;
}

/** Only a relation's name has this field. */
function isRangeVar(node: object): node is RangeVar {
  return 'relname' in node;
}

function markAll(walk: Walk, node: object): void {
  walk.seen.add(node);
  for (const child of Object.values(node) as unknown[]) {
    if (typeof child === 'object' && child !== null) markAll(walk, child);
  }
}
