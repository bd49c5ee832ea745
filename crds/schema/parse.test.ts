import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseApproval } from '../approval.ts';
import { parseConnection, targetPort } from '../connection.ts';
import { parseConfigMap, parseSecret } from '../core.ts';
import { parsePolicy } from '../policy.ts';
import { parseSession } from '../session.ts';
import { formatPath } from './path.ts';

const parsers = { parseConnection, parsePolicy, parseApproval, parseSession, parseSecret, parseConfigMap };

function connection(spec: object): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name: 'orders-db' },
    spec: {
      protocol: 'postgres',
      target: { host: 'db', database: 'orders' },
      credentials: { secretRef: { name: 'admin' } },
      identity: { sources: [{ loopback: { subject: 'me' } }] },
      listen: { port: 15432 },
      ...spec,
    },
  };
}

test('defaults are applied, those inside defaults too', () => {
  const result = parseConnection(connection({}));
  assert.ok(result.kind === 'parsed');
  const { spec } = result.value;
  assert.deepEqual(spec.target.tls, { mode: 'verify-full' });
  assert.deepEqual(spec.recording, { durability: 'strict', rowBudget: { rows: 200, bytes: 65_536 } });
  assert.deepEqual(spec.limits, { maxMessageBytes: 67_108_864, maxPendingApprovals: 5, policyMaxAge: '1h' });
  assert.deepEqual(spec.role, { provision: false, ttl: '1h', inherit: [], grants: [], maskedViews: false });
  assert.deepEqual(spec.listen, { port: 15_432, address: '127.0.0.1' });
  assert.equal(targetPort(spec), 5432);
});

test('a null field is an absent one', () => {
  const result = parseConnection(connection({ recording: null, allowedNamespaces: null }));
  assert.ok(result.kind === 'parsed');
  assert.equal(result.value.spec.recording.durability, 'strict');
  assert.equal('allowedNamespaces' in result.value.spec, false);
});

test('a defaulted value is nobody else’s', () => {
  const [one, two] = [parseConnection(connection({})), parseConnection(connection({}))];
  assert.ok(one.kind === 'parsed' && two.kind === 'parsed');
  assert.notEqual(one.value.spec.role.grants, two.value.spec.role.grants);
});

test('__proto__ is a field like any other, and unknown', () => {
  const input: unknown = JSON.parse(
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"__proto__":{}}',
  );
  const result = parseConfigMap(input);
  assert.ok(result.kind === 'invalid');
  assert.deepEqual(
    result.errors.map(({ path }) => formatPath(path)),
    ['__proto__'],
  );
  const data: unknown = JSON.parse(
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"__proto__":"x"}}',
  );
  const kept = parseConfigMap(data);
  assert.ok(kept.kind === 'parsed');
  assert.deepEqual([...kept.value.data], [['__proto__', 'x']]);
});

test('secrets: text wins over base64, and no error says a value', () => {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } };
  const good = parseSecret({ ...secret, data: { a: 'eA==', b: 'eQ==\n' }, stringData: { a: 'z' } });
  assert.ok(good.kind === 'parsed');
  assert.deepEqual(
    [...good.value.data].map(([key, value]) => [key, value.toString()]),
    [
      ['a', 'z'],
      ['b', 'y'],
    ],
  );
  const bad = parseSecret({ ...secret, data: { a: 'hunter2!' }, stringData: { b: ['hunter2'] }, type: 7 });
  assert.ok(bad.kind === 'invalid');
  assert.equal(bad.errors.length, 3);
  assert.doesNotMatch(JSON.stringify(bad.errors), /hunter2/u);
});

test('lengths count code points, as kube-apiserver does', () => {
  const named = (name: string) =>
    parseConnection(connection({ identity: { sources: [{ loopback: { subject: name } }] } })).kind;
  assert.equal(named('😀'.repeat(256)), 'parsed');
  assert.equal(named('😀'.repeat(257)), 'invalid');
});

/** Field names of the schemas, so that arbitrary values get past the first level now and then. */
const names = [
  'apiVersion',
  'kind',
  'metadata',
  'name',
  'spec',
  'status',
  'rules',
  'masks',
  'claims',
  'subjects',
];
const key = fc.oneof(fc.constantFrom(...names, '__proto__', 'constructor', 'toString'), fc.string());
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(null, true, 0, -1, 1.5, '', 'a', Number.NaN, 1e300, 'postgres', '1h'),
    fc.string(),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 6 }),
  ),
})).value;

test('any JSON value is parsed or refused, never thrown at', () => {
  fc.assert(
    fc.property(json, json, (input, old) => {
      for (const parser of Object.values(parsers)) {
        const result = parser(input);
        if (result.kind === 'invalid') assert.ok(result.errors.length > 0);
        const nested = parser({
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'a' },
          spec: input,
          data: old,
        });
        if (nested.kind === 'invalid') for (const { path } of nested.errors) formatPath(path);
      }
    }),
    { numRuns: 300 },
  );
});

/** Puts an arbitrary value at an arbitrary place of a good object. */
function mutate(value: unknown, at: readonly number[], wrong: unknown): unknown {
  if (typeof value !== 'object' || value === null || at.length === 0) return wrong;
  const entries: readonly [string, unknown][] = Object.entries(value);
  const chosen = (at[0] ?? 0) % Math.max(entries.length, 1);
  const changed = entries.map(([name, item], index): [string, unknown] => [
    name,
    index === chosen ? mutate(item, at.slice(1), wrong) : item,
  ]);
  return Array.isArray(value) ? changed.map(([, item]) => item) : Object.fromEntries(changed);
}

test('a good object with one wrong value is parsed or refused', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(8), { maxLength: 6 }), json, (at, wrong) => {
      const result = parseConnection(mutate(connection({}), at, wrong));
      if (result.kind === 'parsed') assert.equal(parseConnection(result.value).kind, 'parsed');
    }),
    { numRuns: 500 },
  );
});
