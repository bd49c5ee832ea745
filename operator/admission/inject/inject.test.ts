import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { object, objects, sameJson, type Json } from '../json.ts';
import { anyPod, context, podWith, ORDERS } from './fixture.ts';
import { inject } from './inject.ts';
import { sameQuantity } from './quantity.ts';

function injected(
  pod: Json,
  change: Parameters<typeof context>[0] = {},
): { pod: Json; warnings: readonly string[] } {
  const outcome = inject(pod, context(change));
  assert.ok(outcome.kind === 'injected', JSON.stringify(outcome));
  return outcome;
}

function envOf(pod: Json, container = 0): Record<string, unknown> {
  const agent = object(objects(object(pod['spec'])['containers'])[container]);
  return Object.fromEntries(
    objects(agent['env']).map((each) => [String(each['name']), each['value'] ?? each['valueFrom']]),
  );
}

test('a pod without the annotation is left as it is', () => {
  assert.deepEqual(inject(podWith({ connections: undefined }), context()), { kind: 'unchanged' });
});

test('the environment: of one connection libpq’s too, of each its own', () => {
  assert.deepEqual(envOf(injected(podWith()).pod), {
    SIDEWARDEN_ORDERS_HOST: '127.0.0.1',
    SIDEWARDEN_ORDERS_PORT: '15432',
    SIDEWARDEN_ORDERS_URL: 'postgresql://agent@127.0.0.1:15432/or%20ders?sslmode=disable',
    PGHOST: '127.0.0.1',
    PGPORT: '15432',
    PGDATABASE: 'or ders',
    PGUSER: 'agent',
    PGSSLMODE: 'disable',
  });
  const two = envOf(injected(podWith({ connections: `${ORDERS}, access/with-tls` })).pod);
  assert.equal(two['PGHOST'], undefined);
  assert.equal(two['SIDEWARDEN_WITH_TLS_URL'], 'postgresql://agent@[::1]:15433/d?sslmode=require');
  const sameName = envOf(injected(podWith({ connections: `${ORDERS}, other/orders` })).pod);
  assert.equal(sameName['SIDEWARDEN_ACCESS_ORDERS_PORT'], '15432');
  assert.equal(sameName['SIDEWARDEN_OTHER_ORDERS_PORT'], '15439');
});

test('what a container sets itself is kept where it does no harm, else refused', () => {
  const rows: readonly [Json, boolean, RegExp | undefined][] = [
    [{ name: 'PGHOST', value: '127.0.0.1' }, false, undefined],
    [{ name: 'PGHOST', value: 'elsewhere' }, false, /PGHOST must be "127.0.0.1"/u],
    [{ name: 'PGHOST', value: 'orders.db' }, false, /PGHOST/u],
    [{ name: 'PGHOST', value: 'orders.db' }, true, undefined],
    [{ name: 'PGHOST', valueFrom: { secretKeyRef: {} } }, false, /takes it from elsewhere/u],
    [{ name: 'PGPORT', value: '5432' }, false, /PGPORT/u],
    [{ name: 'PGPORT', value: '5432' }, true, undefined],
    [{ name: 'PGDATABASE', value: 'other' }, false, /PGDATABASE/u],
    [{ name: 'PGUSER', value: 'me' }, false, undefined],
    [{ name: 'PGUSER', valueFrom: { secretKeyRef: {} } }, false, undefined],
    [{ name: 'PGPASSWORD', value: 'x' }, false, undefined],
    [{ name: 'PGAPPNAME', value: 'x' }, false, undefined],
    [{ name: 'PGSSLMODE', value: 'prefer' }, false, undefined],
    [{ name: 'PGSSLMODE', value: 'require' }, false, /PGSSLMODE/u],
    [{ name: 'PGSERVICE', value: 'x' }, false, /past the sidecar/u],
    [{ name: 'PGHOSTADDR', value: '10.0.0.1' }, false, /past the sidecar/u],
    [{ name: 'PGHOSTADDR', value: '127.0.0.1' }, false, undefined],
    [{ name: 'SIDEWARDEN_ORDERS_URL', value: 'postgresql://x' }, false, /SIDEWARDEN_ORDERS_URL/u],
  ];
  for (const [variable, redirect, reason] of rows) {
    const pod = podWith({ container: { env: [variable] }, redirect });
    const outcome = inject(pod, context());
    if (reason === undefined) {
      assert.ok(outcome.kind === 'injected', JSON.stringify([variable, outcome]));
      assert.equal(envOf(outcome.pod)[String(variable['name'])], variable['value'] ?? variable['valueFrom']);
    } else {
      assert.ok(outcome.kind === 'refused', JSON.stringify(variable));
      assert.match(outcome.problems.join(), reason);
    }
  }
});

test('envFrom, and a target whose certificate is not checked, are warned of', () => {
  const pod = podWith({ container: { envFrom: [{ secretRef: { name: 's' } }] } });
  assert.match(injected(pod).warnings.join(), /container agent takes variables from envFrom: PGHOST/u);
  assert.match(
    injected(podWith({ connections: 'access/loose' })).warnings.join(),
    /certificate is not checked/u,
  );
});

test('refusals say all that is wrong', () => {
  const rows: readonly [string, Json, RegExp][] = [
    ['none', podWith({ connections: '' }), /names no connection/u],
    ['malformed', podWith({ connections: 'access/Orders' }), /is no namespace\/name/u],
    ['control characters', podWith({ connections: 'access/orders\u001b[31m' }), /is no namespace\/name/u],
    ['twice', podWith({ connections: `${ORDERS},${ORDERS}` }), /named twice/u],
    [
      'too many',
      podWith({ connections: Array.from({ length: 17 }, (_, i) => `a/b${i}`).join() }),
      /more than 16/u,
    ],
    [
      'unknown annotation',
      podWith({ annotations: { 'sidewarden.dev/conections': 'a/b' } }),
      /there is no such annotation/u,
    ],
    [
      'bad redirect',
      podWith({ annotations: { 'sidewarden.dev/redirect': 'yes' } }),
      /must be "true" or "false"/u,
    ],
    [
      'redirect alone',
      podWith({ connections: undefined, redirect: true }),
      /needs sidewarden.dev\/connections/u,
    ],
    ['missing', podWith({ connections: 'access/none' }), /no such connection/u],
    ['invalid', podWith({ connections: 'access/broken' }), /is not valid: spec/u],
    ['not allowed', podWith({ connections: 'access/closed' }), /does not allow this namespace/u],
    ['protocol', podWith({ connections: 'access/shell' }), /protocol, ssh, is not spoken/u],
    ['no identity', podWith({ connections: 'access/oidc' }), /no identity source that a pod has/u],
    ['same port', podWith({ connections: `${ORDERS}, access/same-port` }), /both have listen.port 15432/u],
    ['health port', podWith({ connections: 'access/health' }), /listen.port 15090/u],
    ['open listener', podWith({ connections: 'access/open' }), /must be loopback/u],
    [
      'same target',
      podWith({ connections: `${ORDERS}, access/same-target`, redirect: true }),
      /the same target/u,
    ],
    ['host network', podWith({ spec: { hostNetwork: true } }), /hostNetwork/u],
    ['static', podWith({ annotations: { 'kubernetes.io/config.mirror': 'x' } }), /static pod/u],
    ['our name', podWith({ container: { name: 'sidewarden' } }), /names sidewarden/u],
    [
      'our init name',
      podWith({ spec: { initContainers: [{ name: 'sidewarden', image: 'x' }] } }),
      /name sidewarden/u,
    ],
    [
      'our volume',
      podWith({ spec: { volumes: [{ name: 'sidewarden-spool', emptyDir: {} }] } }),
      /name sidewarden-spool/u,
    ],
  ];
  for (const [name, pod, reason] of rows) {
    const outcome = inject(pod, context());
    assert.ok(outcome.kind === 'refused', `${name}: ${JSON.stringify(outcome)}`);
    assert.match(outcome.problems.join('; '), reason, name);
  }
});

const automatic = {
  name: 'kube-api-access-x1',
  projected: {
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
      { configMap: { name: 'kube-root-ca.crt' } },
    ],
  },
};
const mounts = [
  { name: automatic.name, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
  { name: 'own', mountPath: '/own' },
];
const own = {
  name: 'own',
  projected: { sources: [{ serviceAccountToken: { path: 't', audience: 'vault' } }] },
};
const keep = { 'sidewarden.dev/service-account-token': 'keep' };

test('the token of the service account: taken away, refused, or kept by the annotation', () => {
  const harmless = { name: 'own', emptyDir: {} };
  const taken = injected(
    podWith({ container: { volumeMounts: mounts }, spec: { volumes: [automatic, harmless] } }),
  ).pod;
  const spec = object(taken['spec']);
  assert.deepEqual(
    objects(spec['volumes']).map((each) => each['name']),
    ['own', 'sidewarden-token', 'sidewarden-spool'],
  );
  assert.deepEqual(object(objects(spec['containers'])[0])['volumeMounts'], [mounts[1]]);
  assert.equal(spec['automountServiceAccountToken'], false);
  const explicit = { automountServiceAccountToken: true, volumes: [automatic] };
  const rows: readonly [Json, boolean, 'injected' | 'refused'][] = [
    [podWith({ spec: explicit }), false, 'refused'],
    [podWith({ spec: explicit }), true, 'refused'],
    [podWith({ spec: { volumes: [own] } }), false, 'refused'],
    [podWith({ spec: { volumes: [own] }, annotations: keep }), false, 'injected'],
    [podWith({ spec: explicit, annotations: keep }), false, 'injected'],
    [podWith({ spec: explicit, annotations: keep }), true, 'refused'],
    [podWith({ annotations: keep }), true, 'refused'],
    [podWith({ spec: { automountServiceAccountToken: false } }), true, 'injected'],
    [podWith({ spec: { automountServiceAccountToken: false, volumes: [automatic] } }), false, 'refused'],
  ];
  for (const [pod, enforced, kind] of rows) {
    assert.equal(inject(pod, context({ enforced })).kind, kind, JSON.stringify([pod['spec'], enforced]));
  }
});

test('the sidecar, and nobody else, has its volumes; it comes first', () => {
  const pod = podWith({ spec: { initContainers: [{ name: 'setup' }] }, redirect: true });
  const spec = object(injected(pod).pod['spec']);
  const [sidecar, redirect, setup] = objects(spec['initContainers']);
  assert.deepEqual(
    [sidecar?.['name'], redirect?.['name'], setup?.['name']],
    ['sidewarden', 'sidewarden-redirect', 'setup'],
  );
  assert.deepEqual(
    objects(sidecar?.['volumeMounts']).map((each) => each['name']),
    ['sidewarden-token', 'sidewarden-spool'],
  );
  assert.equal(redirect?.['volumeMounts'], undefined);
  assert.deepEqual(object(object(setup?.['securityContext'])['capabilities'])['drop'], [
    'NET_ADMIN',
    'NET_RAW',
  ]);
});

test('inject(inject(p)) equals inject(p), and what others put in is kept', () => {
  fc.assert(
    fc.property(anyPod, fc.boolean(), (pod, enforced) => {
      const once = inject(pod, context({ enforced }));
      if (once.kind !== 'injected') return;
      const twice = inject(once.pod, context({ enforced }));
      assert.ok(twice.kind === 'injected', JSON.stringify(twice));
      assert.ok(sameJson(twice.pod, once.pod));
      const names = (of: Json) => objects(object(of['spec'])['containers']).map((each) => each['name']);
      assert.deepEqual(names(once.pod), names(pod));
    }),
    { numRuns: 500 },
  );
});

test('quantities are compared as numbers', () => {
  const equal = [
    ['1', '1000m'],
    ['1Gi', '1024Mi'],
    ['0.5', '500m'],
    ['1e3', '1k'],
    [1, '1'],
    ['128974848', '123Mi'],
  ];
  const different = [
    ['1', '1001m'],
    ['1G', '1Gi'],
    ['x', '1'],
    ['', '0'],
    [undefined, '1'],
  ];
  for (const [a, b] of equal) assert.ok(sameQuantity(a, b), `${a} ${b}`);
  for (const [a, b] of different) assert.ok(!sameQuantity(a, b), `${a} ${b}`);
});
