/** From a path in a document's value to its place in the file. */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Document,
  type LineCounter,
  type Node,
  type Scalar,
} from 'yaml';
import type { Path } from '../../crds/schema/path.ts';
import type { Locator, SourceLocation } from './location.ts';
import { keyOf, startOf } from './value.ts';

export interface Source {
  readonly file: string;
  readonly text: string;
  readonly lines: LineCounter;
}

/** What is found on the way to a path: the deepest node that exists, and the key that leads to it. */
interface Found {
  readonly key: Node | null;
  readonly value: Node | null;
  readonly whole: boolean;
}

export function documentLocator(source: Source, document: Document): Locator {
  return {
    locate: (path, offset) => {
      const found = find(document, path);
      if (offset !== undefined && found.whole && isScalar(found.value)) {
        return locationOf(source, offsetWithin(source.text, found.value, offset));
      }
      return locationOf(source, placeOf(source, found));
    },
    locateKey: (path) => {
      const found = find(document, path);
      return locationOf(source, startOfEither(found.key, found.value));
    },
  };
}

export function locationOf({ file, lines }: Source, offset: number): SourceLocation {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
}

function find(document: Document, path: Path): Found {
  let key: Node | null = null;
  let value: Node | null = document.contents;
  for (const step of path) {
    const next = child(resolved(document, value), step);
    if (next === null) return { key, value, whole: false };
    ({ key, value } = next);
  }
  return { key, value, whole: true };
}

function resolved(document: Document, node: Node | null): Node | null {
  return isAlias(node) ? (node.resolve(document) ?? null) : node;
}

function child(node: Node | null, step: string | number): { key: Node | null; value: Node | null } | null {
  if (isSeq(node) && typeof step === 'number') {
    const item = node.items[step];
    return isNode(item) ? { key: null, value: item } : null;
  }
  if (isMap(node)) {
    const pair = node.items.find((candidate) => keyOf(candidate) === step);
    if (pair === undefined) return null;
    return { key: isNode(pair.key) ? pair.key : null, value: isNode(pair.value) ? pair.value : null };
  }
  return null;
}

/** A scalar where it stands; a map or list where its key is, when it begins on a later line than that. */
function placeOf({ lines }: Source, { key, value }: Found): number {
  if (key === null || value === null) return startOfEither(value, key);
  const sameLine = lines.linePos(startOf(key)).line === lines.linePos(startOf(value)).line;
  return sameLine || isScalar(value) ? startOf(value) : startOf(key);
}

function startOfEither(first: Node | null, second: Node | null): number {
  if (first !== null) return startOf(first);
  return second === null ? 0 : startOf(second);
}

/** Where a character of a string is in the file; where it cannot be told (folds, escapes), the string's beginning. */
function offsetWithin(text: string, scalar: Scalar, offset: number): number {
  const [start, end] = scalar.range ?? [0, 0, 0];
  const { value } = scalar;
  if (typeof value !== 'string') return start;
  // The end of an expression is before the line break that ends its block.
  const at = Math.min(offset, value.trimEnd().length);
  if (scalar.type === 'BLOCK_LITERAL') return offsetInBlock(text.slice(start, end), value, at, start);
  const quote = scalar.type === 'QUOTE_DOUBLE' || scalar.type === 'QUOTE_SINGLE' ? 1 : 0;
  const verbatim = text.slice(start + quote, end - quote) === value;
  return verbatim ? start + quote + at : start;
}

/** A literal block's lines are those of the value, each behind the same indentation. */
function offsetInBlock(source: string, value: string, offset: number, start: number): number {
  const before = value.slice(0, offset).split('\n');
  const sourceLines = source.split('\n');
  const sourceLine = sourceLines[before.length];
  const valueLine = value.split('\n')[before.length - 1];
  if (sourceLine === undefined || valueLine === undefined) return start;
  const indent = sourceLine.replace(/\r$/u, '').length - valueLine.length;
  const lineStart = sourceLines.slice(0, before.length).reduce((sum, line) => sum + line.length + 1, 0);
  return start + lineStart + Math.max(indent, 0) + (before.at(-1)?.length ?? 0);
}
