/**
 * What a rule may call and name, checked on the syntax tree before it is type-checked. CEL's library is larger; what is
 * not listed is refused, because its cost or its strictness was not looked at.
 */
import { isTimeZone, ZONED_PARTS } from './clock.ts';
import { patternProblem, REPLACED } from './environment.ts';
import { loopOf, LOOPS, walk, type FunctionCall, type MethodCall, type Node } from './expression.ts';
import { FACT_NAMES } from './facts.ts';
import { positionOf, type ExpressionProblem } from './problem.ts';
import { closest } from './suggest.ts';

const FUNCTIONS: ReadonlySet<string> = new Set([
  'has',
  'size',
  'int',
  'uint',
  'double',
  'string',
  'bool',
  'timestamp',
  'duration',
]);

const METHODS: ReadonlySet<string> = new Set([
  ...LOOPS,
  'size',
  'startsWith',
  'endsWith',
  'contains',
  'matches',
  'lowerAscii',
  'upperAscii',
  'trim',
  'indexOf',
  'lastIndexOf',
  'substring',
  'join',
  'getMilliseconds',
  ...ZONED_PARTS,
]);

/** Names that the library knows beyond the facts; rules have no use for them. */
const TYPE_NAMES: ReadonlySet<string> = new Set(['cel', 'google', 'type']);

function problemAt(node: Node, message: string): ExpressionProblem {
  return { ...positionOf(node.input, node.pos), message };
}

/** A method's name comes after its receiver, where the node begins. */
function offsetOf(node: Node, name: string): number {
  const after = node.op === 'rcall' ? node.args[1].end : node.pos;
  return Math.max(node.input.indexOf(name, after), node.pos);
}

function unknownName(node: Node, what: string, name: string, known: ReadonlySet<string>): ExpressionProblem {
  const suggestion = closest(name, known);
  const problem = { ...positionOf(node.input, offsetOf(node, name)), message: `unknown ${what} '${name}'` };
  return suggestion === undefined ? problem : { ...problem, suggestion };
}

function literal(node: Node | undefined): string | undefined {
  return node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

function loopProblem(node: MethodCall): ExpressionProblem | undefined {
  const variable = node.args[2][0];
  if (variable?.op !== 'id') return problemAt(variable ?? node, 'the first argument names the element');
  if (!FACT_NAMES.has(variable.args)) return undefined;
  return problemAt(variable, `'${variable.args}' is a fact: name the element otherwise`);
}

function matchesProblem(node: MethodCall): ExpressionProblem | undefined {
  const argument = node.args[2][0];
  const pattern = literal(argument);
  if (pattern === undefined) return problemAt(argument ?? node, 'the pattern of matches must be a literal');
  const message = patternProblem(pattern);
  return message === undefined ? undefined : problemAt(argument ?? node, message);
}

function zoneProblem(node: MethodCall): ExpressionProblem | undefined {
  const argument = node.args[2][0];
  const zone = literal(argument);
  if (zone !== undefined && isTimeZone(zone)) return undefined;
  return problemAt(
    argument ?? node,
    'the time zone must be a literal that is known, such as "Europe/Berlin"',
  );
}

const ZONED: ReadonlySet<string> = new Set(ZONED_PARTS);

function methodProblem(node: MethodCall): ExpressionProblem | undefined {
  const [name, , rest] = node.args;
  if (!METHODS.has(name)) return unknownName(node, 'function', name, METHODS);
  if (loopOf(node) !== undefined) return loopProblem(node);
  if (name === 'matches' && rest.length === 1) return matchesProblem(node);
  if (ZONED.has(name) && rest.length === 1) return zoneProblem(node);
  return undefined;
}

function callProblem(node: FunctionCall): ExpressionProblem | undefined {
  const [name] = node.args;
  return FUNCTIONS.has(name) ? undefined : unknownName(node, 'function', name, FUNCTIONS);
}

/** Keys that the library leaves out of maps without a word. */
const LOST_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function mapProblem(entries: readonly (readonly [Node, Node])[]): ExpressionProblem | undefined {
  for (const [key] of entries) {
    const name = literal(key);
    if (name === undefined && key.op !== 'value') return problemAt(key, 'the keys of a map must be literals');
    if (name !== undefined && LOST_KEYS.has(name)) return problemAt(key, `'${name}' cannot be a key here`);
  }
  return undefined;
}

function problemOf(node: Node): ExpressionProblem | undefined {
  switch (node.op) {
    case 'rcall':
      return methodProblem(node);
    case 'call':
      return callProblem(node);
    case 'map':
      return mapProblem(node.args);
    case 'id':
      if (!TYPE_NAMES.has(node.args)) return undefined;
      return unknownName(node, 'fact', node.args, new Set(FACT_NAMES.keys()));
    default:
      return undefined;
  }
}

/** All that the tree calls and names and must not, in source order. */
export function vocabularyProblems(root: Node): readonly ExpressionProblem[] {
  const found: ExpressionProblem[] = [];
  for (const node of walk(root)) {
    const problem = problemOf(node);
    if (problem !== undefined) found.push(problem);
  }
  return found;
}

/** Points calls at our own implementations; run once, after `vocabularyProblems` found nothing. */
export function replaceFunctions(root: Node): void {
  for (const node of walk(root)) {
    if (node.op !== 'rcall' && node.op !== 'call') continue;
    const count = node.op === 'rcall' ? node.args[2].length : node.args[1].length;
    const other = REPLACED.get(`${node.args[0]}/${count}`);
    if (other !== undefined) node.args[0] = other;
  }
}
