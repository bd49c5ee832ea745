/** The net below the walk: whatever part of the tree it did not come by makes the statement opaque. */
import type { Walk } from './walk.ts';

/** A field that tells what kind of node its object is: one that calls, reads or names something. */
function kindOf(node: object): string | null {
  if ('fields' in node) return 'a column';
  if ('funcname' in node) return 'a function call';
  if ('relname' in node) return 'a table';
  if ('limitOption' in node) return 'a query';
  if ('subLinkType' in node) return 'a subquery';
  if ('typemod' in node && 'names' in node) return 'a type';
  if ('kind' in node && 'name' in node && ('rexpr' in node || 'lexpr' in node)) return 'an operator';
  return null;
}

export function sweep(walk: Walk, node: object): void {
  const kind = kindOf(node);
  if (kind !== null && !walk.seen.has(node)) {
    walk.opaque(`${kind} at an unexpected place`);
    return;
  }
  for (const key in node) {
    // The tree is JSON, walked by its own keys.
    const child = (node as Readonly<Record<string, unknown>>)[key];
    if (typeof child === 'object' && child !== null) sweep(walk, child);
  }
}
