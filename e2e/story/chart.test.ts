/** The chart: what it refuses, what it renders, and a life of a release with open sessions in it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { root } from '../bundle.ts';
import { createAuthority } from '../cluster/certificates.ts';
import { until } from '../cluster/component.ts';
import { kindsServed } from '../cluster/kinds.ts';
import { sharedClusterUnavailable } from '../cluster/shared.ts';
import { agentPod, apply, outputOf, saying, signedIn } from './agent-pod.ts';
import { followPages } from './pages.ts';
import { startStage } from './shared-stage.ts';
import { ACCESS, AGENTS, OPERATOR, type Stage } from './stage.ts';
import { prepareStore } from './store.ts';

const CHART = 'charts/sidewarden';
const skip = (await sharedClusterUnavailable()) ?? false;
let stage: Stage;

before(async () => {
  if (skip === false) stage = await startStage();
});

const inOperator = ['--namespace', OPERATOR];
const waiting = ['--wait', '--timeout', '180s'];
const sets = (...values: readonly string[]) => values.flatMap((value) => ['--set', value]);
/** helm knows no cluster's version when it only renders. */
const VERSION = ['--kube-version', 'v1.35.4'];
const NAMED = `connectionNamespaces={${ACCESS}}`;

test('the chart is sound, and of the version of the package', { skip }, async () => {
  await stage.helm('lint', '--strict', CHART);
  const chart: unknown = parse(await readFile(join(root, CHART, 'Chart.yaml'), 'utf8'));
  const { version }: { readonly version: string } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  );
  assert.deepEqual(pick(chart, ['version', 'appVersion']), { version, appVersion: version });
});

function pick(value: unknown, names: readonly string[]): unknown {
  assert.ok(typeof value === 'object' && value !== null);
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)));
}

test('wrong values are refused, by name', { skip }, async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['replicas=0', /replicas.*(1|minimum)/s],
    ['replica=3', /replica.*not allowed/s],
    ['connectionNamespaces=production-access', /connectionNamespaces.*array/s],
    ['connectionNamespaces={Production}', /connectionNamespaces/],
    ['certificates.source=vault', /certificates.source.*certManager/s],
    ['certificates.source=certManager', /certificates\.issuerRef\.name/],
    ['logLevel=chatty', /logLevel/],
    ['sidecar.spoolLimit=much', /sidecar.spoolLimit/],
    ['sidecar.image.pullPolicy=Sometimes', /pullPolicy/],
    ['endedTtlSeconds=1', /endedTtlSeconds.*60/s],
    ['networkPolicy.enabled=perhaps', /networkPolicy.enabled.*boolean/s],
  ];
  for (const [value, reason] of cases) {
    const rendered = stage.helm('template', 'sidewarden', CHART, ...VERSION, ...sets(value));
    await assert.rejects(rendered, reason, value);
  }
});

const ALL_ON = sets(
  NAMED,
  'replicas=3',
  'image.repository=registry.example.com/operator',
  'imagePullSecrets[0].name=pull',
  'resources.limits.cpu=1',
  'certificates.source=certManager',
  'certificates.issuerRef.name=ca',
  'certificates.issuerRef.kind=ClusterIssuer',
  'spool.existingClaim=spool',
  'metrics.serviceMonitor.enabled=true',
  'metrics.serviceMonitor.labels.release=prometheus',
  'metrics.rules.enabled=true',
  'metrics.rules.labels.release=prometheus',
  'metrics.dashboard.enabled=true',
  'podAnnotations.team=platform',
  'podLabels.team=platform',
  'nodeSelector.pool=system',
  'tolerations[0].operator=Exists',
  'affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1',
  'affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=kubernetes.io/hostname',
  'priorityClassName=system-cluster-critical',
);

test('with everything switched on the API server takes each object', { skip }, async (t) => {
  await stage.kubectl(`create namespace ${OPERATOR}`);
  await stage.kubectl(`create namespace ${ACCESS}`);
  const rendered = await stage.helm('template', 'sidewarden', CHART, ...VERSION, ...inOperator, ...ALL_ON);
  const objects = parseAllDocuments(rendered).map((document) => Object(document.toJS()) as Rendered); // objects, all of them
  const absent = /^(monitoring\.coreos\.com|cert-manager\.io)\//;
  for (const { kind, apiVersion } of objects.filter((each) => absent.test(each.apiVersion)))
    t.diagnostic(`${kind} is not tried: the cluster has no ${apiVersion}`);
  const known = objects.filter((each) => !absent.test(each.apiVersion));
  assert.equal(objects.length - known.length, 4);
  const items = known.map((each) =>
    isNamespaced(each) ? { ...each, metadata: { namespace: OPERATOR, ...each.metadata } } : each,
  );
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  const said = await stage.kubectl('apply --dry-run=server --validate=strict --filename -', list);
  assert.equal(said.trim().split('\n').length, known.length);
  const certificate = objects.find(({ kind }) => kind === 'Certificate');
  const injected = objects.filter(({ kind }) => kind.endsWith('WebhookConfiguration'));
  for (const { metadata } of injected) {
    // cert-manager looks for the Certificate of that name, not for its Secret.
    const from = metadata.annotations?.['cert-manager.io/inject-ca-from'];
    assert.equal(from, `${OPERATOR}/${certificate?.metadata.name}`);
  }
});

interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
}

function isNamespaced({ kind }: Rendered): boolean {
  return !/^(Cluster|CustomResourceDefinition|.*WebhookConfiguration)/.test(kind);
}

test('it installs where pods are restricted, and says what is next', { skip }, async (t) => {
  await stage.kubectl(`label namespace ${OPERATOR} pod-security.kubernetes.io/enforce=restricted`);
  const notes = await stage.helm('install', 'sidewarden', CHART, ...inOperator, ...sets(NAMED), ...waiting);
  assert.match(notes, new RegExp(`Connections and their Secrets belong in: ${ACCESS}`));
  const role = /--clusterrole=(\S+)/.exec(notes)?.[1] ?? 'none is named';
  await stage.kubectl(`get clusterrole ${role}`);
  const budget = 'jsonpath={.status.expectedPods} {.status.disruptionsAllowed}';
  await until('the disruption budget counts', async () => {
    const counted = await stage.cluster.kubectl(['get', 'pdb', 'sidewarden', ...inOperator, '-o', budget]);
    return counted === '2 1' ? true : undefined;
  });
  await followPages(t, stage, ['docs/kubernetes/first-connection.md']);
  await prepareStore(stage);
});

test('a second release says that there is one', { skip }, async () => {
  const install = (...more: readonly string[]) =>
    stage.helm('install', 'other', CHART, '--namespace', 'other-system', '--create-namespace', ...more);
  await assert.rejects(install('--set', 'crds.install=false'), /sidewarden.*serves this cluster already/);
  await assert.rejects(install(), /serves this cluster already|invalid ownership metadata/);
});

test('a connection in a namespace that the release does not name says so', { skip }, async () => {
  const spec = {
    protocol: 'postgres',
    target: { host: 'orders.databases.svc.cluster.local', database: 'orders', tls: { mode: 'disable' } },
    credentials: { secretRef: { name: 'admin' } },
    identity: { sources: [{ serviceAccount: {} }] },
    recording: { configMapRef: { name: 'recordings' } },
    listen: { port: 15_432 },
  };
  const metadata = { name: 'unnamed', namespace: 'default' };
  await apply(stage, [
    { apiVersion: 'sidewarden.dev/v1alpha1', kind: 'ProtectedConnection', metadata, spec },
  ]);
  const message = 'jsonpath={.status.conditions[?(@.type=="Ready")].message}';
  const said = await until('its status says something', async () => {
    const text = await stage.kubectl(
      `get protectedconnection unnamed --namespace default --output ${message}`,
    );
    return text === '' ? undefined : text;
  });
  assert.match(said, /may not read .* in the namespace default: add it to connectionNamespaces/);
  await stage.kubectl('delete protectedconnection unnamed --namespace default --timeout 180s');
});

/** A statement every half second in one session, from before an upgrade until after it. */
const STEADY = `${signedIn()}; while :; do echo "select 'steady', 1;"; sleep 0.5; done | psql -At 2>&1; echo "psql ended with $?"; sleep 600`;

/** Makes pods, several at a time, while something is done; what was refused. */
async function admittedMeanwhile(work: () => Promise<unknown>): Promise<readonly string[]> {
  let over = false;
  const refused: string[] = [];
  let tried = 0;
  const trying = Array.from({ length: 6 }, async () => {
    while (!over) {
      tried += 1;
      const pod = JSON.stringify(agentPod({ name: `tried-${tried}`, script: 'true' }));
      const { code, stderr } = await stage.cluster.kubectlOutcome(
        ['create', '--dry-run=server', '--filename', '-'],
        { input: pod },
      );
      if (code !== 0) refused.push(stderr);
    }
  });
  await work().finally(() => (over = true));
  await Promise.all(trying);
  assert.ok(tried > 2);
  return refused;
}

async function operatorPods(): Promise<readonly string[]> {
  const names = await stage.kubectl(
    `get pods --namespace ${OPERATOR} --selector app.kubernetes.io/name=sidewarden --output jsonpath={.items[*].metadata.name}`,
  );
  return names.split(' ').filter(Boolean);
}

const revision = async () =>
  stage.kubectl(
    `get deployment sidewarden --namespace ${OPERATOR} --output jsonpath={.spec.template.spec.containers[0].env[?(@.name=="SIDEWARDEN_LOG_LEVEL")].value}`,
  );

test('upgrade and roll back: open sessions go on, and every pod is admitted', { skip }, async () => {
  await apply(stage, [agentPod({ name: 'steady', script: STEADY })]);
  await saying(stage, 'steady', /steady\|1/);
  const upgrade = () =>
    stage.helm(
      'upgrade',
      'sidewarden',
      CHART,
      ...inOperator,
      '--reset-then-reuse-values',
      ...sets('logLevel=debug', 'podLabels.changed=yes'),
      ...waiting,
    );
  assert.deepEqual(await admittedMeanwhile(upgrade), []);
  assert.equal(await revision(), 'debug');
  const rollback = () => stage.helm('rollback', 'sidewarden', '1', ...inOperator, ...waiting);
  assert.deepEqual(await admittedMeanwhile(rollback), []);
  assert.equal(await revision(), 'info');
  await until('the replaced replicas are gone', async () => {
    const there = await operatorPods();
    return there.length === 2 ? true : undefined;
  });
  const count = (said: string) => said.split('\n').filter((line) => line === 'steady|1').length;
  const said = await saying(stage, 'steady', /steady/);
  await until('its session goes on', async () => {
    const now = await saying(stage, 'steady', /steady/);
    return count(now) > count(said) ? true : undefined;
  });
  assert.doesNotMatch(said, /FATAL|ERROR|ended/);
});

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly value: number;
}

function samplesOf(text: string): readonly Sample[] {
  return [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name = '', labels = '', value]) => ({
    name,
    labels,
    value: Number(value),
  }));
}

/** Of the metrics that a program names, with or without samples. */
function namesOf(text: string): readonly string[] {
  return [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
}

function total(samples: readonly Sample[], name: string, ...labels: readonly string[]): number {
  return samples
    .filter((each) => each.name === name && labels.every((label) => each.labels.includes(label)))
    .reduce((sum, { value }) => sum + value, 0);
}

test(
  'the metrics of both programs are there and right, and alerts and dashboard use no others',
  { skip },
  async () => {
    await apply(stage, [
      agentPod({
        name: 'counted',
        script: `${signedIn()}; psql -Atc "select card from customers" -c "select 1 from orders limit 3"
psql -Atc "drop table orders"; psql -Atc "delete from orders where id = 1" & sleep 600`,
      }),
    ]);
    await saying(stage, 'counted', /waiting for approval|approval/);
    const raw = (path: string) => stage.kubectl(`get --raw ${path}`);
    const sidecar = await until('the sidecar has counted', async () => {
      const text = await raw(`/api/v1/namespaces/${AGENTS}/pods/counted:15090/proxy/metrics`);
      const samples = samplesOf(text);
      const names = ['sidewarden_holds_pending', 'sidewarden_client_connections'];
      const heard = total(samples, 'sidewarden_policy_stale_seconds') === 0;
      return heard && names.every((name) => total(samples, name) === 1) ? text : undefined;
    });
    const counted = samplesOf(sidecar);
    // What the chart's PodMonitor looks for.
    const port = 'jsonpath={.spec.initContainers[0].ports[0].name}';
    assert.equal(await stage.kubectl(`get pod counted --namespace ${AGENTS} --output ${port}`), 'sidewarden');
    const ours = `connection="${ACCESS}/orders-db"`;
    const operations = (decision: string) =>
      total(counted, 'sidewarden_operations_total', ours, `decision="${decision}"`);
    assert.deepEqual(['allow', 'deny', 'hold'].map(operations), [2, 1, 1]);
    assert.equal(total(counted, 'sidewarden_rows_total', ours), 53);
    assert.equal(total(counted, 'sidewarden_masked_values_total', ours), 50);
    assert.ok(total(counted, 'sidewarden_recorder_lag_seconds') < 60);
    assert.equal(total(counted, 'sidewarden_policy_stale_seconds'), 0);
    assert.match(sidecar, /^sidewarden_spool_bytes \d+$/m);

    // Each replica says what it itself has done.
    const pods = await stage.kubectl(
      `get pods --namespace ${OPERATOR} --selector app.kubernetes.io/name=sidewarden --output jsonpath={.items[*].metadata.name}`,
    );
    const texts = await until('counted and steady: one leader, two streams, a hold', async () => {
      const told = await Promise.all(
        pods.split(' ').map((pod) => raw(`/api/v1/namespaces/${OPERATOR}/pods/${pod}:8080/proxy/metrics`)),
      );
      const samples = samplesOf(told.join('\n'));
      const [leaders, streams] = ['sidewarden_leader', 'sidewarden_broker_streams'].map((name) =>
        total(samples, name),
      );
      const held = total(samples, 'sidewarden_approvals', 'phase="pending"') > 0;
      return leaders === 1 && streams === 2 && held ? told : undefined;
    });
    const done = samplesOf(texts.join('\n'));
    assert.ok(total(done, 'sidewarden_injections_total', 'outcome="injected"') > 0);
    assert.ok(total(done, 'sidewarden_approvals', 'phase="pending"') > 0);
    assert.ok(total(done, 'sidewarden_sessions', 'phase="active"') > 0);
    assert.ok(total(done, 'sidewarden_certificate_expiry_timestamp_seconds') > Date.now() / 1000);
    assert.match(texts.join('\n'), /^sidewarden_spool_bytes \d+$/m);

    const there = new Set([sidecar, ...texts].flatMap(namesOf));
    for (const file of ['alerts.yaml', 'dashboard.json']) {
      const text = await readFile(join(root, CHART, 'files', file), 'utf8');
      const used = [...new Set(text.match(/\bsidewarden_\w+/g))];
      assert.ok(used.length > 5, file);
      assert.deepEqual(
        used.filter((name) => !there.has(name)),
        [],
        `${file} names what no program counts`,
      );
    }
    await stage.kubectl(`delete pod counted steady --namespace ${AGENTS} --timeout 180s`);
  },
);

async function uninstall(): Promise<void> {
  await stage.helm('uninstall', 'sidewarden', ...inOperator, ...waiting);
  await stage.kubectl(
    `wait --for delete pod --selector app.kubernetes.io/name=sidewarden --namespace ${OPERATOR} --timeout 180s`,
  );
}

/** A run of an agent works. */
async function works(name: string): Promise<void> {
  const pod = agentPod({
    name,
    script: `${signedIn()}; psql -Atc "select 'works', count(*) from customers"`,
  });
  // A webhook that was just installed may not be reached for a moment: then nothing is admitted.
  await until('it is admitted', () => apply(stage, [pod]).then(() => true));
  assert.match(await outputOf(stage, name), /works\|50/);
}

test('uninstalled and installed again: kinds and objects were kept, and serve', { skip }, async () => {
  await uninstall();
  const kept = await stage.kubectl(
    `get protectedconnections,accesspolicies --namespace ${ACCESS} --output name`,
  );
  assert.match(kept, /orders-db[^]*agents/);
  await stage.helm('install', 'sidewarden', CHART, ...inOperator, ...sets(NAMED), ...waiting);
  await works('again');
});

/** Stands for cert-manager's kind: only its object is wanted. */
const CERTIFICATES = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: certificates.cert-manager.io }
spec:
  group: cert-manager.io
  scope: Namespaced
  names: { kind: Certificate, plural: certificates }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } }
`;

test('with certificates of cert-manager, as it would make and inject them', { skip }, async () => {
  await stage.cluster.apply(CERTIFICATES);
  await kindsServed(stage.cluster);
  await uninstall();
  const authority = await createAuthority(join(stage.cluster.folder, 'cert-manager'));
  const names = ['svc', 'svc.cluster.local'].map((end) => `DNS:sidewarden.${OPERATOR}.${end}`);
  const { certificate, key } = await authority.server(names);
  const stringData = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': authority.certificate };
  await apply(stage, [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: 'sidewarden-certificate', namespace: OPERATOR },
      stringData,
    },
  ]);
  const source = sets(NAMED, 'certificates.source=certManager', 'certificates.issuerRef.name=ca');
  await stage.helm('install', 'sidewarden', CHART, ...inOperator, ...source, ...waiting);
  const wanted = await stage.kubectl(
    `get certificate sidewarden --namespace ${OPERATOR} --output jsonpath={.spec.secretName}`,
  );
  assert.equal(wanted, 'sidewarden-certificate');
  const caBundle = Buffer.from(authority.certificate).toString('base64');
  for (const kind of ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration']) {
    const name = `sidewarden-${OPERATOR}`;
    const webhooks = await stage.kubectl(`get ${kind} ${name} --output jsonpath={.webhooks[*].name}`);
    const patch = webhooks
      .split(' ')
      .map((_, index) => ({ op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle }));
    await stage.kubectl(`patch ${kind} ${name} --type json --patch ${JSON.stringify(patch)}`);
  }
  await works('certified');
});
