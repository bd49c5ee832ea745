import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DETECTORS } from '../sidecar/mask/mask.ts';
import { EFFECTS } from '../sidecar/operation.ts';
import { approval, APPROVAL_EFFECTS } from './approval.ts';
import { protectedConnection } from './connection.ts';
import { generate } from './generate.ts';
import { accessPolicy, POLICY_DETECTORS } from './policy.ts';
import { parse } from './schema/parse.ts';
import type { Node } from './schema/schema.ts';
import { session } from './session.ts';

const kinds = [protectedConnection, accessPolicy, approval, session];

test('the committed CRDs are those that the schemas make', async () => {
  for (const { file, content } of generate()) {
    assert.equal(
      await readFile(join(import.meta.dirname, file), 'utf8'),
      content,
      `${file}: run npm run crds`,
    );
  }
});

function* nodes(node: Node, path: string): Generator<readonly [string, Node]> {
  yield [path, node];
  if (node.kind === 'list') yield* nodes(node.items, `${path}[]`);
  if (node.kind === 'map') yield* nodes(node.values, `${path}{}`);
  if (node.kind !== 'object') return;
  for (const [name, field] of Object.entries(node.fields)) yield* nodes(field.schema, `${path}.${name}`);
}

const all = kinds.flatMap((kind) => [
  ...nodes(kind.spec, `${kind.names.kind}.spec`),
  ...nodes(kind.status, `${kind.names.kind}.status`),
]);

test('every field is described', () => {
  for (const [path, node] of all) assert.match(node.description, /^[^\s].*[.]$/u, path);
});

test('every string is bounded, so that the cost of rules is', () => {
  for (const [path, node] of all) {
    if (node.kind !== 'string') continue;
    assert.ok(node.values !== undefined || node.maxLength !== undefined, path);
  }
});

test('every default is valid', () => {
  for (const [path, node] of all) {
    if (node.kind !== 'object') continue;
    for (const [name, field] of Object.entries(node.fields)) {
      if (field.presence !== 'default') continue;
      assert.equal(parse(field.schema, field.value).kind, 'parsed', `${path}.${name}`);
    }
  }
});

test('lists by key have that key required', () => {
  for (const [path, node] of all) {
    if (node.kind !== 'list' || node.unique === undefined || node.unique === 'set') continue;
    assert.ok(node.items.kind === 'object', path);
    assert.equal(node.items.fields[node.unique.key]?.presence, 'required', path);
  }
});

test('rules name fields that exist', () => {
  for (const [path, node] of all) {
    for (const { field } of node.rules ?? []) {
      if (field !== undefined) assert.ok(node.kind === 'object' && field in node.fields, `${path}: ${field}`);
    }
  }
});

test('printer columns point at fields that exist', () => {
  const known = new Set(all.map(([path]) => path.replace(/^\w+/u, '').replaceAll('[]', '')));
  for (const { columns } of kinds) {
    for (const { jsonPath } of columns) {
      if (jsonPath.startsWith('.metadata.')) continue;
      assert.ok(known.has(jsonPath.replaceAll(/\[[^\]]*\]/gu, '')), jsonPath);
    }
  }
});

test('closed sets are those of the sidecar', () => {
  assert.deepEqual(POLICY_DETECTORS, DETECTORS);
  assert.deepEqual(APPROVAL_EFFECTS, EFFECTS);
});
