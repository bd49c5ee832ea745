/** The kinds of the core API that manifests may hold: `Secret` and `ConfigMap`. */
import type { Parsed } from './schema/failure.ts';
import { metadataSchema, type Metadata } from './schema/kind.ts';
import { parse } from './schema/parse.ts';
import { boolean, choice, map, object, optional, required, text } from './schema/schema.ts';

/** etcd's usual limit on one object. */
const MAX_VALUE = 1_048_576;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** Never says the value: it is a secret. */
function checkBase64(value: string): string | null {
  return BASE64.test(value.replaceAll(/[\r\n]/gu, '')) ? null : 'must be base64';
}

const encoded = text('base64.', { maxLength: 2 * MAX_VALUE, refine: checkBase64 });
const plain = text('Text.', { maxLength: MAX_VALUE });
const many = {
  maxProperties: 1024,
  keys: { pattern: '^[-._a-zA-Z0-9]{1,253}$', message: 'a key must be letters, digits, "-", "_" and "."' },
} as const;

const secretSchema = object('A secret.', {
  apiVersion: required(choice('Version.', ['v1'])),
  kind: required(choice('The kind.', ['Secret'])),
  metadata: required(metadataSchema),
  type: optional(text('What is in it.', { maxLength: 256 })),
  immutable: optional(boolean('Cannot be changed.')),
  data: optional(map('Values in base64.', encoded, many)),
  stringData: optional(map('Values as text; they win over data.', plain, many)),
});

const configMapSchema = object('Settings.', {
  apiVersion: required(choice('Version.', ['v1'])),
  kind: required(choice('The kind.', ['ConfigMap'])),
  metadata: required(metadataSchema),
  immutable: optional(boolean('Cannot be changed.')),
  data: optional(map('Values.', plain, many)),
  binaryData: optional(map('Values in base64.', encoded, many)),
});

export interface Secret {
  readonly kind: 'Secret';
  readonly metadata: Metadata;
  /** Decoded; `stringData` merged in. */
  readonly data: ReadonlyMap<string, Buffer>;
}

export interface ConfigMap {
  readonly kind: 'ConfigMap';
  readonly metadata: Metadata;
  readonly data: ReadonlyMap<string, string>;
}

/** Any JSON value in, a Secret or all errors out; no error says a value. */
export function parseSecret(input: unknown): Parsed<Secret> {
  const parsed = parse(secretSchema, input);
  if (parsed.kind === 'invalid') return parsed;
  const { metadata, data: encodedData = {}, stringData = {} } = parsed.value;
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(encodedData)) data.set(key, Buffer.from(value, 'base64'));
  for (const [key, value] of Object.entries(stringData)) data.set(key, Buffer.from(value));
  return { kind: 'parsed', value: { kind: 'Secret', metadata, data } };
}

/** Any JSON value in, a ConfigMap or all errors out. */
export function parseConfigMap(input: unknown): Parsed<ConfigMap> {
  const parsed = parse(configMapSchema, input);
  if (parsed.kind === 'invalid') return parsed;
  const { metadata, data = {} } = parsed.value;
  return { kind: 'parsed', value: { kind: 'ConfigMap', metadata, data: new Map(Object.entries(data)) } };
}
