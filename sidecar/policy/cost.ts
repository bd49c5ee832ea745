/**
 * What a rule may cost at worst, estimated when it loads: a unit is about one step of the evaluator (some 50 ns), and
 * the lists of facts are taken to be as long as `LENGTHS` says. Only loops inside loops can make a rule expensive.
 */
import type { RuleContext } from './facts.ts';
import { bodyOf, children, loopOf, type Node } from './expression.ts';

/** 1,000,000 units are some 50 ms. */
export const MAX_COST = 1_000_000;

const LENGTHS: ReadonlyMap<string, number> = new Map([
  ['effects', 8],
  ['access', 8],
  ['tables', 128],
  ['columns', 512],
  ['functions', 64],
  ['parameters', 1024],
  ['groups', 64],
  ['labels', 64],
  ['claims', 64],
]);
const OTHER_LENGTH = 64;

function lengthOf(name: string): number {
  return LENGTHS.get(name) ?? OTHER_LENGTH;
}

/** How many elements a list expression may have. */
function size(node: Node): number {
  switch (node.op) {
    case 'list':
    case 'map':
      return node.args.length;
    case '.':
      return lengthOf(node.args[1]);
    case '+':
      return size(node.args[0]) + size(node.args[1]);
    case '?:':
      return Math.max(size(node.args[1]), size(node.args[2]));
    case 'rcall':
      return loopOf(node) === undefined ? OTHER_LENGTH : size(node.args[1]);
    default:
      return OTHER_LENGTH;
  }
}

export function costOf(node: Node): number {
  const loop = loopOf(node);
  if (loop !== undefined) {
    const body = bodyOf(loop).reduce((sum, child) => sum + costOf(child), 1);
    return costOf(loop.args[1]) + size(loop.args[1]) * body;
  }
  const own = node.op === 'in' || node.op === '+' ? 1 + size(node.args[1]) : 1;
  return children(node).reduce((sum, child) => sum + costOf(child), own);
}

/** Whether a loop runs inside another, so that lists longer than assumed would cost more than in proportion. */
export function hasNestedLoop(node: Node, inside = false): boolean {
  const loop = loopOf(node);
  if (loop === undefined) return children(node).some((child) => hasNestedLoop(child, inside));
  if (inside) return true;
  return hasNestedLoop(loop.args[1], inside) || bodyOf(loop).some((child) => hasNestedLoop(child, true));
}

/** Whether the lists of these facts are within what the estimate took them for. */
export function withinEstimate(context: RuleContext): boolean {
  const { sql, identity } = context;
  return (
    sql.tables.length <= lengthOf('tables') &&
    sql.columns.length <= lengthOf('columns') &&
    sql.functions.length <= lengthOf('functions') &&
    sql.parameters.length <= lengthOf('parameters') &&
    identity.groups.length <= lengthOf('groups')
  );
}
