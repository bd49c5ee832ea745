/** The kinds of the core API that manifests may hold: `Secret` and `ConfigMap`. */
import { metadataSchema, type Metadata } from './schema/kind.ts';
import { boolean, choice, map, object, optional, required, text, type Static } from './schema/schema.ts';

/** etcd's usual limit on one object. */
const MAX_VALUE = 1_048_576;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** Never says the value: it is a secret. */
function checkBase64(value: string): string | null {
  return BASE64.test(value.replaceAll(/[\r\n]/gu, '')) ? null : 'must be base64';
}

const encoded = text('base64.', { maxLength: 2 * MAX_VALUE, refine: checkBase64 });
const plain = text('Text.', { maxLength: MAX_VALUE });
const many = { maxProperties: 1024 } as const;

export const secretSchema = object('A secret.', {
  apiVersion: required(choice('Version.', ['v1'])),
  kind: required(choice('The kind.', ['Secret'])),
  metadata: required(metadataSchema),
  type: optional(text('What is in it.', { maxLength: 256 })),
  immutable: optional(boolean('Cannot be changed.')),
  data: optional(map('Values in base64.', encoded, many)),
  stringData: optional(map('Values as text; they win over data.', plain, many)),
});

export const configMapSchema = object('Settings.', {
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

export function toSecret(parsed: Static<typeof secretSchema>): Secret {
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(parsed.data ?? {})) data.set(key, Buffer.from(value, 'base64'));
  for (const [key, value] of Object.entries(parsed.stringData ?? {})) data.set(key, Buffer.from(value));
  return { kind: 'Secret', metadata: parsed.metadata, data };
}

export function toConfigMap(parsed: Static<typeof configMapSchema>): ConfigMap {
  return { kind: 'ConfigMap', metadata: parsed.metadata, data: new Map(Object.entries(parsed.data ?? {})) };
}
