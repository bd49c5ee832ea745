/** A YAML node to a plain value, strictly: what JSON could not say, or says twice, is refused. */
import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  type Document,
  type Node,
  type Pair,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

/** Uses of aliases in one document, repeated ones counted: more is a bomb, or nothing that a person wrote. */
const MAX_ALIASES = 64;
const MAX_DEPTH = 64;

export interface NodeError {
  /** Offset into the file, in UTF-16 units. */
  readonly offset: number;
  readonly message: string;
}

export type NodeValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'invalid'; readonly errors: readonly NodeError[] };

interface Walk {
  readonly document: Document;
  readonly errors: NodeError[];
  aliases: number;
}

export function valueOf(document: Document): NodeValue {
  const walk: Walk = { document, errors: [], aliases: 0 };
  const value = nodeValue(walk, document.contents, 0);
  return walk.errors.length === 0 ? { kind: 'value', value } : { kind: 'invalid', errors: walk.errors };
}

function nodeValue(walk: Walk, node: unknown, depth: number): unknown {
  if (node === null || node === undefined) return null;
  if (hasForeignTag(node)) return fail(walk, node, 'has a tag that is not one of JSON');
  if (isScalar(node)) return scalarValue(walk, node);
  if (depth > MAX_DEPTH) return fail(walk, node, `is nested deeper than ${MAX_DEPTH} levels`);
  if (isAlias(node)) {
    walk.aliases += 1;
    if (walk.aliases === MAX_ALIASES + 1) fail(walk, node, `more than ${MAX_ALIASES} uses of aliases`);
    if (walk.aliases > MAX_ALIASES) return null;
    const target = node.resolve(walk.document);
    return target === undefined
      ? fail(walk, node, 'names no anchor before it')
      : nodeValue(walk, target, depth + 1);
  }
  if (isMap(node)) return mapValue(walk, node, depth);
  if (isSeq(node)) return listValue(walk, node, depth);
  return fail(walk, node, 'is not understood');
}

/** The library only warns of tags it does not know; others make dates, bytes and sets of what should be JSON. */
function hasForeignTag(node: unknown): boolean {
  if (!isCollection(node) && !isScalar(node)) return false;
  return node.tag !== undefined && !/^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/u.test(node.tag);
}

/** What YAML 1.1, and so kubectl, reads as something else: booleans, octal and binary numbers. */
const AMBIGUOUS = /^(y|yes|n|no|on|off|[-+]?0[0-9_]+|[-+]?0b[01_]+)$/iu;

function scalarValue(walk: Walk, scalar: Scalar): unknown {
  const plain = scalar.type === 'PLAIN' && scalar.tag === undefined;
  if (plain && AMBIGUOUS.test(scalar.source ?? '')) {
    return fail(
      walk,
      scalar,
      'is not read alike by all YAML readers: put it in quotes, or write true, false or a decimal',
    );
  }
  const { value } = scalar;
  if (typeof value === 'number' && !isExact(value))
    return fail(walk, scalar, 'is a number that JSON readers do not agree on');
  if (typeof value === 'object' && value !== null)
    return fail(walk, scalar, 'has a type that is not one of JSON');
  return value;
}

function isExact(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}

function listValue(walk: Walk, list: YAMLSeq, depth: number): unknown {
  return list.items.map((item) => nodeValue(walk, item, depth + 1));
}

function mapValue(walk: Walk, map: YAMLMap, depth: number): unknown {
  const entries = new Map<string, unknown>();
  for (const pair of map.items) {
    const key = keyOf(pair);
    if (key === null) fail(walk, pair.key, 'a key must be a string: put it in quotes');
    else if (entries.has(key)) fail(walk, pair.key, `the key ${JSON.stringify(key)} is there already`);
    else entries.set(key, nodeValue(walk, pair.value, depth + 1));
  }
  // fromEntries defines own properties: a key like __proto__ is only a key.
  return Object.fromEntries(entries);
}

/** Null when it is not a string. */
export function keyOf(pair: Pair): string | null {
  return isScalar(pair.key) && typeof pair.key.value === 'string' ? pair.key.value : null;
}

/** Offset at which a node begins. */
export function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

function fail(walk: Walk, node: unknown, message: string): null {
  const offset = typeof node === 'object' && node !== null && 'range' in node ? rangeStart(node.range) : 0;
  walk.errors.push({ offset, message });
  return null;
}

function rangeStart(range: unknown): number {
  const start: unknown = Array.isArray(range) ? range[0] : 0;
  return typeof start === 'number' ? start : 0;
}
