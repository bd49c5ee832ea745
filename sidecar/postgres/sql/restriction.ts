/** Whether a condition can leave rows out: one without a column, or with an arm that is always true, cannot. */
import type { Node } from '@pgsql/types';

export function restricts(node: Node): boolean {
  if ('BoolExpr' in node) {
    const args = node.BoolExpr.args ?? [];
    return node.BoolExpr.boolop === 'OR_EXPR' ? args.every(restricts) : args.some(restricts);
  }
  if ('CurrentOfExpr' in node) return true;
  if (alwaysEqual(node)) return false;
  return hasColumn(node);
}

/** `x = x`. */
function alwaysEqual(node: Node): boolean {
  if (!('A_Expr' in node)) return false;
  const { lexpr, rexpr } = node.A_Expr;
  return lexpr !== undefined && rexpr !== undefined && withoutPlace(lexpr) === withoutPlace(rexpr);
}

function withoutPlace(node: Node): string {
  return JSON.stringify(node, (key, value: unknown) => (key === 'location' ? undefined : value));
}

function hasColumn(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some(hasColumn);
  return 'ColumnRef' in value || Object.values(value).some(hasColumn);
}
