/** Walking the syntax tree of a rule. Macros are seen as they were written, as calls. */
import type { ASTNode } from '@marcbachmann/cel-js';

export type Node = ASTNode;
export type MethodCall = Extract<ASTNode, { op: 'rcall' }>;
export type FunctionCall = Extract<ASTNode, { op: 'call' }>;

/** Macros with an iteration variable as their first argument. */
export const LOOPS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** The node as a loop, when it is one. */
export function loopOf(node: Node): MethodCall | undefined {
  return node.op === 'rcall' && LOOPS.has(node.args[0]) && node.args[2].length >= 2 ? node : undefined;
}

/** What a loop evaluates for each element. */
export function bodyOf(loop: MethodCall): readonly Node[] {
  return loop.args[2].slice(1);
}

/** The nodes directly below, in source order; names of iteration variables left out. */
export function children(node: Node): readonly Node[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...(loopOf(node) === undefined ? node.args[2] : bodyOf(node))];
    case 'list':
      return node.args;
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}

export function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of children(node)) yield* walk(child);
}

/** CEL's name of the type that the checker found for a node, or undefined before it was checked. */
export function checkedType(node: Node): string | undefined {
  // The checker leaves its verdict on the node; the library's public type does not name it.
  const type: unknown = Reflect.get(node, 'checkedType');
  if (typeof type !== 'object' || type === null) return undefined;
  const name: unknown = Reflect.get(type, 'name');
  return typeof name === 'string' ? name : undefined;
}
