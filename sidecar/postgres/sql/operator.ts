/** Operators: whose code they run, and whether they let protected data through without a chance to fail. */
import type { A_Expr, Node } from '@pgsql/types';
import { totalOperator } from '../catalog/builtin-functions.ts';
import { expression, lazily } from './expression.ts';
import { qualifiedName } from './node.ts';
import type { Scope } from './scope.ts';
import {
  BOOL,
  JSONB,
  TEXT,
  UNKNOWN_TYPE,
  type Value,
  clear,
  compatible,
  derived,
  firstFlow,
  isText,
} from './value.ts';
import type { Walk } from './walk.ts';
import { grow } from './growth.ts';

/** Their right side is a key: an untyped literal is a text. */
const FIELD_OF = new Set(['->', '->>']);
const COMPARISONS = new Set(['=', '<>', '!=', '<', '<=', '>', '>=']);

export function operation(walk: Walk, node: A_Expr, scope: Scope): Value {
  const { kind } = node;
  if (kind?.includes('BETWEEN') === true) return between(walk, node, scope);
  const { schema, name } = qualifiedName(node.name);
  ownOperator(walk, schema, name);
  const left = operand(walk, node.lexpr, scope);
  const right = operand(walk, node.rexpr, scope);
  switch (kind) {
    case 'AEXPR_OP':
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT':
      return binary(walk, kind === 'AEXPR_OP' ? name : '=', left, right);
    case 'AEXPR_NULLIF': {
      const compared = binary(walk, '=', left, right);
      return left?.flow
        ? derived(left.flow.column, left.flow.weight, left.type)
        : { ...compared, type: left?.type ?? 0 };
    }
    case 'AEXPR_IN':
      return member(walk, name, left, node.rexpr, right);
    case 'AEXPR_OP_ANY':
    case 'AEXPR_OP_ALL':
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
    case 'AEXPR_SIMILAR':
      return failing(walk, [left, right], name);
    default:
      walk.opaque(`an operator of kind ${String(kind)}`);
      return clear(0, false);
  }
}

function operand(walk: Walk, node: Node | undefined, scope: Scope): Value | undefined {
  return node === undefined ? undefined : expression(walk, node, scope);
}

/** An operator outside pg_catalog runs someone's function. */
export function ownOperator(walk: Walk, schema: string | null, name: string): void {
  if (schema === 'pg_catalog' || (schema === null && walk.definition)) return;
  if (walk.changed.everything || (schema === null && walk.changed.path) || walk.changed.names.has(name)) {
    walk.opaque(`the operator ${name}`);
    return;
  }
  const own = walk.catalog.hasUserOperator(name);
  if (own === undefined) walk.need({ kind: 'operator', name });
  else if (own) walk.opaque(`the operator ${name}`);
}

function failing(walk: Walk, values: readonly (Value | undefined)[], name: string): Value {
  const flow = firstFlow(values.filter((value) => value !== undefined));
  if (flow) walk.refuseFlow(flow, `the operator ${name}`);
  return clear(0, false);
}

/** The type that an operand counts as: an untyped literal takes the other side's. */
function asType(value: Value, other: Value): number {
  return value.type === UNKNOWN_TYPE && value.constant ? other.type : value.type;
}

function binary(walk: Walk, name: string, left: Value | undefined, right: Value | undefined): Value {
  if (left === undefined || right === undefined) return failing(walk, [left, right], name);
  const rightType = FIELD_OF.has(name) ? right.type : asType(right, left);
  const total =
    left.row === null && right.row === null && totalOperator(name, asType(left, right), rightType);
  const type = COMPARISONS.has(name) ? BOOL : resultType(name, left.type, right.type);
  const flow = firstFlow([left, right]);
  if (flow === null) return clear(type, total && left.total && right.total);
  if (!total) walk.refuseFlow(flow, `the operator ${name}`);
  if (name !== '||') return derived(flow.column, 1, type);
  return grow(walk, [left, right], 1, type, 'the operator ||');
}

function resultType(name: string, left: number, right: number): number {
  if (name === '->>') return left === JSONB ? TEXT : 0;
  if (name === '->') return left === JSONB ? JSONB : 0;
  if (name === '||') return isText(left) && isText(right) ? TEXT : 0;
  return left === right && left !== UNKNOWN_TYPE ? left : 0;
}

/** `x IN (a, b)` compares one after the other until one is equal. */
function member(
  walk: Walk,
  name: string,
  left: Value | undefined,
  listNode: Node | undefined,
  right: Value | undefined,
): Value {
  if (left === undefined || right === undefined) return failing(walk, [left, right], name);
  if (left.flow === null && right.flow === null) return clear(BOOL, false);
  const items = listNode !== undefined && 'List' in listNode ? (listNode.List.items ?? []) : [];
  const constants = items.every((item) => 'A_Const' in item || 'ParamRef' in item);
  if (!constants || left.flow === null || !compatible(left.type, right.type) || left.row !== null) {
    return failing(walk, [left, right], 'IN');
  }
  return binary(walk, '=', left, { ...right, constant: true });
}

function between(walk: Walk, node: A_Expr, scope: Scope): Value {
  ownOperator(walk, null, '>=');
  ownOperator(walk, null, '<=');
  const value = operand(walk, node.lexpr, scope);
  const bounds = node.rexpr !== undefined && 'List' in node.rexpr ? (node.rexpr.List.items ?? []) : [];
  const parts = bounds.map((bound) => expression(walk, bound, scope));
  if (value === undefined || bounds.length !== 2) return failing(walk, [value, ...parts], 'BETWEEN');
  const compared = parts.map((part) => binary(walk, '<=', value, part));
  return lazily(walk, compared, BOOL, 'BETWEEN');
}
