/**
 * Type checks beyond the library's, on a checked tree: `has()` on a fact that does not exist, facts picked by a computed
 * name, and what a rule gives.
 */
import { checkedType, children, walk, type Node } from './expression.ts';
import { FACT_NAMES, FACT_TYPES } from './facts.ts';
import { positionOf, type ExpressionProblem } from './problem.ts';
import { closest } from './suggest.ts';

const FIELDS: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map(Object.entries(FACT_TYPES));

/** Names of the fields of a declared type, or undefined when it is none. */
function fieldNames(type: string): readonly string[] | undefined {
  const fields = FIELDS.get(type);
  return fields === undefined ? undefined : Object.keys(fields);
}

function fieldType(type: string, name: string): string | undefined {
  const fields = FIELDS.get(type);
  return fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** `No such key` and the like, in the words of facts. */
export function unknownField(node: Node, type: string, name: string): ExpressionProblem {
  const suggestion = closest(name, fieldNames(type) ?? []);
  const place = positionOf(node.input, node.pos);
  const message = `unknown fact '${name}' of ${type === 'Sql' ? 'sql' : type.toLowerCase()}`;
  return suggestion === undefined ? { ...place, message } : { ...place, message, suggestion };
}

/** The type of a path inside `has()`, which the library's checker does not look into. */
function pathType(node: Node): string | ExpressionProblem | undefined {
  if (node.op !== '.') return node.op === 'id' ? (checkedType(node) ?? FACT_NAMES.get(node.args)) : undefined;
  const below = pathType(node.args[0]);
  if (typeof below !== 'string') return below;
  if (FIELDS.has(below)) return fieldType(below, node.args[1]) ?? unknownField(node, below, node.args[1]);
  if (below.startsWith('map<string, ')) return below.slice('map<string, '.length, -1);
  if (below === 'dyn') return below;
  const place = positionOf(node.input, node.pos);
  return { ...place, message: `'${node.args[1]}': a ${below} has no fields` };
}

function hasProblem(node: Node): ExpressionProblem | undefined {
  if (node.op !== 'call' || node.args[0] !== 'has') return undefined;
  const argument = node.args[1][0];
  const type = argument === undefined ? undefined : pathType(argument);
  return typeof type === 'object' ? type : undefined;
}

function bracketProblem(node: Node): ExpressionProblem | undefined {
  if (node.op !== '[]') return undefined;
  const type = checkedType(node.args[0]);
  if (type === undefined || !FIELDS.has(type)) return undefined;
  return { ...positionOf(node.input, node.pos), message: `write facts as .name, not in brackets` };
}

export function typingProblems(root: Node): readonly ExpressionProblem[] {
  const found: ExpressionProblem[] = [];
  for (const node of walk(root)) {
    const problem = hasProblem(node) ?? bracketProblem(node);
    if (problem !== undefined) found.push(problem);
  }
  return found;
}

/** What is wrong with the type that a rule gives, which must be bool. */
export function resultProblem(root: Node, type: string): ExpressionProblem | undefined {
  if (type === 'bool') return undefined;
  const place = positionOf(root.input, children(root).length === 0 ? root.pos : root.start);
  const hint = type === 'dyn' ? ': compare it, for example with == true' : '';
  return { ...place, message: `a rule gives bool, this gives ${type}${hint}` };
}
