/** Injection and guard behind a real kube-apiserver, with its own defaulting, admission plugins and kubectl. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { stringify } from 'yaml';
import {
  controlPlaneUnavailable,
  startControlPlane,
  type ControlPlane,
} from '../../e2e/cluster/control-plane.ts';
import { kindsServed } from '../../e2e/cluster/kinds.ts';
import { OWN_KINDS, webhooksAt } from '../../e2e/admission/webhooks.ts';
import type { Outcome } from '../../e2e/cluster/access.ts';
import { connectKube, type RunningKube } from '../kube/connect.ts';
import { SIDECAR_NAME } from '../kube/names.ts';
import { podHandlers } from './handlers.ts';
import { isJson, object, objects, type Json } from './json.ts';
import type { Lifetimes } from './material.ts';
import type { HttpsServer } from '../https.ts';
import { ownCertificates } from './own-certificates.ts';
import { startAdmission, type Handler } from './server.ts';
import type { WatchedCertificates } from './watched-certificates.ts';
import { setBundles } from './webhooks.ts';

const skip = (await controlPlaneUnavailable()) ?? false;
const log = pino({ level: 'silent' });
const DAY = 86_400_000;
let plane: ControlPlane;
let kube: RunningKube;
let certificates: WatchedCertificates;
let server: HttpsServer;
const YEAR = 365 * DAY;
/** Certificates of all of the last twenty years are valid today, as the API server sees it: a clock that runs through them replaces all. */
const LONG: Lifetimes = { authority: 24 * YEAR, serving: 21 * YEAR, settle: 2 * YEAR };
let now = Date.now() - 20 * YEAR;

const connection = (name: string, port: number, change: object = {}) => ({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'ProtectedConnection',
  metadata: { name, namespace: 'production-access' },
  spec: {
    protocol: 'postgres',
    target: { host: `${name}.db.internal`, port: 5432, database: 'orders' },
    credentials: { secretRef: { name: 'admin' } },
    allowedNamespaces: { matchLabels: { 'sidewarden.dev/agents': 'true' } },
    identity: { sources: [{ serviceAccount: {} }] },
    listen: { port },
    ...change,
  },
});
const namespace = (name: string, labels: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
const agents = { 'sidewarden.dev/agents': 'true' };

const ORDERS = 'production-access/orders';

/** Adds a container to every pod that asks for it, as meshes do; after our own webhook, by its name. */
const mesh: Handler = ({ object: pod }) => {
  const spec = object(pod?.['spec']);
  const containers = objects(spec['containers']);
  if (containers.some((each) => each['name'] === 'mesh')) return { kind: 'allowed' };
  const added = { name: 'mesh', image: 'mesh' };
  const initContainers = [{ name: 'mesh-first', image: 'mesh' }, ...objects(spec['initContainers'])];
  return {
    kind: 'allowed',
    object: { ...pod, spec: { ...spec, initContainers, containers: [...containers, added] } },
  };
};

/** The product's configurations, at our own address. */
function configurations(): readonly Json[] {
  const ours = webhooksAt(client, (path) => !OWN_KINDS.includes(path));
  const [mutating] = ours;
  const [first] = mutating?.webhooks ?? [];
  const meshes = {
    ...mutating,
    metadata: { name: 'zz-mesh' },
    webhooks: [
      {
        ...first,
        name: 'mesh.example.com',
        clientConfig: client('/mesh'),
        objectSelector: { matchLabels: { mesh: 'true' } },
      },
    ],
  };
  return [...ours, meshes];
}

function client(path: string) {
  const caBundle = Buffer.from(certificates.current().bundle).toString('base64');
  return { url: `https://localhost:${server.port}${path}`, caBundle };
}

before(async () => {
  if (skip !== false) return;
  plane = await startControlPlane({ controllers: true });
  await plane.kubectl(['apply', '-f', 'crds/'], { cwd: process.cwd() });
  await kindsServed(plane);
  kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
  await kube.synced;
  const documents = [
    ...['sidewarden', 'production-access', 'plain'].map((name) => namespace(name)),
    namespace('free', agents),
    namespace('enforced', { ...agents, 'sidewarden.dev/enforce': 'true' }),
    connection('orders', 15432),
    connection('stock', 15433),
    connection('twin', 15432),
    connection('loose', 15434, { target: { host: 'loose', database: 'd', tls: { mode: 'disable' } } }),
  ];
  await plane.apply(documents.map((each) => stringify(each)).join('---\n'));
  for (const each of ['free', 'enforced', 'plain', 'kube-system', 'sidewarden']) await account(each);
  const hosts = ['localhost'];
  const options = { kube, namespace: 'sidewarden', name: 'sidewarden-certificates', hosts, log };
  certificates = await ownCertificates({
    ...options,
    interval: 3_600_000,
    lifetimes: LONG,
    now: () => now,
  });
  const settings = {
    image: 'sidewarden-sidecar:1',
    pullPolicy: 'IfNotPresent',
    resources: { requests: { cpu: '0.02', memory: '131072Ki' }, limits: { memory: '512Mi' } },
    spoolLimit: '1024Mi',
    brokerUrl: 'https://sidewarden.sidewarden.svc:8443',
  } as const;
  const marked: Handler = () => ({ kind: 'refused', code: 403, message: 'marked' });
  const handlers = { ...podHandlers({ kube, settings, certificates }), '/mesh': mesh, '/marked': marked };
  server = await startAdmission({ port: 0, address: '127.0.0.1', certificates, handlers, log });
  await plane.apply(
    configurations()
      .map((each) => stringify(each))
      .join('---\n'),
  );
  await until(async () => (await run(pod('probe'), 'enforced', ['--dry-run=server'])).code !== 0);
  // The API server learns of each kind of webhook by a watch of its own.
  const meshed = pod('probe', { connections: ORDERS, labels: { mesh: 'true' } });
  await until(async () =>
    (await run(meshed, 'enforced', ['--dry-run=server'])).stdout.includes('mesh-first'),
  );
});

after(async () => {
  if (skip !== false) return;
  await server.close();
  await certificates.close();
  await kube.close();
  await plane.stop();
});

async function account(name: string): Promise<void> {
  await until(
    async () => (await plane.kubectlOutcome(['-n', name, 'get', 'serviceaccount', 'default'])).code === 0,
  );
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 90_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'waited for too long');
    await sleep(100);
  }
}

interface Change {
  readonly connections?: string;
  readonly annotations?: object;
  readonly labels?: object;
  readonly spec?: object;
  readonly container?: object;
}

function pod(name: string, change: Change = {}): Json {
  const named = change.connections;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels: change.labels ?? {},
      annotations: {
        ...(named === undefined ? {} : { 'sidewarden.dev/connections': named }),
        ...change.annotations,
      },
    },
    spec: { containers: [{ name: 'agent', image: 'agent', ...change.container }], ...change.spec },
  };
}

function run(what: Json, inNamespace: string, args: readonly string[] = []): Promise<Outcome> {
  return plane.kubectlOutcome(['-n', inNamespace, 'create', '-f', '-', '-o', 'json', ...args], {
    input: JSON.stringify(what),
  });
}

async function created(what: Json, inNamespace: string, args?: readonly string[]): Promise<Json> {
  const { code, stdout, stderr } = await run(what, inNamespace, args);
  assert.equal(code, 0, stderr);
  const made: unknown = JSON.parse(stdout);
  assert.ok(isJson(made));
  return made;
}

function specOf(made: Json): { spec: Json; inits: readonly Json[]; agent: Json } {
  const spec = object(made['spec']);
  return { spec, inits: objects(spec['initContainers']), agent: object(objects(spec['containers'])[0]) };
}

test('kubectl creates an annotated pod: the guard accepts what injection made of it', { skip }, async () => {
  for (const inNamespace of ['enforced', 'free']) {
    const { spec, inits, agent } = specOf(await created(pod('a', { connections: ORDERS }), inNamespace));
    assert.deepEqual(
      inits.map((each) => [each['name'], each['restartPolicy']]),
      [[SIDECAR_NAME, 'Always']],
    );
    assert.deepEqual(
      objects(spec['volumes']).map((each) => each['name']),
      ['sidewarden-token', 'sidewarden-spool'],
    );
    assert.equal(spec['automountServiceAccountToken'], false);
    assert.equal(agent['volumeMounts'], undefined);
    const env = Object.fromEntries(objects(agent['env']).map((each) => [each['name'], each['value']]));
    assert.equal(env['PGHOST'], '127.0.0.1');
    assert.equal(env['SIDEWARDEN_ORDERS_URL'], 'postgresql://agent@127.0.0.1:15432/orders?sslmode=disable');
  }
});

test('jobs with init containers, a dry run, a redirect, two connections', { skip }, async () => {
  const template = pod('t', {
    connections: ORDERS,
    spec: { restartPolicy: 'Never', initContainers: [{ name: 'setup', image: 'i' }] },
  });
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'job' },
    spec: { template: { metadata: template['metadata'], spec: template['spec'] } },
  };
  await created(job, 'enforced');
  await until(
    async () =>
      (await plane.kubectl(['-n', 'enforced', 'get', 'pods', '-l', 'job-name=job', '-o', 'name'])) !== '',
  );
  const listed = await plane.kubectl([
    '-n',
    'enforced',
    'get',
    'pods',
    '-l',
    'job-name=job',
    '-o',
    'jsonpath={.items[0].spec.initContainers[*].name}',
  ]);
  assert.equal(listed, `${SIDECAR_NAME} setup`);

  await created(pod('dry', { connections: ORDERS }), 'enforced', ['--dry-run=server']);
  assert.notEqual((await plane.kubectlOutcome(['-n', 'enforced', 'get', 'pod', 'dry'])).code, 0);

  const both = pod('both', {
    connections: `${ORDERS}, production-access/stock`,
    annotations: { 'sidewarden.dev/redirect': 'true' },
  });
  const { inits, agent } = specOf(await created(both, 'enforced'));
  assert.deepEqual(
    inits.map((each) => each['name']),
    [SIDECAR_NAME, 'sidewarden-redirect'],
  );
  assert.deepEqual(inits[1]?.['args'], [
    'redirect',
    '64937',
    '15432=orders.db.internal:5432',
    '15433=stock.db.internal:5432',
  ]);
  assert.equal(objects(agent['env']).length, 6);
});

test('a webhook that adds containers, and puts itself first, is met again', { skip }, async () => {
  const { inits, spec } = specOf(
    await created(pod('meshed', { connections: ORDERS, labels: { mesh: 'true' } }), 'enforced'),
  );
  assert.deepEqual(
    inits.map((each) => each['name']),
    [SIDECAR_NAME, 'mesh-first'],
  );
  for (const container of [...objects(spec['containers']), ...inits.slice(1)]) {
    assert.ok(
      objects(container['env']).some((each) => each['name'] === 'PGHOST'),
      String(container['name']),
    );
    assert.deepEqual(object(object(container['securityContext'])['capabilities'])['drop'], [
      'NET_ADMIN',
      'NET_RAW',
    ]);
  }
});

test("limits of a namespace's LimitRange do not make the sidecar another", { skip }, async () => {
  const limits = { type: 'Container', default: { cpu: '1', memory: '1Gi' }, defaultRequest: { cpu: '10m' } };
  const range = {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: 'limits' },
    spec: { limits: [limits] },
  };
  await created(pod('limited', { connections: ORDERS }), 'free');
  await plane.kubectl(['-n', 'free', 'create', '-f', '-'], { input: JSON.stringify(range) });
  await until(async () =>
    (await run(pod('ranged', { connections: ORDERS }), 'free', ['--dry-run=server'])).stdout.includes(
      'limit-ranger',
    ),
  );
  const { inits } = specOf(await created(pod('ranged', { connections: ORDERS }), 'free'));
  assert.equal(object(object(inits[0]?.['resources'])['limits'])['memory'], '512Mi');
  await plane.kubectl(['-n', 'free', 'delete', 'limitrange', 'limits']);
});

test(
  'the token of the service account: taken away by default, kept by the annotation, never the sidecar’s',
  { skip },
  async () => {
    const keep = { 'sidewarden.dev/service-account-token': 'keep' };
    const rows: readonly [Change, boolean][] = [
      [{}, false],
      [{ spec: { automountServiceAccountToken: false } }, false],
      [{ annotations: keep }, true],
      [{ annotations: keep, spec: { automountServiceAccountToken: true } }, true],
    ];
    for (const [index, [change, kept]] of rows.entries()) {
      const made = await created(pod(`token-${index}`, { connections: ORDERS, ...change }), 'free');
      const { inits, agent } = specOf(made);
      assert.equal(
        JSON.stringify(agent['volumeMounts'] ?? '').includes('serviceaccount'),
        kept,
        `row ${index}`,
      );
      assert.doesNotMatch(JSON.stringify(inits[0]?.['volumeMounts']), /serviceaccount/u);
    }
  },
);

test('what is refused says why', { skip }, async () => {
  const rows: readonly [string, string, Change, RegExp][] = [
    ['enforced', 'no annotation', {}, /has no sidecar/u],
    ['enforced', 'unknown connection', { connections: 'production-access/none' }, /no such connection/u],
    ['plain', 'not allowed', { connections: ORDERS }, /does not allow this namespace/u],
    ['free', 'malformed', { connections: 'orders' }, /is no namespace\/name/u],
    [
      'free',
      'same port',
      { connections: `${ORDERS}, production-access/twin` },
      /both have listen.port 15432/u,
    ],
    ['free', 'hostNetwork', { connections: ORDERS, spec: { hostNetwork: true } }, /hostNetwork/u],
    [
      'free',
      'PGHOST',
      { connections: ORDERS, container: { env: [{ name: 'PGHOST', value: 'x' }] } },
      /PGHOST must be/u,
    ],
    [
      'enforced',
      'token',
      { connections: ORDERS, spec: { automountServiceAccountToken: true } },
      /no agent may have one/u,
    ],
    [
      'free',
      'processes',
      { connections: ORDERS, spec: { shareProcessNamespace: true } },
      /shareProcessNamespace/u,
    ],
    ['free', 'uid', { connections: ORDERS, container: { securityContext: { runAsUser: 64937 } } }, /64937/u],
    ['free', 'label', { labels: { 'sidewarden.dev/injected': 'true' } }, /has no sidecar/u],
  ];
  for (const [inNamespace, name, change, reason] of rows) {
    const { code, stderr } = await run(pod('refused', change), inNamespace);
    assert.notEqual(code, 0, name);
    assert.match(stderr, reason, name);
  }
});

test('what is none of our business passes, whatever namespace it is in', { skip }, async () => {
  await created(pod('plain', { spec: { hostNetwork: true, shareProcessNamespace: true } }), 'plain');
  await created(pod('agentless'), 'free');
  await created(pod('system'), 'kube-system');
  await created(pod('own'), 'sidewarden');
  const { stderr } = await run(pod('warned', { connections: 'production-access/loose' }), 'free');
  assert.match(
    stderr,
    /Warning: sidewarden: connection production-access\/loose: its target's certificate is not checked/u,
  );
});

test('a pod that is there keeps what decides its connections; the rest may change', { skip }, async () => {
  await created(pod('there', { connections: ORDERS }), 'free');
  await created(pod('there', { connections: ORDERS }), 'enforced');
  await created(pod('bare'), 'free');
  const edit = (name: string, inNamespace: string, patch: object, more: readonly string[] = []) =>
    plane.kubectlOutcome([
      '-n',
      inNamespace,
      'patch',
      'pod',
      name,
      '--type',
      'strategic',
      '-p',
      JSON.stringify(patch),
      ...more,
    ]);
  const annotate = (value: string | null) => ({
    metadata: { annotations: { 'sidewarden.dev/connections': value } },
  });
  const allowed: readonly [string, object, (readonly string[])?][] = [
    ['there', { metadata: { labels: { other: 'label' } } }],
    ['there', { spec: { containers: [{ name: 'agent', image: 'agent:2' }] } }],
    ['there', { status: { message: 'hello' } }, ['--subresource=status']],
    ['bare', { spec: { containers: [{ name: 'agent', image: 'agent:2' }] } }],
    [
      'bare',
      { spec: { ephemeralContainers: [{ name: 'debug', image: 'busybox' }] } },
      ['--subresource=ephemeralcontainers'],
    ],
  ];
  for (const [name, patch, more] of allowed) {
    const { code, stderr } = await edit(name, 'free', patch, more);
    assert.equal(code, 0, `${JSON.stringify(patch)}: ${stderr}`);
  }
  const refused: readonly [string, object, RegExp, (readonly string[])?][] = [
    ['there', annotate('production-access/stock'), /connections cannot be changed/u],
    ['there', annotate(null), /connections cannot be changed/u],
    [
      'there',
      annotate('production-access/stock'),
      /connections cannot be changed/u,
      ['--subresource=status'],
    ],
    ['bare', annotate(ORDERS), /connections cannot be changed/u],
    ['bare', annotate(ORDERS), /connections cannot be changed/u, ['--subresource=status']],
    ['there', { metadata: { labels: { 'sidewarden.dev/injected': null } } }, /injected cannot be changed/u],
    ['bare', { metadata: { labels: { 'sidewarden.dev/injected': 'true' } } }, /injected cannot be changed/u],
    [
      'there',
      { spec: { initContainers: [{ name: SIDECAR_NAME, image: 'evil' }] } },
      /sidecar's containers cannot/u,
    ],
    [
      'there',
      { spec: { initContainers: [{ name: SIDECAR_NAME, resources: { limits: { memory: '600Mi' } } }] } },
      /sidecar's containers cannot/u,
      ['--subresource=resize'],
    ],
    [
      'there',
      {
        spec: {
          ephemeralContainers: [{ name: 'debug', image: 'busybox', targetContainerName: SIDECAR_NAME }],
        },
      },
      /ephemeral container debug/u,
      ['--subresource=ephemeralcontainers'],
    ],
  ];
  for (const [name, patch, reason, more] of refused) {
    for (const inNamespace of name === 'there' ? ['free', 'enforced'] : ['free']) {
      const { code, stderr } = await edit(name, inNamespace, patch, more);
      assert.notEqual(code, 0, JSON.stringify(patch));
      assert.match(stderr, reason);
    }
  }
  assert.equal(
    (await plane.kubectlOutcome(['-n', 'enforced', 'delete', 'pod', 'there', '--grace-period=0', '--force']))
      .code,
    0,
  );
});

test(
  'no way in but by exec into the agent; no token for the broker; no binding with our annotations',
  { skip },
  async () => {
    await created(pod('entered', { connections: ORDERS }), 'enforced');
    const raw = (path: string, body: object) =>
      plane.kubectlOutcome(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(body) });
    const at = '/api/v1/namespaces/enforced';
    const token = (audience: string) => ({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: [audience] },
    });
    const bind = (annotations: object) => ({
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'entered', annotations },
      target: { kind: 'Node', name: 'nowhere' },
    });
    const rows: readonly [string, () => Promise<Outcome>, RegExp][] = [
      [
        'exec',
        () => plane.kubectlOutcome(['-n', 'enforced', 'exec', 'entered', '-c', SIDECAR_NAME, '--', 'id']),
        /exec into the container sidewarden is refused/u,
      ],
      [
        'attach',
        () => plane.kubectlOutcome(['-n', 'enforced', 'attach', 'entered', '-c', SIDECAR_NAME]),
        /attach into the container sidewarden is refused/u,
      ],
      ['portforward', () => raw(`${at}/pods/entered/portforward?ports=15432`, {}), /portforward into a pod/u],
      [
        'token',
        () => raw(`${at}/serviceaccounts/default/token`, token('broker.sidewarden.dev')),
        /made for sidecars only/u,
      ],
      [
        'binding',
        () => raw(`${at}/pods/entered/binding`, bind({ 'sidewarden.dev/connections': 'a/b' })),
        /a binding must not bring/u,
      ],
      [
        'bindings',
        () => raw(`${at}/bindings`, bind({ 'sidewarden.dev/connections': 'a/b' })),
        /a binding must not bring/u,
      ],
      // Near misses: the pod runs nowhere, so it is the API server that says no, or nobody.
      [
        'exec into the agent',
        () => plane.kubectlOutcome(['-n', 'enforced', 'exec', 'entered', '-c', 'agent', '--', 'id']),
        /does not have a host assigned/u,
      ],
      ['another token', () => raw(`${at}/serviceaccounts/default/token`, token('vault')), /^$/u],
      ['another binding', () => raw(`${at}/pods/entered/binding`, bind({ mine: 'x' })), /^$/u],
    ];
    for (const [name, outcome, reason] of rows) assert.match((await outcome()).stderr, reason, name);
  },
);

/** Resolves when the API server has seen all changes of webhooks so far: of each kind they come to it in their order. */
async function changesSeen(mark: number): Promise<void> {
  for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
    const name = `marked-${mark}`;
    const labels = { marked: `${kind}-${mark}` };
    const webhook = {
      name: 'marked.example.com',
      clientConfig: client('/marked'),
      objectSelector: { matchLabels: labels },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    };
    const configuration = { apiVersion: 'admissionregistration.k8s.io/v1', kind, metadata: { name } };
    await plane.apply(JSON.stringify({ ...configuration, webhooks: [webhook] }));
    const marked = pod('marked', { labels });
    await until(async () => {
      const { stderr } = await run(marked, 'plain', ['--dry-run=server']);
      return stderr.includes('denied the request: marked');
    });
    await plane.kubectl(['delete', kind, name]);
  }
}

test(
  'certificates are replaced, the authority too, while requests go on without one failed',
  { skip, timeout: 600_000 },
  async () => {
    const failures: string[] = [];
    let requests = 0;
    let stopped = false;
    const load = async () => {
      while (!stopped) {
        const { code, stderr } = await run(pod('during', { connections: ORDERS }), 'enforced', [
          '--dry-run=server',
        ]);
        requests += 1;
        if (code !== 0) failures.push(stderr);
      }
    };
    const loads = [load(), load()];
    const shown = new Set<string>();
    const bundles = new Set<string>();
    for (let year = 0; year < 20; year += 1) {
      now += YEAR;
      await certificates.look();
      await setBundles(kube, 'sidewarden', certificates.current().bundle);
      shown.add(certificates.current().certificate);
      if (!bundles.has(certificates.current().bundle)) await changesSeen(year);
      bundles.add(certificates.current().bundle);
      const before = requests;
      await until(() => Promise.resolve(requests >= before + 3));
    }
    stopped = true;
    await Promise.all(loads);
    assert.deepEqual(failures, []);
    assert.deepEqual([shown.size, bundles.size], [3, 2]);
  },
);

test('a dead operator stops annotated pods and enforced namespaces, and nothing else', { skip }, async () => {
  await created(pod('last', { connections: ORDERS }), 'enforced');
  await created(pod('last', { connections: ORDERS }), 'free');
  await server.close();
  for (const inNamespace of ['plain', 'free', 'kube-system', 'sidewarden'])
    await created(pod('alive'), inNamespace);
  for (const inNamespace of ['enforced', 'free']) {
    const { code, stderr } = await run(pod('dead', { connections: ORDERS }), inNamespace);
    assert.notEqual(code, 0);
    assert.match(stderr, /failed calling webhook/u);
  }
  assert.match((await run(pod('dead'), 'enforced')).stderr, /failed calling webhook/u);
  const change = (inNamespace: string, patch: object, args: readonly string[] = []) =>
    plane.kubectl(['-n', inNamespace, 'patch', 'pod', 'last', '-p', JSON.stringify(patch), ...args]);
  for (const inNamespace of ['enforced', 'free']) {
    await change(inNamespace, { status: { message: 'x' } }, ['--subresource=status']);
    await change(inNamespace, { metadata: { labels: { other: 'x' }, finalizers: [] } });
    await assert.rejects(
      change(inNamespace, { metadata: { annotations: { 'sidewarden.dev/connections': 'a/b' } } }),
      /failed calling webhook/u,
    );
    await plane.kubectl(['-n', inNamespace, 'delete', 'pod', 'last', '--grace-period=0', '--force']);
  }
  const denied = await plane.kubectlOutcome(['-n', 'plain', 'exec', 'alive', '--', 'id']);
  assert.match(denied.stderr, /does not have a host assigned/u);
});
