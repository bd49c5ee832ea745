import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { context, ORDERS, podWith, type PodChange } from '../inject/fixture.ts';
import { inject } from '../inject/inject.ts';
import { isJson, object, objects, type Json } from '../json.ts';
import type { AdmissionRequest } from '../review.ts';
import { guard } from './guard.ts';

function request(change: Partial<AdmissionRequest>): AdmissionRequest {
  return {
    uid: '1',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    ...{ subresource: '', name: 'p', namespace: 'runs', operation: 'CREATE', dryRun: false },
    ...{ object: undefined, oldObject: undefined, options: undefined },
    user: { username: 'ann', uid: '', groups: [], extra: {} },
    ...change,
  };
}

function injected(change: PodChange = {}): Json {
  const outcome = inject(podWith(change), context());
  assert.ok(outcome.kind === 'injected', JSON.stringify(outcome));
  return outcome.pod;
}

const enforcedContext = context({ enforced: true });
const refusals = (pod: Json, enforced = true) =>
  guard(request({ object: pod }), enforced ? enforcedContext : context());

/** The pod with other fields in its spec. */
function specd(pod: Json, spec: object): Json {
  return { ...pod, spec: { ...object(pod['spec']), ...spec } };
}

/** The injected pod with another agent container, sidecar and all. */
function agent(change: object): Json {
  const pod = injected();
  const [container] = objects(object(pod['spec'])['containers']);
  return specd(pod, { containers: [{ ...container, ...change }] });
}

function secured(change: object): Json {
  return agent({ securityContext: { capabilities: { drop: ['ALL'] }, ...change } });
}

const inPod = (securityContext: object) => specd(injected(), { securityContext });
const withVolume = (volume: object) => {
  const pod = injected();
  return specd(pod, { volumes: [...objects(object(pod['spec'])['volumes']), { name: 'v', ...volume }] });
};
/** Changes the sidecar in the injected pod. */
const sidecar = (change: object) => {
  const pod = injected();
  const [first, ...rest] = objects(object(pod['spec'])['initContainers']);
  return specd(pod, { initContainers: [{ ...first, ...change }, ...rest] });
};

test('what injection made passes, whatever it was made of', () => {
  const rows: readonly PodChange[] = [
    {},
    { redirect: true },
    { connections: `${ORDERS}, access/with-tls` },
    { connections: 'access/loose' },
    {
      spec: {
        initContainers: [{ name: 'setup' }],
        restartPolicy: 'Never',
        hostNetwork: false,
        shareProcessNamespace: false,
      },
    },
    { container: { securityContext: { runAsUser: 0 } } },
  ];
  for (const row of rows) {
    assert.deepEqual(refusals(injected(row)), [], JSON.stringify(row));
    assert.deepEqual(refusals(injected(row), false), [], JSON.stringify(row));
  }
});

test('who is not injected: refused in an enforced namespace and when it says that it is, else let be', () => {
  const bare = podWith({ connections: undefined, spec: { hostPID: true } });
  assert.deepEqual(refusals(bare, false), []);
  assert.match(refusals(bare).join(), /has no sidecar.*hostPID/u);
  assert.match(
    refusals({ ...bare, metadata: { labels: { 'sidewarden.dev/injected': 'true' } } }, false).join(),
    /has no sidecar/u,
  );
  assert.match(refusals(podWith(), false).join(), /sidewarden is missing/u);
});

test('near misses pass', () => {
  const rows: readonly [string, Json][] = [
    ['processes apart', specd(injected(), { shareProcessNamespace: false, hostPID: false, hostIPC: false })],
    ['not privileged', secured({ privileged: false, procMount: 'Default' })],
    [
      'usual capability',
      secured({
        capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE', 'SETUID', 'SETGID', 'DAC_OVERRIDE'] },
      }),
    ],
    ['capabilities by name', secured({ capabilities: { drop: ['NET_RAW', 'NET_ADMIN', 'KILL'] } })],
    ['uid beside', secured({ runAsUser: 64936, runAsGroup: 64938 })],
    ['pod uid beside', inPod({ runAsUser: 1000, fsGroup: 2000, supplementalGroups: [64936] })],
    ['safe sysctl', inPod({ sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] })],
    ['SELinux level', inPod({ seLinuxOptions: { level: 's0:c1,c2', type: 'container_t' } })],
    ['user namespace', specd(injected(), { hostUsers: false })],
    ['host name', specd(injected(), { setHostnameAsFQDN: true, hostname: 'a', subdomain: 'b' })],
    ['emptyDir', withVolume({ emptyDir: { medium: 'Memory' } })],
    ['secret', withVolume({ secret: { secretName: 's' } })],
    ['claim', withVolume({ persistentVolumeClaim: { claimName: 's' } })],
    [
      'a certificate of another signer',
      withVolume({ projected: { sources: [{ podCertificate: { signerName: 'acme.example/mesh' } }] } }),
    ],
    ['projected', withVolume({ projected: { sources: [{ configMap: { name: 'c' } }] } })],
    [
      'aliases of others',
      specd(injected(), { hostAliases: [{ ip: '10.0.0.1', hostnames: ['cache.internal'] }] }),
    ],
    ['own servers', specd(injected(), { dnsPolicy: 'None', dnsConfig: { nameservers: ['10.0.0.1'] } })],
    [
      'own servers where nothing is checked: the operator says where that target is',
      specd(injected({ connections: 'access/loose' }), {
        dnsPolicy: 'None',
        dnsConfig: { nameservers: ['10.0.0.1'] },
      }),
    ],
    [
      'resolver options',
      specd(injected({ connections: 'access/loose' }), {
        dnsConfig: { options: [{ name: 'ndots', value: '2' }] },
      }),
    ],
    [
      'port',
      agent({
        ports: [{ containerPort: 8080, protocol: 'TCP' }],
        securityContext: { capabilities: { drop: ['ALL'] } },
      }),
    ],
    ['linux', specd(injected(), { os: { name: 'linux' } })],
    [
      'default container',
      {
        ...injected(),
        metadata: {
          ...object(injected()['metadata']),
          annotations: {
            'sidewarden.dev/connections': ORDERS,
            'kubectl.kubernetes.io/default-container': 'agent',
          },
        },
      },
    ],
    ['pulled always', sidecar({ imagePullPolicy: 'Always' })],
    [
      'LimitRange',
      sidecar({
        resources: { limits: { memory: '524288Ki', cpu: '1' }, requests: { memory: '512Mi', cpu: '1' } },
      }),
    ],
    ['no ephemeral', specd(injected(), { ephemeralContainers: [] })],
  ];
  for (const [name, pod] of rows) assert.deepEqual(refusals(pod), [], name);
});

test('class 36: each way into the sidecar is refused, everywhere, with its reason', () => {
  const token = (audience?: string) => ({
    projected: {
      sources: [{ serviceAccountToken: { path: 't', ...(audience === undefined ? {} : { audience }) } }],
    },
  });
  const mounted = (name: string) => agent({ volumeMounts: [{ name, mountPath: '/x' }] });
  const rows: readonly [string, Json, RegExp][] = [
    ['shared processes', specd(injected(), { shareProcessNamespace: true }), /shareProcessNamespace/u],
    ['hostPID', specd(injected(), { hostPID: true }), /hostPID/u],
    ['hostIPC', specd(injected(), { hostIPC: true }), /hostIPC/u],
    ['hostNetwork', specd(injected(), { hostNetwork: true }), /hostNetwork/u],
    ['hostPath', withVolume({ hostPath: { path: '/' } }), /hostPath/u],
    ['flexVolume', withVolume({ flexVolume: {} }), /flexVolume/u],
    ['gitRepo', withVolume({ gitRepo: {} }), /gitRepo/u],
    ['a kind of volume to come', withVolume({ magic: {} }), /magic/u],
    ['privileged', secured({ privileged: true }), /privileged/u],
    ...[
      'NET_ADMIN',
      'NET_RAW',
      'SYS_PTRACE',
      'SYS_ADMIN',
      'DAC_READ_SEARCH',
      'BPF',
      'ALL',
      'SYS_MODULE',
      'CAP_SYS_ADMIN',
      'net_admin',
    ].map((name): [string, Json, RegExp] => [
      name,
      secured({ capabilities: { drop: ['ALL'], add: [name] } }),
      /must not add/u,
    ]),
    ['NET_RAW kept', secured({ capabilities: { drop: ['NET_ADMIN'] } }), /must drop NET_RAW/u],
    ['nothing dropped', agent({ securityContext: {} }), /must drop NET_ADMIN/u],
    ['runAsUser', secured({ runAsUser: 64937 }), /runAsUser must not be 64937/u],
    ['runAsGroup', secured({ runAsGroup: 64937 }), /runAsGroup/u],
    ['pod runAsUser', inPod({ runAsUser: 64937 }), /runAsUser/u],
    ['pod runAsGroup', inPod({ runAsGroup: 64937 }), /runAsGroup/u],
    ['fsGroup', inPod({ fsGroup: 64937 }), /fsGroup/u],
    ['supplementalGroups', inPod({ supplementalGroups: [1, 64937] }), /supplementalGroups/u],
    ['procMount', secured({ procMount: 'Unmasked' }), /procMount/u],
    [
      'route_localnet',
      inPod({ sysctls: [{ name: 'net.ipv4.conf.all.route_localnet', value: '1' }] }),
      /route_localnet/u,
    ],
    ['SELinux', secured({ seLinuxOptions: { type: 'spc_t' } }), /seLinuxOptions/u],
    ['AppArmor', secured({ appArmorProfile: { type: 'Unconfined' } }), /appArmorProfile/u],
    ['Windows', specd(injected(), { os: { name: 'windows' } }), /Linux/u],
    ['Windows options', inPod({ windowsOptions: { hostProcess: true } }), /Windows/u],
    [
      'ephemeral',
      specd(injected(), { ephemeralContainers: [{ name: 'debug' }] }),
      /ephemeral container debug/u,
    ],
    ['our spool', mounted('sidewarden-spool'), /must not mount sidewarden-spool/u],
    ['our token', mounted('sidewarden-token'), /must not mount sidewarden-token/u],
    [
      'a file of ours',
      agent({
        env: [
          { name: 'T', valueFrom: { fileKeyRef: { volumeName: 'sidewarden-spool', path: 'x', key: 'y' } } },
        ],
      }),
      /must not read from sidewarden-spool/u,
    ],
    ['our audience', withVolume(token('broker.sidewarden.dev')), /is the sidecar's alone/u],
    ['a token', withVolume(token()), /service account token/u],
    ['devices', agent({ volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] }), /volumeDevices/u],
    [
      'propagation',
      agent({ volumeMounts: [{ name: 'v', mountPath: '/x', mountPropagation: 'Bidirectional' }] }),
      /Bidirectional/u,
    ],
    ['hostPort', agent({ ports: [{ containerPort: 15432, hostPort: 15432 }] }), /hostPort/u],
    [
      'alias of the target',
      specd(injected(), { hostAliases: [{ ip: '10.0.0.1', hostnames: ['ORDERS.db.'] }] }),
      /hostAliases/u,
    ],
    [
      'alias of the broker',
      specd(injected(), { hostAliases: [{ ip: '10.0.0.1', hostnames: ['sidewarden.sidewarden.svc'] }] }),
      /hostAliases/u,
    ],
    [
      'a certificate for the API server',
      withVolume({
        projected: {
          sources: [{ podCertificate: { signerName: 'kubernetes.io/kube-apiserver-client-pod' } }],
        },
      }),
      /as good as a token/u,
    ],
    ['unknown pod field', specd(injected(), { hostEverything: true }), /spec.hostEverything is not known/u],
    ['unknown container field', agent({ hostDoor: true }), /hostDoor is not known/u],
    ['unknown pod security field', inPod({ hostThing: 1 }), /hostThing is not known/u],
    ['unknown security field', secured({ superPowers: true }), /superPowers is not known/u],
    ['our name', specd(injected(), { containers: [{ name: 'sidewarden' }] }), /name sidewarden/u],
    [
      'an init container too',
      specd(injected(), {
        initContainers: [
          ...objects(object(injected()['spec'])['initContainers']),
          { name: 'i', securityContext: { privileged: true } },
        ],
      }),
      /container i: .*privileged/u,
    ],
  ];
  for (const [name, pod, reason] of rows) {
    for (const enforced of [true, false]) assert.match(refusals(pod, enforced).join('\n'), reason, name);
  }
  const all = specd(injected(), { hostPID: true, hostIPC: true, shareProcessNamespace: true });
  assert.equal(refusals(all).length, 3);
});

test('a sidecar that is not exactly the planned one is refused', () => {
  const bare = object(injected()['spec']);
  const [first] = objects(bare['initContainers']);
  const [token, spool] = objects(bare['volumes']);
  const rows: readonly [string, Json, RegExp][] = [
    ['image', sidecar({ image: 'evil' }), /not as injected/u],
    ['command', sidecar({ command: ['sh'] }), /not as injected/u],
    ['args', sidecar({ args: ['x'] }), /not as injected/u],
    [
      'env',
      sidecar({ env: [...objects(first?.['env']), { name: 'NODE_OPTIONS', value: '--inspect' }] }),
      /not as injected/u,
    ],
    ['envFrom', sidecar({ envFrom: [{ configMapRef: { name: 'x' } }] }), /not as injected/u],
    ['restart', sidecar({ restartPolicy: undefined }), /not as injected/u],
    [
      'mount',
      sidecar({ volumeMounts: [...objects(first?.['volumeMounts']), { name: 'v', mountPath: '/app' }] }),
      /not as injected/u,
    ],
    [
      'security',
      sidecar({ securityContext: { ...object(first?.['securityContext']), privileged: true } }),
      /not as injected/u,
    ],
    ['lifecycle', sidecar({ lifecycle: { postStart: { exec: { command: ['x'] } } } }), /not as injected/u],
    ['probe', sidecar({ startupProbe: { exec: { command: ['x'] } } }), /not as injected/u],
    ['less memory', sidecar({ resources: { limits: { memory: '1Mi' } } }), /not as injected/u],
    ['gone', specd(injected(), { initContainers: [] }), /is missing/u],
    [
      'later',
      specd(injected(), {
        initContainers: [{ name: 'i', securityContext: { capabilities: { drop: ['ALL'] } } }, first],
      }),
      /must be number 1/u,
    ],
    [
      'a redirect by hand',
      specd(injected(), { initContainers: [first, { name: 'sidewarden-redirect' }] }),
      /did not make/u,
    ],
    [
      'no redirect',
      specd(injected({ redirect: true }), { initContainers: [first] }),
      /sidewarden-redirect is missing/u,
    ],
    [
      'token volume',
      specd(injected(), { volumes: [{ name: token?.['name'], emptyDir: {} }, spool] }),
      /sidewarden-token is not as injected/u,
    ],
    [
      'spool on a claim',
      specd(injected(), {
        volumes: [token, { name: spool?.['name'], persistentVolumeClaim: { claimName: 'x' } }],
      }),
      /sidewarden-spool is not as injected/u,
    ],
    [
      'no volumes',
      specd(injected(), { volumes: [] }),
      /sidewarden-token is missing.*sidewarden-spool is missing/su,
    ],
    ['label', { ...injected(), metadata: podWith()['metadata'] }, /label sidewarden.dev\/injected/u],
  ];
  for (const [name, pod, reason] of rows) assert.match(refusals(pod).join('\n'), reason, name);
});

test('updates: dangers are not added, ours is not changed, what was there before does not stand in the way', () => {
  const before = injected();
  const update = (oldObject: Json, next: Json, enforced: boolean, subresource = '') =>
    guard(request({ operation: 'UPDATE', oldObject, object: next, subresource }), context({ enforced }));
  const bare = podWith({ connections: undefined });
  const annotated = (value: string) => ({
    ...before,
    metadata: { ...object(before['metadata']), annotations: { 'sidewarden.dev/connections': value } },
  });
  const image = (pod: Json) =>
    specd(pod, { containers: [{ ...objects(object(pod['spec'])['containers'])[0], image: 'other' }] });
  const rows: readonly [string, Json, Json, boolean, RegExp | undefined][] = [
    ['image', before, image(before), true, undefined],
    [
      'other label',
      before,
      { ...before, metadata: { ...object(before['metadata']), finalizers: [] } },
      true,
      undefined,
    ],
    ['bare image', bare, image(bare), false, undefined],
    ['bare image, enforced', bare, image(bare), true, /no sidecar, from before/u],
    ['bare, ending', bare, { ...image(bare), metadata: { deletionTimestamp: 'x' } }, true, undefined],
    ['connections', before, annotated('access/with-tls'), false, /connections cannot be changed/u],
    ['injected later', bare, before, false, /connections cannot be changed.*injected cannot be changed/su],
    ['sidecar', before, sidecar({ image: 'x' }), false, /sidecar's containers cannot/u],
    [
      'ephemeral',
      before,
      specd(before, { ephemeralContainers: [{ name: 'd' }] }),
      false,
      /ephemeral container d/u,
    ],
    [
      'ephemeral in a bare pod',
      bare,
      specd(bare, { ephemeralContainers: [{ name: 'd' }] }),
      true,
      /ephemeral container d/u,
    ],
    [
      'old danger',
      specd(before, { hostPID: true }),
      image(specd(before, { hostPID: true })),
      true,
      undefined,
    ],
  ];
  for (const [name, old, next, enforced, reason] of rows) {
    const reasons = update(old, next, enforced).join('\n');
    if (reason === undefined) assert.equal(reasons, '', name);
    else assert.match(reasons, reason, name);
  }
});

test('entries: into the sidecar, by port, by binding, by token', () => {
  const kubelet = { username: 'system:node:n1', uid: '', groups: ['system:nodes'], extra: {} };
  const connect = (subresource: string, options: Json) =>
    request({ operation: 'CONNECT', subresource, object: options });
  const token = (audiences: unknown, user = request({}).user) =>
    request({
      resource: { group: '', version: 'v1', resource: 'serviceaccounts' },
      subresource: 'token',
      object: { spec: { audiences } },
      user,
    });
  const bind = (resource: string, subresource: string, metadata: Json) =>
    request({ resource: { group: '', version: 'v1', resource }, subresource, object: { metadata } });
  const ours = { 'sidewarden.dev/connections': 'a/b' };
  const rows: readonly [string, AdmissionRequest, boolean, boolean][] = [
    ['exec', connect('exec', { container: 'sidewarden', command: ['sh'] }), false, false],
    ['attach', connect('attach', { container: 'sidewarden' }), true, false],
    ['exec into the redirect', connect('exec', { container: 'sidewarden-redirect' }), true, false],
    ['exec into the agent', connect('exec', { container: 'agent' }), true, true],
    ['exec by default', connect('exec', {}), true, true],
    ['portforward', connect('portforward', { ports: [1] }), true, false],
    ['portforward elsewhere', connect('portforward', { ports: [1] }), false, true],
    ['token', token(['broker.sidewarden.dev']), false, false],
    ['token among others', token(['vault', 'broker.sidewarden.dev']), false, false],
    ['token by a kubelet', token(['broker.sidewarden.dev'], kubelet), false, true],
    ['by half a kubelet', token(['broker.sidewarden.dev'], { ...kubelet, username: 'ann' }), false, false],
    ['another token', token(['vault']), true, true],
    ['any token', token(undefined), true, true],
    ['binding', bind('pods', 'binding', { annotations: ours }), false, false],
    ['bindings', bind('bindings', '', { labels: ours }), false, false],
    ['another binding', bind('pods', 'binding', { annotations: { mine: 'x' } }), true, true],
    ['unknown', request({ subresource: 'teleport', operation: 'CONNECT', object: {} }), true, false],
    [
      'a resource of others',
      request({ resource: { group: 'x', version: 'v1', resource: 'pods' }, object: {} }),
      true,
      false,
    ],
  ];
  for (const [name, asked, enforced, allowed] of rows) {
    assert.equal(guard(asked, context({ enforced })).length === 0, allowed, name);
  }
});

test('any value anywhere in a pod is answered, never thrown at', () => {
  const junk = fc.oneof(fc.jsonValue(), fc.constantFrom(null, [], {}, 'x', 7, true));
  const arbitrary = fc.record({
    metadata: junk,
    spec: fc.oneof(
      junk,
      fc.record({
        containers: junk,
        initContainers: junk,
        volumes: junk,
        securityContext: junk,
        hostAliases: junk,
      }),
    ),
  });
  fc.assert(
    fc.property(arbitrary, fc.boolean(), (pod, enforced) => {
      assert.ok(isJson(pod));
      const found = refusals(pod, enforced);
      // Nothing of this is injected: in an enforced namespace it is refused.
      if (enforced) assert.ok(found.length > 0);
    }),
  );
});
