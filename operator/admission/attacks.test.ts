/** A developer with `edit` in an enforced namespace against injection and guard, by all that the API server alone can be asked. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  developer,
  ORDERS,
  root,
  startAdmissionScene,
  startOrder,
  type AdmissionScene,
  type Answer,
} from '../../e2e/admission/scene.ts';
import { RUNNERS } from '../../e2e/admission/runners.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import { SIDECAR_NAME } from '../kube/names.ts';
import { object, objects, type Json } from './json.ts';
import type { Handler } from './server.ts';

const skip = (await controlPlaneUnavailable()) ?? false;
let scene: AdmissionScene;

/** Changes a pod that has the label of its path, once. */
const other =
  (change: (spec: Json) => Json): Handler =>
  ({ object: pod }) => {
    const labels = object(object(pod?.['metadata'])['labels']);
    if (labels['done'] === 'true') return { kind: 'allowed' };
    const metadata = { ...object(pod?.['metadata']), labels: { ...labels, done: 'true' } };
    return { kind: 'allowed', object: { ...pod, metadata, spec: change(object(pod?.['spec'])) } };
  };

/** What an ambient-less mesh with a CNI plugin adds: a native sidecar, and a check that runs before it. */
const mesh = (spec: Json): Json => ({
  ...spec,
  initContainers: [
    {
      name: 'istio-validation',
      image: 'istio',
      securityContext: {
        runAsUser: 1337,
        runAsGroup: 1337,
        runAsNonRoot: true,
        capabilities: { drop: ['ALL'] },
      },
    },
    {
      name: 'istio-proxy',
      image: 'istio',
      restartPolicy: 'Always',
      securityContext: { runAsUser: 1337, runAsGroup: 1337, readOnlyRootFilesystem: true },
      env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      volumeMounts: [{ name: 'istio-envoy', mountPath: '/etc/istio/proxy' }],
    },
    ...objects(spec['initContainers']),
  ],
  volumes: [...objects(spec['volumes']), { name: 'istio-envoy', emptyDir: { medium: 'Memory' } }],
});

/** After ours: takes the sidecar's restrictions away, as one that lets every container be root might. */
const spoiler = (spec: Json): Json => ({
  ...spec,
  initContainers: objects(spec['initContainers']).map((each) => ({
    ...each,
    securityContext: { runAsUser: 0 },
  })),
});

/** As registries' mirrors do, whenever it is asked. */
const mirror: Handler = ({ object: pod }) => {
  const spec = object(pod?.['spec']);
  const initContainers = objects(spec['initContainers']).map((each) => {
    const image = String(each['image']);
    return { ...each, image: image.startsWith('mirror/') ? image : `mirror/${image}` };
  });
  return { kind: 'allowed', object: { ...pod, spec: { ...spec, initContainers } } };
};

/** After ours: gives every container an environment that Node would read. */
const environment = (spec: Json): Json => ({
  ...spec,
  initContainers: objects(spec['initContainers']).map((each) => ({
    ...each,
    env: [...objects(each['env']), { name: 'NODE_OPTIONS', value: '--require=/evil.js' }],
  })),
});

before(async () => {
  if (skip !== false) return;
  scene = await startAdmissionScene({
    '/early-mesh': other(mesh),
    '/late-mesh': other(mesh),
    '/late-spoiler': other(spoiler),
    '/late-environment': other(environment),
    '/late-mirror': mirror,
  });
  // A controller puts together what `edit` allows, and the API server learns of the mutating webhooks by a watch of their own.
  const image = { initContainers: [{ name: 'first', image: 'i' }] };
  const probe = pod('probe', { annotations: {}, labels: { 'late-mirror': 'true' }, spec: image });
  await until('the developer is let in, and the last webhook is asked', async () => {
    const { status, text } = await tryCreate(probe, 'plain');
    return (status === 201 && text.includes('mirror/i')) || undefined;
  });
});

after(async () => {
  if (skip === false) await scene.close();
});

interface Change {
  readonly annotations?: Json | undefined;
  readonly labels?: Json;
  readonly metadata?: Json;
  readonly spec?: Json;
  readonly container?: Json;
}

const loose = { 'sidewarden.dev/connections': 'production-access/loose' };
const annotated = { 'sidewarden.dev/connections': ORDERS };

function pod(name: string, change: Change = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      annotations: change.annotations ?? annotated,
      labels: change.labels ?? {},
      ...change.metadata,
    },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'agent', image: 'agent', ...change.container }],
      ...change.spec,
    },
  };
}

const at = (namespace: string) => `/api/v1/namespaces/${namespace}`;
const tryCreate = (what: Json, namespace = 'enforced') =>
  scene.call('POST', `${at(namespace)}/pods?dryRun=All`, what, { as: developer });
const create = async (what: Json, namespace = 'enforced') => {
  const answer = await scene.call('POST', `${at(namespace)}/pods`, what, { as: developer });
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
};

/** Refused by `reason`, whoever says so; all failures of a table are told at once. */
async function allRefused(
  rows: readonly (readonly [string, () => Promise<Answer>, RegExp])[],
): Promise<void> {
  const wrong: string[] = [];
  for (const [name, ask, reason] of rows) {
    const { status, text } = await ask();
    if (status < 400 || status >= 500 || !reason.test(text))
      wrong.push(`${name}: ${status} ${text.slice(0, 700)}`);
  }
  assert.deepEqual(wrong, []);
}

async function allTaken(rows: readonly (readonly [string, () => Promise<Answer>])[]): Promise<void> {
  const wrong: string[] = [];
  for (const [name, ask] of rows) {
    const { status, text } = await ask();
    if (status < 200 || status >= 300) wrong.push(`${name}: ${status} ${text.slice(0, 700)}`);
  }
  assert.deepEqual(wrong, []);
}

const sidecarImage = 'sidewarden-sidecar:1';
const brokerToken = {
  name: 't',
  projected: { sources: [{ serviceAccountToken: { audience: 'broker.sidewarden.dev', path: 'token' } }] },
};
const volume = (spec: Json): Json => ({ volumes: [spec] });
const security = (securityContext: Json): Change => ({ container: { securityContext } });
const env = (entry: Json): Change => ({ container: { env: [entry] } });
const mounts = (...volumeMounts: readonly Json[]): Change => ({ container: { volumeMounts } });
const init = (entry: Json): Change => ({ spec: { initContainers: [entry] } });

const BAD_PODS: readonly (readonly [string, Change, RegExp])[] = [
  // No sidecar, or something that pretends to be it.
  ['no annotation', { annotations: {} }, /has no sidecar/u],
  ['only the label', { annotations: {}, labels: { 'sidewarden.dev/injected': 'true' } }, /sidecar/u],
  ['an empty annotation', { annotations: { 'sidewarden.dev/connections': '' } }, /sidewarden/u],
  ['only commas', { annotations: { 'sidewarden.dev/connections': ' , ,' } }, /sidewarden/u],
  [
    'an annotation in other letters',
    { annotations: { 'Sidewarden.dev/connections': ORDERS } },
    /sidewarden|Invalid/u,
  ],
  ['a container called as ours', { container: { name: SIDECAR_NAME } }, /sidewarden/u],
  ['an init container called as ours', init({ name: SIDECAR_NAME, image: 'evil' }), /sidewarden/u],
  [
    'our image under our name',
    init({ name: SIDECAR_NAME, image: sidecarImage, restartPolicy: 'Always' }),
    /sidewarden/u,
  ],
  ['the redirect by hand', init({ name: 'sidewarden-redirect', image: 'evil' }), /sidewarden/u],
  [
    'the redirect as a container',
    {
      spec: {
        containers: [
          { name: 'agent', image: 'a' },
          { name: 'sidewarden-redirect', image: 'evil' },
        ],
      },
    },
    /sidewarden/u,
  ],
  // The annotation's text.
  [
    'a line feed',
    { annotations: { 'sidewarden.dev/connections': `${ORDERS}\nproduction-access/stock` } },
    /sidewarden/u,
  ],
  [
    'a zero byte',
    { annotations: { 'sidewarden.dev/connections': `${ORDERS}\u0000` } },
    /sidewarden|parse|null/u,
  ],
  ['a zero-width space', { annotations: { 'sidewarden.dev/connections': `${ORDERS}\u200b` } }, /sidewarden/u],
  [
    'full-width letters',
    { annotations: { 'sidewarden.dev/connections': 'production-access/ｏrders' } },
    /sidewarden/u,
  ],
  [
    'a path',
    { annotations: { 'sidewarden.dev/connections': 'production-access/../kube-system/x' } },
    /sidewarden/u,
  ],
  ['twice the same', { annotations: { 'sidewarden.dev/connections': `${ORDERS},${ORDERS}` } }, /sidewarden/u],
  [
    'of the prototype',
    { annotations: { 'sidewarden.dev/connections': 'constructor/__proto__' } },
    /sidewarden/u,
  ],
  [
    '10,000 connections',
    {
      annotations: {
        'sidewarden.dev/connections': Array.from({ length: 10_000 }, (_, i) => `a/c${i}`).join(','),
      },
    },
    /sidewarden/u,
  ],
  ['another redirect', { annotations: { ...annotated, 'sidewarden.dev/redirect': 'yes' } }, /redirect/u],
  [
    'its token kept',
    { annotations: { ...annotated, 'sidewarden.dev/service-account-token': 'keep' } },
    /token/u,
  ],
  [
    'an unknown annotation of ours',
    { annotations: { ...annotated, 'sidewarden.dev/image': 'evil' } },
    /sidewarden.dev\/image/u,
  ],
  // Namespaces of the node, and of processes.
  ['the network', { spec: { hostNetwork: true } }, /hostNetwork/u],
  ['the processes of the node', { spec: { hostPID: true } }, /hostPID/u],
  ['IPC of the node', { spec: { hostIPC: true } }, /hostIPC/u],
  ['one process namespace', { spec: { shareProcessNamespace: true } }, /shareProcessNamespace/u],
  // Rights of a container; also of an init container, and of one that stays.
  ['privileged', security({ privileged: true }), /privileged/u],
  ['NET_ADMIN', security({ capabilities: { add: ['NET_ADMIN'] } }), /NET_ADMIN/u],
  ['CAP_NET_ADMIN', security({ capabilities: { add: ['CAP_NET_ADMIN'] } }), /NET_ADMIN/u],
  ['net_admin', security({ capabilities: { add: ['net_admin'] } }), /net_admin/iu],
  ['NET_RAW', security({ capabilities: { add: ['NET_RAW'] } }), /NET_RAW/u],
  ['SYS_PTRACE', security({ capabilities: { add: ['SYS_PTRACE'] } }), /SYS_PTRACE/u],
  ['SYS_ADMIN', security({ capabilities: { add: ['SYS_ADMIN'] } }), /SYS_ADMIN/u],
  ['BPF', security({ capabilities: { add: ['BPF'] } }), /BPF/u],
  ['ALL', security({ capabilities: { add: ['ALL'] } }), /ALL/u],
  ['all', security({ capabilities: { add: ['all'] } }), /all/iu],
  ['a capability of tomorrow', security({ capabilities: { add: ['CHECKPOINT_RESTORE'] } }), /CHECKPOINT/u],
  [
    '/proc unmasked',
    {
      spec: {
        hostUsers: false,
        containers: [{ name: 'agent', image: 'a', securityContext: { procMount: 'Unmasked' } }],
      },
    },
    /procMount/u,
  ],
  ['the sidecar’s user', security({ runAsUser: 64_937 }), /64937/u],
  ['the sidecar’s group', security({ runAsGroup: 64_937 }), /64937/u],
  ['the sidecar’s user for the pod', { spec: { securityContext: { runAsUser: 64_937 } } }, /64937/u],
  ['the sidecar’s group for the pod', { spec: { securityContext: { runAsGroup: 64_937 } } }, /64937/u],
  ['the sidecar’s group besides', { spec: { securityContext: { supplementalGroups: [64_937] } } }, /64937/u],
  ['the sidecar’s group for files', { spec: { securityContext: { fsGroup: 64_937 } } }, /64937/u],
  ['SELinux of a super user', security({ seLinuxOptions: { type: 'spc_t' } }), /seLinux/u],
  ['SELinux of the pod', { spec: { securityContext: { seLinuxOptions: { type: 'spc_t' } } } }, /seLinux/u],
  [
    'route_localnet',
    { spec: { securityContext: { sysctls: [{ name: 'net.ipv4.conf.all.route_localnet', value: '1' }] } } },
    /sysctl/u,
  ],
  [
    'an init container with rights',
    init({ name: 'i', image: 'i', securityContext: { privileged: true } }),
    /privileged/u,
  ],
  [
    'a native sidecar with rights',
    init({
      name: 'i',
      image: 'i',
      restartPolicy: 'Always',
      securityContext: { capabilities: { add: ['SYS_ADMIN'] } },
    }),
    /SYS_ADMIN/u,
  ],
  [
    'an istio-init of one’s own',
    init({
      name: 'istio-init',
      image: 'istio',
      securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] }, runAsUser: 0 },
    }),
    /NET_ADMIN/u,
  ],
  // Files of the sidecar, of the node.
  ['the token’s volume', mounts({ name: 'sidewarden-token', mountPath: '/t' }), /sidewarden-token/u],
  [
    'a part of it',
    mounts({ name: 'sidewarden-token', mountPath: '/t', subPath: 'token' }),
    /sidewarden-token/u,
  ],
  ['the spool', mounts({ name: 'sidewarden-spool', mountPath: '/s' }), /sidewarden-spool/u],
  [
    'the spool for an init container',
    init({ name: 'i', image: 'i', volumeMounts: [{ name: 'sidewarden-spool', mountPath: '/s' }] }),
    /sidewarden-spool/u,
  ],
  [
    'the spool by subPathExpr',
    mounts({ name: 'sidewarden-spool', mountPath: '/s', subPathExpr: '$(HOSTNAME)' }),
    /sidewarden-spool|subPathExpr/u,
  ],
  [
    'a device of that name',
    { container: { volumeDevices: [{ name: 'sidewarden-spool', devicePath: '/dev/x' }] } },
    /sidewarden-spool|volumeDevices/u,
  ],
  [
    'the spool’s name taken',
    { spec: volume({ name: 'sidewarden-spool', emptyDir: {} }) },
    /sidewarden-spool/u,
  ],
  [
    'the spool as a claim',
    { spec: volume({ name: 'sidewarden-spool', persistentVolumeClaim: { claimName: 'c' } }) },
    /sidewarden-spool/u,
  ],
  ['a token for the broker', { spec: volume(brokerToken) }, /service account token/u],
  [
    'a token for somebody else',
    {
      spec: volume({
        name: 't',
        projected: { sources: [{ serviceAccountToken: { audience: 'vault', path: 'token' } }] },
      }),
    },
    /service account token/u,
  ],
  [
    'one among others',
    {
      spec: volume({
        name: 't',
        projected: {
          sources: [
            { configMap: { name: 'c' } },
            { serviceAccountToken: { path: 'a' } },
            { serviceAccountToken: { audience: 'broker.sidewarden.dev', path: 'b' } },
          ],
        },
      }),
    },
    /service account token/u,
  ],
  [
    'a variable from the spool',
    env({ name: 'X', valueFrom: { fileKeyRef: { volumeName: 'sidewarden-spool', path: 'a', key: 'X' } } }),
    /sidewarden-spool|fileKeyRef/u,
  ],
  ['hostPath', { spec: volume({ name: 'h', hostPath: { path: '/' } }) }, /hostPath/u],
  [
    'hostPath of one socket',
    { spec: volume({ name: 'h', hostPath: { path: '/run/containerd/containerd.sock', type: 'Socket' } }) },
    /hostPath/u,
  ],
  ['flexVolume', { spec: volume({ name: 'f', flexVolume: { driver: 'a/b' } }) }, /flexVolume/u],
  [
    'gitRepo',
    { spec: volume({ name: 'g', gitRepo: { repository: 'https://x', directory: '.' } }) },
    /gitRepo/u,
  ],
  [
    'iscsi',
    {
      spec: volume({
        name: 'n',
        iscsi: { targetPortal: '127.0.0.1', iqn: 'iqn.2001-04.com.example:storage', lun: 0 },
      }),
    },
    /iscsi/u,
  ],
  [
    'mounts that go back to the node',
    mounts({ name: 'e', mountPath: '/e', mountPropagation: 'Bidirectional' }),
    /mountPropagation|Not found|privileged/u,
  ],
  ['a port of the node', { container: { ports: [{ containerPort: 80, hostPort: 8080 }] } }, /hostPort/u],
  // Names that lead the sidecar elsewhere.
  [
    'the broker under another address',
    { spec: { hostAliases: [{ ip: '10.9.9.9', hostnames: ['sidewarden.sidewarden.svc'] }] } },
    /hostAliases/u,
  ],
  [
    'the target under another address',
    {
      annotations: { 'sidewarden.dev/connections': 'production-access/loose' },
      spec: { hostAliases: [{ ip: '127.0.0.1', hostnames: ['loose.db.internal'] }] },
    },
    /hostAliases/u,
  ],
  [
    'the target in capitals',
    {
      annotations: { 'sidewarden.dev/connections': 'production-access/loose' },
      spec: { hostAliases: [{ ip: '127.0.0.1', hostnames: ['LOOSE.db.internal'] }] },
    },
    /hostAliases|Invalid/u,
  ],
  // The clients' environment.
  ['another host', env({ name: 'PGHOST', value: 'db' }), /PGHOST/u],
  ['a service file', env({ name: 'PGSERVICE', value: 'x' }), /PGSERVICE/u],
  ['another address', env({ name: 'PGHOSTADDR', value: '10.0.0.1' }), /PGHOSTADDR/u],
  // What Kubernetes has had for a year only.
  [
    'a variable from a file',
    env({ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'e', path: 'p', key: 'k' } } }),
    /fileKeyRef|volume/u,
  ],
];

test('pods that have no sidecar, or could reach into it, are refused with the reason', { skip }, async () => {
  await allRefused(
    BAD_PODS.map(([name, change, reason]) => [name, () => tryCreate(pod('bad', change)), reason] as const),
  );
});

const spread = {
  maxSkew: 1,
  topologyKey: 'kubernetes.io/hostname',
  whenUnsatisfiable: 'ScheduleAnyway',
  labelSelector: { matchLabels: { a: 'b' } },
};

const GOOD_PODS: readonly (readonly [string, Change])[] = [
  ['nothing special', {}],
  [
    'two connections',
    { annotations: { 'sidewarden.dev/connections': `${ORDERS}, production-access/stock` } },
  ],
  ['no comma forgotten', { annotations: { 'sidewarden.dev/connections': ` ${ORDERS} ` } }],
  ['a redirect', { annotations: { ...annotated, 'sidewarden.dev/redirect': 'true' } }],
  ['no redirect', { annotations: { ...annotated, 'sidewarden.dev/redirect': 'false' } }],
  ['a name made up by the API server', { metadata: { name: undefined, generateName: 'made-' } }],
  ['root', security({ runAsUser: 0 })],
  ['another user and group', security({ runAsUser: 64_936, runAsGroup: 64_938 })],
  [
    'all capabilities dropped',
    security({
      capabilities: { drop: ['ALL'] },
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      runAsUser: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    }),
  ],
  [
    'capabilities that runtimes give anyway',
    security({ capabilities: { add: ['CHOWN', 'SETUID', 'NET_BIND_SERVICE', 'KILL'] } }),
  ],
  [
    'restricted',
    {
      spec: {
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          fsGroup: 1000,
          supplementalGroups: [2000],
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    },
  ],
  ['no token wanted', { spec: { automountServiceAccountToken: false } }],
  [
    'files of its own',
    {
      spec: {
        volumes: [
          { name: 'e', emptyDir: {} },
          { name: 'c', configMap: { name: 'c' } },
          { name: 's', secret: { secretName: 's' } },
          { name: 'd', downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } },
          { name: 'p', persistentVolumeClaim: { claimName: 'c' } },
          {
            name: 'g',
            ephemeral: {
              volumeClaimTemplate: {
                spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
              },
            },
          },
        ],
      },
    },
  ],
  [
    'its own name servers, target checked',
    { spec: { dnsPolicy: 'None', dnsConfig: { nameservers: ['10.9.9.9'] } } },
  ],
  [
    'resolver options',
    {
      annotations: { 'sidewarden.dev/connections': 'production-access/loose' },
      spec: { dnsConfig: { options: [{ name: 'ndots', value: '2' }] } },
    },
  ],
  [
    'a name for another host',
    { spec: { hostAliases: [{ ip: '10.9.9.9', hostnames: ['registry.internal'] }] } },
  ],
  ['another scheduler', { spec: { schedulerName: 'volcano' } }],
  ['a node', { spec: { nodeName: 'n' } }],
  [
    'a place',
    {
      spec: {
        nodeSelector: { a: 'b' },
        tolerations: [{ operator: 'Exists' }],
        topologySpreadConstraints: [spread],
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
            },
          },
        },
      },
    },
  ],
  ['a deadline', { spec: { activeDeadlineSeconds: 3600 } }],
  ['a long end', { spec: { terminationGracePeriodSeconds: 3600 } }],
  ['a gate', { spec: { schedulingGates: [{ name: 'example.com/quota' }] } }],
  [
    'hooks and probes',
    {
      container: {
        lifecycle: { preStop: { exec: { command: ['true'] } } },
        readinessProbe: { httpGet: { path: '/', port: 80 } },
      },
    },
  ],
  ['a tty', { container: { stdin: true, tty: true } }],
  ['an environment', env({ name: 'NODE_OPTIONS', value: '--max-old-space-size=4096' })],
  ['the environment that it would get', env({ name: 'PGHOST', value: '127.0.0.1' })],
  [
    'secrets of its own',
    {
      container: {
        envFrom: [
          { secretRef: { name: 's', optional: true } },
          { configMapRef: { name: 'c', optional: true } },
        ],
      },
    },
  ],
  [
    'init containers',
    {
      spec: {
        initContainers: [
          { name: 'a', image: 'a' },
          { name: 'b', image: 'b', restartPolicy: 'Always' },
          { name: 'c', image: 'c' },
        ],
      },
    },
  ],
  [
    'harmless sysctls',
    { spec: { securityContext: { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] } } },
  ],
  [
    'secrets by a driver',
    { spec: volume({ name: 'c', csi: { driver: 'secrets-store.csi.k8s.io', readOnly: true } }) },
  ],
  [
    'name servers and search domains of its own, target not checked',
    {
      annotations: loose,
      spec: { dnsPolicy: 'None', dnsConfig: { nameservers: ['10.9.9.9'], searches: ['evil.svc'] } },
    },
  ],
  [
    'called as the target',
    { annotations: loose, spec: { hostname: 'loose', subdomain: 'db', setHostnameAsFQDN: true } },
  ],
  ['called exactly as the target', { annotations: loose, spec: { hostnameOverride: 'loose.db.internal' } }],
  ['users of its own', { spec: { hostUsers: false } }],
  ['a label like ours', { labels: { 'sidewarden.dev': 'x', 'example.com/sidewarden': 'true' } }],
];

test('pods that are no danger are injected', { skip }, async () => {
  const wrong: string[] = [];
  for (const [name, change] of GOOD_PODS) {
    const { status, text, body } = await tryCreate(pod('good', change));
    if (status !== 201) wrong.push(`${name}: ${status} ${text.slice(0, 500)}`);
    else if (startOrder(body)[0] !== SIDECAR_NAME) wrong.push(`${name}: ${startOrder(body).join(' ')}`);
  }
  assert.deepEqual(wrong, []);
});

test('pods of CI systems as their controllers make them keep all that is theirs', { skip }, async () => {
  for (const [name, spec] of RUNNERS) {
    for (const namespace of ['enforced', 'free']) {
      const { status, text, body } = await tryCreate(pod('runner', { spec }), namespace);
      assert.equal(status, 201, `${name}: ${text.slice(0, 500)}`);
      const names = [...objects(spec['initContainers']), ...objects(spec['containers'])].map(
        (each) => each['name'],
      );
      assert.deepEqual(startOrder(body), [SIDECAR_NAME, ...names], name);
      const made = object(body['spec']);
      const volumes = objects(made['volumes']).map((each) => each['name']);
      for (const each of objects(spec['volumes'])) assert.ok(volumes.includes(each['name']), name);
      for (const [field, value] of Object.entries(spec))
        if (typeof value === 'number' || field === 'hostAliases') assert.deepEqual(made[field], value, name);
      for (const each of objects(made['containers']))
        assert.ok(
          objects(each['env']).some((variable) => variable['name'] === 'PGHOST'),
          name,
        );
    }
  }
});

/** Patches and requests against a pod that is there, as the administrator: RBAC must not be what stops them. */
const patch = (name: string, body: unknown, type = 'strategic-merge-patch', subresource = '', query = '') =>
  scene.call('PATCH', `${at('enforced')}/pods/${name}${subresource}${query}`, body, {
    type: `application/${type}+json`,
  });
const jsonPatch = (name: string, ...operations: readonly Json[]) =>
  scene.call('PATCH', `${at('enforced')}/pods/${name}`, operations, { type: 'application/json-patch+json' });
const serverSide = (name: string, body: unknown) =>
  scene.call('PATCH', `${at('enforced')}/pods/${name}?fieldManager=me&force=true`, body, {
    type: 'application/apply-patch+yaml',
  });
const annotate = (key: string, value: string | null) => ({ metadata: { annotations: { [key]: value } } });

test('a pod that is there is changed by nobody where it matters', { skip }, async () => {
  await create(pod('there'));
  await create(pod('redirected', { annotations: { ...annotated, 'sidewarden.dev/redirect': 'true' } }));
  const ephemeral = (more: Json, name = 'there') =>
    patch(
      name,
      { spec: { ephemeralContainers: [{ name: 'debug', image: 'busybox', ...more }] } },
      'strategic-merge-patch',
      '/ephemeralcontainers',
    );
  const CONNECTIONS = 'sidewarden.dev/connections';
  await allRefused([
    [
      'another connection',
      () => patch('there', annotate(CONNECTIONS, 'production-access/stock')),
      /connections/u,
    ],
    [
      'one more connection',
      () => patch('there', annotate(CONNECTIONS, `${ORDERS},production-access/stock`)),
      /connections/u,
    ],
    ['no connection', () => patch('there', annotate(CONNECTIONS, null)), /connections/u],
    [
      'no annotation at all',
      () => patch('there', { metadata: { annotations: null } }, 'merge-patch'),
      /connections/u,
    ],
    [
      'by a JSON patch',
      () => jsonPatch('there', { op: 'remove', path: '/metadata/annotations/sidewarden.dev~1connections' }),
      /connections/u,
    ],
    [
      'by status',
      () => patch('there', annotate(CONNECTIONS, 'a/b'), 'merge-patch', '/status'),
      /connections/u,
    ],
    ['redirect switched on', () => patch('there', annotate('sidewarden.dev/redirect', 'true')), /redirect/u],
    [
      'the token asked for',
      () => patch('there', annotate('sidewarden.dev/service-account-token', 'keep')),
      /token/u,
    ],
    [
      'the label taken',
      () => patch('there', { metadata: { labels: { 'sidewarden.dev/injected': null } } }),
      /injected/u,
    ],
    [
      'the label changed',
      () => patch('there', { metadata: { labels: { 'sidewarden.dev/injected': 'false' } } }),
      /injected/u,
    ],
    ['all labels taken', () => patch('there', { metadata: { labels: null } }, 'merge-patch'), /injected/u],
    [
      'the sidecar’s image',
      () => patch('there', { spec: { initContainers: [{ name: SIDECAR_NAME, image: 'evil' }] } }),
      /sidecar/u,
    ],
    [
      'the image by its place',
      () => jsonPatch('there', { op: 'replace', path: '/spec/initContainers/0/image', value: 'evil' }),
      /sidecar/u,
    ],
    [
      'the redirect’s image',
      () =>
        patch('redirected', { spec: { initContainers: [{ name: 'sidewarden-redirect', image: 'evil' }] } }),
      /sidecar/u,
    ],
    [
      'server-side apply with force',
      () =>
        serverSide('there', {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'there' },
          spec: { initContainers: [{ name: SIDECAR_NAME, image: 'evil' }] },
        }),
      /sidecar/u,
    ],
    [
      'another connection by force',
      () =>
        serverSide('there', {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'there', annotations: { [CONNECTIONS]: 'a/b' } },
        }),
      /connections/u,
    ],
    [
      'a smaller sidecar',
      () =>
        patch(
          'there',
          {
            spec: {
              initContainers: [
                {
                  name: SIDECAR_NAME,
                  resources: { limits: { memory: '16Mi' }, requests: { memory: '16Mi' } },
                },
              ],
            },
          },
          'strategic-merge-patch',
          '/resize',
        ),
      /sidecar|resize/u,
    ],
    ['an ephemeral container', () => ephemeral({}), /ephemeral/u],
    ['beside the sidecar', () => ephemeral({ targetContainerName: SIDECAR_NAME }), /ephemeral/u],
    ['beside the agent', () => ephemeral({ targetContainerName: 'agent' }), /ephemeral/u],
    [
      'with its files',
      () => ephemeral({ volumeMounts: [{ name: 'sidewarden-token', mountPath: '/t' }] }),
      /ephemeral/u,
    ],
    [
      'as its user',
      () => ephemeral({ securityContext: { runAsUser: 64_937, capabilities: { add: ['SYS_PTRACE'] } } }),
      /ephemeral/u,
    ],
    ['in a redirected pod', () => ephemeral({}, 'redirected'), /ephemeral/u],
  ]);
  // Of these the API server itself takes the resources and the containers alone.
  for (const subresource of ['/resize', '/ephemeralcontainers']) {
    const { body } = await patch('there', annotate(CONNECTIONS, 'a/b'), 'merge-patch', subresource);
    assert.equal(object(object(body['metadata'])['annotations'])[CONNECTIONS], ORDERS, subresource);
  }
  await allTaken([
    [
      'another image of the agent',
      () => patch('there', { spec: { containers: [{ name: 'agent', image: 'agent:2' }] } }),
    ],
    ['another label', () => patch('there', { metadata: { labels: { team: 'x' } } })],
    ['another annotation', () => patch('there', annotate('example.com/note', 'x'))],
    ['a shorter deadline', () => patch('there', { spec: { activeDeadlineSeconds: 100 } })],
    [
      'a finalizer of a controller',
      () => patch('there', { metadata: { finalizers: ['batch.kubernetes.io/job-tracking'] } }),
    ],
    ['and none', () => patch('there', { metadata: { finalizers: null } }, 'merge-patch')],
    ['a status', () => patch('there', { status: { phase: 'Running' } }, 'merge-patch', '/status')],
    ['nothing at all', () => patch('there', {}, 'merge-patch')],
    [
      'a label by server-side apply',
      () =>
        serverSide('there', {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'there', labels: { by: 'me' } },
        }),
    ],
  ]);
});

const post = (path: string, body: unknown, as = root) => scene.call('POST', path, body, { as });
const tokenRequest = (audiences: readonly string[], more: Json = {}) => ({
  apiVersion: 'authentication.k8s.io/v1',
  kind: 'TokenRequest',
  spec: { audiences, ...more },
});

test('no way in by exec, attach, port-forward, tokens and bindings', { skip }, async () => {
  await create(pod('entered', { annotations: { ...annotated, 'sidewarden.dev/redirect': 'true' } }));
  const pods = `${at('enforced')}/pods`;
  const exec = (query: string, verb = 'exec') =>
    post(`${pods}/entered/${verb}?command=id&stdout=true${query}`, undefined, developer);
  const get = (path: string) => scene.call('GET', path, undefined, { as: developer });
  const account = `${at('enforced')}/serviceaccounts/default/token`;
  const bound = { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'entered' } };
  const binding = (metadata: Json) => ({
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name: 'entered', ...metadata },
    target: { kind: 'Node', name: 'n' },
  });
  await allRefused([
    ['exec', () => exec(`&container=${SIDECAR_NAME}`), /is refused/u],
    ['exec into the redirect', () => exec('&container=sidewarden-redirect'), /is refused/u],
    [
      'exec by GET',
      () => get(`${pods}/entered/exec?command=id&stdout=true&container=${SIDECAR_NAME}`),
      /is refused/u,
    ],
    ['attach', () => exec(`&container=${SIDECAR_NAME}`, 'attach'), /is refused/u],
    ['attach to the redirect', () => exec('&container=sidewarden-redirect', 'attach'), /is refused/u],
    [
      'the last of two containers',
      () => exec(`&container=agent&container=${SIDECAR_NAME}`),
      /is refused|does not have a host|not valid/u,
    ],
    [
      'port-forward',
      () => post(`${pods}/entered/portforward?ports=15432`, undefined, developer),
      /portforward/u,
    ],
    [
      'port-forward to another port',
      () => post(`${pods}/entered/portforward?ports=80`, undefined, developer),
      /portforward/u,
    ],
    [
      'port-forward to no port',
      () => post(`${pods}/entered/portforward`, undefined, developer),
      /portforward/u,
    ],
    [
      'a token for the broker',
      () => post(account, tokenRequest(['broker.sidewarden.dev']), developer),
      /sidecars only/u,
    ],
    [
      'for it and the API',
      () =>
        post(account, tokenRequest(['https://kubernetes.default.svc', 'broker.sidewarden.dev']), developer),
      /sidecars only/u,
    ],
    [
      'bound to the pod',
      () => post(account, tokenRequest(['broker.sidewarden.dev'], bound), developer),
      /sidecars only/u,
    ],
    [
      'by an administrator',
      () => post(account, tokenRequest(['broker.sidewarden.dev'], bound)),
      /sidecars only/u,
    ],
    [
      'in a dry run',
      () => post(`${account}?dryRun=All`, tokenRequest(['broker.sidewarden.dev'])),
      /sidecars only/u,
    ],
    [
      'a binding with a connection',
      () =>
        post(`${pods}/entered/binding`, binding({ annotations: { 'sidewarden.dev/connections': 'a/b' } })),
      /binding/u,
    ],
    [
      'by the old path',
      () =>
        post(`${at('enforced')}/bindings`, binding({ annotations: { 'sidewarden.dev/connections': 'a/b' } })),
      /binding/u,
    ],
    [
      'a binding with our label',
      () => post(`${pods}/entered/binding`, binding({ labels: { 'sidewarden.dev/injected': 'x' } })),
      /binding/u,
    ],
  ]);
  await allTaken([
    ['a token for somebody else', () => post(account, tokenRequest(['vault']), developer)],
    ['a token for the API', () => post(account, tokenRequest([]), developer)],
    [
      'a token for a name like the broker’s',
      () => post(account, tokenRequest(['broker.sidewarden.dev.example.com']), developer),
    ],
    ['a binding', () => post(`${pods}/entered/binding`, binding({}))],
    [
      'an eviction',
      () =>
        post(
          `${pods}/entered/eviction`,
          { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'entered' } },
          developer,
        ),
    ],
  ]);
});

test('exec into the agent goes on', { skip }, async () => {
  await create(pod('agent-only'));
  const exec = (container: string) =>
    post(`${at('enforced')}/pods/agent-only/exec?command=id&stdout=true${container}`, undefined, developer);
  // It runs nowhere: that the API server says so means that the guard did not.
  for (const container of ['', '&container=agent'])
    assert.match((await exec(container)).text, /does not have a host assigned/u);
});

const owners = (template: Json): readonly Json[] => {
  const labels = { app: 'o' };
  const metadata = object(template['metadata']);
  const labelled = { ...template, metadata: { ...metadata, labels } };
  const always = { ...labelled, spec: { ...object(template['spec']), restartPolicy: 'Always' } };
  const named = (kind: string) => ({ name: kind.toLowerCase() });
  const long = { selector: { matchLabels: labels }, template: always };
  return [
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: named('Deployment'), spec: long },
    { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: named('ReplicaSet'), spec: long },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: named('StatefulSet'),
      spec: { ...long, serviceName: 's' },
    },
    {
      apiVersion: 'v1',
      kind: 'ReplicationController',
      metadata: named('ReplicationController'),
      spec: { selector: labels, template: always },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: named('Job'),
      spec: { template: { ...template, spec: template['spec'] } },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: named('CronJob'),
      spec: { schedule: '* * * * *', jobTemplate: { spec: { template } } },
    },
  ];
};

const pathOf = ({ apiVersion, kind }: Json, namespace: string) => {
  const prefix = String(apiVersion).includes('/') ? `/apis/${String(apiVersion)}` : '/api/v1';
  return `${prefix}/namespaces/${namespace}/${String(kind).toLowerCase()}s`;
};

test('controllers make injected pods, and none that are refused', { skip, timeout: 600_000 }, async () => {
  const inEnforced = async (path: string) =>
    objects((await scene.call('GET', `${at('enforced')}/${path}`)).body['items']);
  const uncontrolled = owners(pod('t', { spec: { hostPID: true } })).slice(0, 5);
  for (const each of uncontrolled) {
    const bad = { ...each, metadata: { name: `bad-${String(object(each['metadata'])['name'])}` } };
    assert.equal((await scene.call('POST', pathOf(each, 'enforced'), bad, { as: developer })).status, 201);
  }
  const refused = await until('each controller was told why', async () => {
    const events = await inEnforced('events?fieldSelector=reason%3DFailedCreate');
    const told = events.filter(({ message }) => String(message).includes('hostPID'));
    const by = new Set(told.map(({ involvedObject }) => String(object(involvedObject)['kind'])));
    return by.size >= 4 ? by : undefined;
  });
  assert.deepEqual([...refused].sort(), ['Job', 'ReplicaSet', 'ReplicationController', 'StatefulSet']);
  for (const each of uncontrolled) {
    const name = String(object(each['metadata'])['name']);
    await scene.call('DELETE', `${pathOf(each, 'enforced')}/bad-${name}?propagationPolicy=Background`);
  }
  for (const each of owners(pod('t')))
    assert.equal((await scene.call('POST', pathOf(each, 'enforced'), each, { as: developer })).status, 201);
  const made = await until('each controller made its pod', async () => {
    const pods = (await inEnforced('pods')).filter(
      (each) => object(each['metadata'])['ownerReferences'] !== undefined,
    );
    return new Set(pods.map((each) => objects(object(each['metadata'])['ownerReferences'])[0]?.['kind']))
      .size >= 4
      ? pods
      : undefined;
  });
  for (const each of made) assert.equal(startOrder(each)[0], SIDECAR_NAME);
});

test('webhooks of others: what they add is taken, what they change of ours is not', { skip }, async () => {
  for (const label of ['early-mesh', 'late-mesh']) {
    const { status, text, body } = await tryCreate(pod('meshed', { labels: { [label]: 'true' } }));
    assert.equal(status, 201, text);
    assert.deepEqual(
      [...startOrder(body)].sort(),
      ['agent', 'istio-proxy', 'istio-validation', SIDECAR_NAME].sort(),
    );
  }
  // Asked again, injection puts its own back.
  const plain = objects(object((await tryCreate(pod('spoiled'))).body['spec'])['initContainers']);
  for (const label of ['late-spoiler', 'late-environment']) {
    const { status, body, text } = await tryCreate(pod('spoiled', { labels: { [label]: 'true' } }));
    assert.equal(status, 201, text);
    assert.deepEqual(objects(object(body['spec'])['initContainers']), plain, label);
  }
  // One that insists has its way, and the pod is refused.
  await allRefused([
    [
      'an image of another registry, each time',
      () => tryCreate(pod('moved', { labels: { 'late-mirror': 'true' } })),
      /not as injected/u,
    ],
  ]);
});

test('in namespaces that are not enforced', { skip }, async () => {
  await allRefused([
    ['a way round, annotated', () => tryCreate(pod('p', { spec: { hostPID: true } }), 'free'), /hostPID/u],
    [
      'the label without the sidecar',
      () => tryCreate(pod('p', { annotations: {}, labels: { 'sidewarden.dev/injected': 'true' } }), 'free'),
      /sidecar/u,
    ],
    ['a connection that does not allow it', () => tryCreate(pod('p'), 'plain'), /does not allow/u],
    [
      'only a redirect',
      () => tryCreate(pod('p', { annotations: { 'sidewarden.dev/redirect': 'true' } }), 'free'),
      /sidewarden/u,
    ],
    [
      'the sidecar by hand',
      () =>
        tryCreate(pod('p', { spec: { initContainers: [{ name: SIDECAR_NAME, image: 'evil' }] } }), 'free'),
      /sidewarden/u,
    ],
  ]);
  await allTaken([
    [
      'whatever it is, without the annotation',
      () =>
        tryCreate(
          pod('p', {
            annotations: {},
            spec: {
              hostPID: true,
              hostNetwork: true,
              containers: [{ name: 'agent', image: 'a', securityContext: { privileged: true } }],
            },
          }),
          'free',
        ),
    ],
    [
      'a token for the API where it is asked for',
      () =>
        tryCreate(
          pod('p', { annotations: { ...annotated, 'sidewarden.dev/service-account-token': 'keep' } }),
          'free',
        ),
    ],
  ]);
});

test('huge and odd pods are answered, and soon', { skip }, async () => {
  const deep = (depth: number): Json => ({ a: depth === 0 ? 'x' : deep(depth - 1) });
  const many = (count: number, make: (index: number) => Json) =>
    Array.from({ length: count }, (_, index) => make(index));
  const rows: readonly (readonly [string, Change])[] = [
    [
      '10,000 variables',
      { container: { env: many(10_000, (i) => ({ name: `V${i}`, value: 'x'.repeat(40) })) } },
    ],
    ['one long variable', env({ name: 'V', value: 'x'.repeat(1_000_000) })],
    ['1,000 containers', { spec: { containers: many(1_000, (i) => ({ name: `c${i}`, image: 'i' })) } }],
    [
      '1,000 init containers',
      { spec: { initContainers: many(1_000, (i) => ({ name: `c${i}`, image: 'i' })) } },
    ],
    [
      '1,000 volumes, each mounted',
      {
        spec: { volumes: many(1_000, (i) => ({ name: `v${i}`, emptyDir: {} })) },
        container: { volumeMounts: many(1_000, (i) => ({ name: `v${i}`, mountPath: `/v${i}` })) },
      },
    ],
    [
      '5,000 aliases',
      { spec: { hostAliases: many(5_000, (i) => ({ ip: '10.0.0.1', hostnames: [`h${i}.x`] })) } },
    ],
    ['200 kB of annotations', { annotations: { ...annotated, 'example.com/a': 'y'.repeat(200_000) } }],
  ];
  for (const [name, change] of rows) {
    // The API server waits for ten seconds; then the pod is refused.
    const { status, text } = await tryCreate(pod('huge', change));
    assert.equal(status, 201, `${name}: ${text.slice(0, 300)}`);
  }
  // Unknown fields are dropped by the API server before anyone sees them.
  assert.equal((await tryCreate(pod('deep', { spec: { affinity: deep(2_000) } }))).status, 201);
  const burst = await Promise.all(many(200, (i) => pod(`burst-${i}`)).map((each) => tryCreate(each)));
  assert.deepEqual(
    burst.filter(({ status }) => status !== 201),
    [],
  );
});
