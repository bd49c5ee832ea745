import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkObject } from './objects.ts';

const policy = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'agents', namespace: 'access', ...metadata },
  spec: { connections: ['orders-db'], subjects: [{ everyone: true }], ...spec },
});
const connection = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'ProtectedConnection',
  metadata: { name: 'orders-db', namespace: 'access', ...metadata },
  spec: {
    protocol: 'postgres',
    target: { host: 'orders.db.internal', database: 'orders' },
    credentials: { secretRef: { name: 'orders-db-admin' } },
    allowedNamespaces: { matchLabels: { agents: 'true' } },
    identity: { sources: [{ serviceAccount: {} }] },
    recording: { configMapRef: { name: 'recordings' } },
    listen: { port: 15_432 },
    ...spec,
  },
});
const rule = (when: string) => ({ rules: [{ name: 'reads', when, action: 'Allow' }] });

interface Case {
  readonly name: string;
  readonly object: { readonly kind: string };
  readonly errors?: readonly RegExp[];
  readonly warnings?: readonly RegExp[];
}

const cases: readonly Case[] = [
  { name: 'a good policy', object: policy(rule('sql.effects == ["read"]')) },
  { name: 'a good connection', object: connection() },
  {
    name: 'an expression that does not parse',
    object: policy(rule('sql.effects == [')),
    errors: [/^spec\.rules\[0\]\.when \(rule reads, line 1, column 17\): /u],
  },
  {
    name: 'an unknown fact',
    object: policy(rule('sql.effect == ["read"]')),
    errors: [/^spec\.rules\[0\]\.when \(rule reads, line 1, column \d+\): .*did you mean.*effects/u],
  },
  {
    name: 'a type that does not fit',
    object: policy(rule('sql.effects == 1')),
    errors: [/^spec\.rules\[0\]\.when /u],
  },
  { name: 'no bool', object: policy(rule('sql.verb')), errors: [/^spec\.rules\[0\]\.when /u] },
  {
    name: 'too expensive',
    object: policy(
      rule('sql.tables.all(a, sql.tables.all(b, sql.tables.all(c, a.name == b.name && b.name == c.name)))'),
    ),
    errors: [/too expensive/u],
  },
  {
    name: 'all errors at once',
    object: policy({
      rules: [
        { name: 'a', when: 'nonsense', action: 'Allow' },
        { name: 'b', when: '1 +', action: 'Deny' },
      ],
    }),
    errors: [/rules\[0\]/u, /rules\[1\]/u],
  },
  {
    name: 'a column that is in no catalog',
    object: policy({ masks: [{ columns: [`public.t.${'é'.repeat(40)}`], with: 'Redact' }] }),
    errors: [/^spec\.masks\[0\]\.columns\[0\]: /u],
  },
  {
    name: 'a connection that is not there yet',
    object: policy({ connections: ['orders-db', 'later'] }),
    warnings: [/^spec\.connections\[1\]: there is no connection later yet$/u],
  },
  { name: 'Observe', object: policy({ mode: 'Observe' }), warnings: [/Observe/u] },
  {
    name: 'a generated name',
    object: policy({}, { name: undefined, generateName: 'agents-' }),
  },
  {
    name: 'what is being deleted is let go',
    object: policy(rule('1 +'), { deletionTimestamp: '2026-01-01T00:00:00Z' }),
  },
  { name: 'other kinds', object: { kind: 'Approval' } },
  {
    name: 'an unserved protocol',
    object: connection({ protocol: 'redis' }),
    warnings: [/redis is not served yet/u],
  },
  {
    name: 'no source that counts in a pod',
    object: connection({ identity: { sources: [{ loopback: { subject: 'me' } }] } }),
    errors: [/^spec\.identity\.sources: /u],
  },
  {
    name: 'credentials that would reach the pod as something else',
    object: connection({
      target: {
        host: 'h',
        database: 'd',
        tls: { caFrom: { secretKeyRef: { name: 'orders-db-admin', key: 'password' } } },
      },
    }),
    errors: [/^spec\.credentials\.secretRef: /u],
  },
  {
    name: 'a listener beyond loopback without TLS',
    object: connection({ listen: { port: 1, address: '0.0.0.0' } }),
    errors: [/^spec\.listen\.tls: /u],
  },
  {
    name: 'what is probably not meant',
    object: connection({
      target: { host: 'h', database: 'd', tls: { mode: 'disable' } },
      allowedNamespaces: undefined,
      recording: undefined,
    }),
    warnings: [/in clear/u, /no pod may use/u, /recordings go with the pod/u],
  },
];

suite('objects at admission', () => {
  for (const { name, object, errors = [], warnings = [] } of cases) {
    test(name, () => {
      const found = checkObject(object.kind, object, (namespace, connected) => {
        return namespace === 'access' && connected === 'orders-db';
      });
      match(found.errors, errors);
      match(found.warnings, warnings);
    });
  }

  test('what is no object is refused, whatever it is', () => {
    for (const nothing of [
      undefined,
      null,
      7,
      'text',
      [],
      {},
      { metadata: null },
      { metadata: { name: 1 } },
    ]) {
      assert.ok(checkObject('AccessPolicy', nothing).errors.length > 0);
      assert.ok(checkObject('ProtectedConnection', nothing).errors.length > 0);
    }
  });
});

function match(found: readonly string[], expected: readonly RegExp[]): void {
  assert.equal(found.length, expected.length, found.join('\n'));
  expected.forEach((pattern, index) => assert.match(found[index] ?? '', pattern));
}
