/** Which facts a rule depends on, judged from its syntax tree; what can't be told counts as depending on all. */
import { children, type Node } from './expression.ts';
import { DYNAMIC_SQL_FACTS } from './facts.ts';

/** `static`: the same for every execution of one statement in one session. */
export type Dependence = 'static' | 'dynamic';

export function dependenceOf(node: Node): Dependence {
  if (node.op === 'id') return node.args === 'now' || node.args === 'sql' ? 'dynamic' : 'static';
  if (node.op === '.' && node.args[0].op === 'id' && node.args[0].args === 'sql') {
    return DYNAMIC_SQL_FACTS.has(node.args[1]) ? 'dynamic' : 'static';
  }
  return children(node).some((child) => dependenceOf(child) === 'dynamic') ? 'dynamic' : 'static';
}
