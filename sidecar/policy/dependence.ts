/** Which facts a rule depends on, judged from its syntax tree; what can't be told counts as depending on all. */
import { children, type Node } from './expression.ts';
import { DYNAMIC_SQL_FACTS } from './facts.ts';

/**
 * From the most lasting to the least, with the session given: `shape` is the same for all statements that differ only in
 * their texts, `text` for all executions of one statement.
 */
export type Dependence = 'shape' | 'text' | 'dynamic';

const ORDER = { shape: 0, text: 1, dynamic: 2 } as const satisfies Record<Dependence, number>;

function ofSqlFact(name: string): Dependence {
  if (DYNAMIC_SQL_FACTS.has(name)) return 'dynamic';
  return name === 'text' ? 'text' : 'shape';
}

export function dependenceOf(node: Node): Dependence {
  if (node.op === 'id') return node.args === 'now' || node.args === 'sql' ? 'dynamic' : 'shape';
  if (node.op === '.' && node.args[0].op === 'id' && node.args[0].args === 'sql')
    return ofSqlFact(node.args[1]);
  return children(node)
    .map(dependenceOf)
    .reduce<Dependence>((most, one) => (ORDER[one] > ORDER[most] ? one : most), 'shape');
}
