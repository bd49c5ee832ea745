import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManifestOptions } from '../../e2e/manifests.ts';
import { runConfiguration, runIdentity } from '../../e2e/run-configuration.ts';
import { FixedCredentials } from '../credentials.ts';
import { configureRun } from './run-configuration.ts';

const postgres = { host: '127.0.0.1', port: 5432, user: 'u', password: 'p' };
const one: ManifestOptions = { postgres, port: 15_432, name: 'one' };
const two: ManifestOptions = { postgres, port: 15_433, name: 'two' };
const lookup = () => undefined;
const place = {
  kind: 'pod',
  identity: runIdentity,
  credentials: () => new FixedCredentials({ user: 'u', password: 'p' }),
  lookup: () => lookup,
  redirect: false,
} as const;

type Objects = NonNullable<ReturnType<typeof runConfiguration>['manifests']>;

function configured(manifests: Objects, unusable: Parameters<typeof configureRun>[0]['unusable'] = []) {
  const { connections, unusable: broken, warnings } = configureRun({ manifests, unusable }, place);
  return {
    usable: connections.map(({ facts }) => facts.name),
    broken: broken.map(({ connection, message, listen }) => [connection, message, listen?.port] as const),
    connections,
    warnings,
  };
}

function manifests(...options: readonly ManifestOptions[]): Objects {
  return runConfiguration(options).manifests ?? [];
}

/** The second connection's policy, changed. */
function withPolicy(change: object): Objects {
  return manifests(one, two).map((object) =>
    object['kind'] === 'AccessPolicy' && JSON.stringify(object).includes('two-policy')
      ? { ...object, ...change }
      : object,
  );
}

test('the run is who comes from inside the pod, and nobody else', () => {
  const { usable, broken, connections } = configured(manifests(one, two));
  assert.deepEqual([usable, broken], [['one', 'two'], []]);
  assert.deepEqual(connections[0]?.sources, [{ kind: 'pod', identity: runIdentity }]);
});

test('only a target whose certificate is checked is found by names that the pod resolves', () => {
  const rows = [
    ['disable', lookup],
    ['require', lookup],
    ['verify-ca', undefined],
    ['verify-full', undefined],
  ] as const;
  for (const [mode, expected] of rows) {
    const target = { host: 'orders.db', port: 5432, database: 'orders', tls: { mode } };
    const { connections } = configured(manifests({ ...one, connection: { target } }));
    assert.equal(connections[0]?.target.lookup, expected, mode);
  }
});

test('a role of the run’s own is in order here', () => {
  const connection = { role: { provision: true }, identity: { sources: [{ serviceAccount: {} }] } };
  assert.deepEqual(configured(manifests({ ...one, connection })).usable, ['one']);
});

const cases: readonly (readonly [string, () => Objects, RegExp])[] = [
  [
    'sources that stand for nobody in a pod',
    () =>
      manifests(one, { ...two, connection: { identity: { sources: [{ loopback: { subject: 'me' } }] } } }),
    /none of them counts in a pod/,
  ],
  [
    'a rule that does not compile',
    () => manifests(one, { ...two, rules: [{ name: 'x', when: 'no.such', action: 'Allow' }] }),
    /policy production-access\/two-policy, rule "x"/,
  ],
  [
    'a policy with an unknown field',
    () => withPolicy({ spec: { connections: ['two'], surprise: 1 } }),
    /surprise/,
  ],
  [
    'a connection with an unknown field',
    () => manifests(one, { ...two, connection: { surprise: 1 } }),
    /surprise/,
  ],
  [
    'a Secret that is not there',
    () =>
      manifests(one, {
        ...two,
        connection: {
          listen: { port: 15_433, tls: { secretRef: { name: 'gone' } } },
          identity: { sources: [{ serviceAccount: {} }] },
        },
      }),
    /the Secret gone has no key/,
  ],
  [
    'a protocol that is not served',
    () =>
      manifests(one, {
        ...two,
        connection: { protocol: 'mysql', identity: { sources: [{ serviceAccount: {} }] } },
      }),
    /mysql is not served yet/,
  ],
];
for (const [what, objects, expected] of cases) {
  test(`${what} leaves other connections alone`, () => {
    const { usable, broken } = configured(objects());
    assert.deepEqual(usable, ['one']);
    assert.equal(broken.length, 1, JSON.stringify(broken));
    assert.equal(broken[0]?.[0], 'production-access/two');
    assert.match(broken[0][1], expected);
  });
}

test('a policy that does not even say what it is for takes its whole namespace with it', () => {
  const { usable, broken } = configured(withPolicy({ spec: 'nonsense' }));
  assert.deepEqual([usable, broken.length], [[], 2]);
});

test('an unknown kind takes everything with it: it might have refused something', () => {
  const stranger = {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Stranger',
    metadata: { name: 'x', namespace: 'y' },
  };
  assert.deepEqual(configured([...manifests(one, two), stranger]).usable, []);
});

test('what the broker says is unusable is, with its port where it is told', () => {
  const { broken } = configured(manifests(one), [
    { connection: 'production-access/two', message: 'gone', port: 15_433 },
  ]);
  assert.deepEqual(broken, [['production-access/two', 'gone', 15_433]]);
});
