/**
 * The strict parser: any JSON value in, a value of the schema's type or all its errors out. It refuses unknown
 * fields, applies defaults, and reads a null field as an absent one, as kube-apiserver does.
 */
import { Findings, type Parsed } from './failure.ts';
import { checkRules } from './rule.ts';
import { describe, parseBoolean, parseInteger, parseString } from './scalar.ts';
import { quote, type Path } from './path.ts';
import type { FieldNode, FreeNode, ListNode, MapNode, Node, ObjectNode, Schema } from './schema.ts';

/** Deeper free content is refused: it would overflow the stack of whoever walks it. */
const MAX_FREE_DEPTH = 32;

type Json = Readonly<Record<string, unknown>>;

/** `old` is the value that is being changed, for transition rules; leave it out for a new one. */
export function parse<T>(schema: Schema<T>, input: unknown, old?: T): Parsed<T> {
  const findings = new Findings();
  const value = parseNode(schema, input, old, [], findings);
  if (findings.errors.length > 0) return { kind: 'invalid', errors: findings.errors };
  // Without findings the value has the shape that the schema's static type is inferred from.
  return { kind: 'parsed', value: value as T };
}

/** Undefined when something in it has not the shape of its type. */
function parseNode(node: Node, input: unknown, old: unknown, path: Path, findings: Findings): unknown {
  if (input === null && node.nullable === true) return null;
  const before = findings.malformed;
  const value = parseKind(node, input, old, path, findings);
  if (findings.malformed > before) return undefined;
  checkRules(node, value, old, path, findings);
  return value;
}

function parseKind(node: Node, input: unknown, old: unknown, path: Path, findings: Findings): unknown {
  switch (node.kind) {
    case 'string':
      return parseString(node, input, path, findings);
    case 'integer':
      return parseInteger(node, input, path, findings);
    case 'boolean':
      return parseBoolean(node, input, path, findings);
    case 'list':
      return parseList(node, input, path, findings);
    case 'map':
      return parseMap(node, input, path, findings);
    case 'free':
      return parseFree(node, input, path, findings);
    case 'object':
      return parseObject(node, input, old, path, findings);
  }
}

function parseList(node: ListNode, input: unknown, path: Path, findings: Findings): unknown {
  if (!Array.isArray(input)) return findings.refuse(path, `must be a list, not ${describe(input)}`);
  if (input.length < (node.minItems ?? 0))
    findings.refuse(path, `must have at least ${node.minItems ?? 0} item(s)`);
  if (input.length > node.maxItems) return findings.refuse(path, `must have at most ${node.maxItems} items`);
  const items = input.map((item, index) =>
    parseNode(node.items, item, undefined, [...path, index], findings),
  );
  if (node.unique !== undefined) checkUnique(node.unique, items, path, findings);
  return items;
}

function checkUnique(
  unique: NonNullable<ListNode['unique']>,
  items: readonly unknown[],
  path: Path,
  findings: Findings,
): void {
  const first = new Map<unknown, number>();
  items.forEach((item, index) => {
    const key = unique === 'set' ? item : isJson(item) ? item[unique.key] : undefined;
    if (key === undefined) return;
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, index);
    else {
      const where = unique === 'set' ? [...path, index] : [...path, index, unique.key];
      findings.add(where, `is there already, as item ${earlier}`);
    }
  });
}

function parseMap(node: MapNode, input: unknown, path: Path, findings: Findings): unknown {
  if (!isJson(input)) return findings.refuse(path, `must be an object, not ${describe(input)}`);
  const entries = Object.entries(input);
  if (entries.length > node.maxProperties) {
    return findings.refuse(path, `must have at most ${node.maxProperties} entries`);
  }
  const keys = node.keys === undefined ? null : new RegExp(node.keys.pattern, 'u');
  for (const [key] of entries) {
    if (keys?.test(key) === false) findings.refuse([...path, key], node.keys?.message ?? 'is no key', 'key');
  }
  // fromEntries defines own properties: a key like __proto__ is only a key.
  return Object.fromEntries(
    entries.map(([key, item]) => [key, parseNode(node.values, item, undefined, [...path, key], findings)]),
  );
}

function parseFree(node: FreeNode, input: unknown, path: Path, findings: Findings): unknown {
  if (!isJson(input)) return findings.refuse(path, `must be an object, not ${describe(input)}`);
  const { minProperties = 0 } = node;
  if (Object.keys(input).length < minProperties) {
    return findings.refuse(path, `must have at least ${minProperties} field(s)`);
  }
  return copyFree(input, path, 0, findings);
}

function copyFree(input: unknown, path: Path, depth: number, findings: Findings): unknown {
  if (typeof input !== 'object' || input === null) return input;
  if (depth > MAX_FREE_DEPTH)
    return findings.refuse(path, `must not be nested deeper than ${MAX_FREE_DEPTH} levels`);
  if (Array.isArray(input)) {
    return input.map((item, index) => copyFree(item, [...path, index], depth + 1, findings));
  }
  return Object.fromEntries(
    Object.entries(input).map(([key, item]) => [key, copyFree(item, [...path, key], depth + 1, findings)]),
  );
}

function parseObject(
  node: ObjectNode,
  input: unknown,
  old: unknown,
  path: Path,
  findings: Findings,
): unknown {
  if (!isJson(input)) return findings.refuse(path, `must be an object, not ${describe(input)}`);
  for (const key of Object.keys(input)) {
    if (!Object.hasOwn(node.fields, key)) findings.refuse([...path, key], unknownField(key, node), 'key');
  }
  const entries = Object.entries(node.fields).map(([name, field]): [string, unknown] => {
    const present = Object.hasOwn(input, name) ? input[name] : undefined;
    const before = isJson(old) && Object.hasOwn(old, name) ? old[name] : undefined;
    return [name, parseField(field, present, before, [...path, name], findings)];
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function parseField(field: FieldNode, input: unknown, old: unknown, path: Path, findings: Findings): unknown {
  const absent = input === undefined || (input === null && field.schema.nullable !== true);
  if (!absent) return parseNode(field.schema, input, old, path, findings);
  switch (field.presence) {
    case 'required':
      return findings.refuse(path, 'is required');
    case 'default':
      return parseNode(field.schema, field.value, old, path, findings);
    case 'optional':
      return undefined;
  }
}

function unknownField(key: string, node: ObjectNode): string {
  const names = Object.keys(node.fields);
  const near = names.find((name) => name.toLowerCase() === key.toLowerCase());
  if (near !== undefined) return `unknown field; it is written ${quote(near)}`;
  return names.length === 0
    ? 'unknown field; none is known here'
    : `unknown field; known are ${names.join(', ')}`;
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
