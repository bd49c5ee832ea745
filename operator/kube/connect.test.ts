import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import pino from 'pino';
import { until } from '../../e2e/cluster/component.ts';
import {
  type ControlPlane,
  controlPlaneUnavailable,
  startControlPlane,
} from '../../e2e/cluster/control-plane.ts';
import { asked } from '../../sidecar/approval/fixture.ts';
import { newApproval } from '../../sidecar/approval/object.ts';
import { type RunningKube, connectKube } from './connect.ts';
import {
  APPROVALS,
  CONFIG_MAPS,
  CONNECTIONS,
  type Key,
  KubeError,
  type KubeObject,
  NAMESPACES,
  PODS,
  SECRETS,
} from './kube.ts';
import type { Json } from './object.ts';
import { readConnection } from './read.ts';
import { Transport } from './transport.ts';

const unavailable = await controlPlaneUnavailable();
const log = pino({ level: 'silent' });

suite('Kubernetes', { skip: unavailable ?? false }, () => {
  let plane: ControlPlane;
  let kube: RunningKube;
  before(async () => {
    plane = await startControlPlane({
      flags: ['--default-watch-cache-size=10', '--disable-admission-plugins=ServiceAccount'],
    });
    for (const kind of ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'])
      await plane.apply(await readFile(`crds/${kind}.yaml`, 'utf8'));
    kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
    await kube.synced;
  });
  after(async () => {
    await kube.close();
    await plane.stop();
  });

  test('lists of any length are read whole, without managedFields', async () => {
    const names = Array.from({ length: 450 }, (_, index) => `many-${index}`);
    await Promise.all(names.map((name) => kube.create(CONFIG_MAPS, configMap(name, { many: 'yes' }))));
    const listed = await kube.list(CONFIG_MAPS, 'default', 'many=yes');
    assert.deepEqual(listed.map(({ metadata }) => metadata.name).sort(), names.sort());
    assert.ok(listed.every(({ metadata }) => !('managedFields' in metadata && metadata.managedFields)));
    assert.equal(listed[0]?.kind, 'ConfigMap');
  });

  test('writes say what became of them', async () => {
    const made = await kube.create(CONFIG_MAPS, configMap('one'));
    assert.ok(made.kind === 'written');
    const { uid, resourceVersion } = made.object.metadata;
    const patch = (body: unknown) => kube.patch(CONFIG_MAPS, 'default', 'one', body);
    assert.equal((await kube.create(CONFIG_MAPS, configMap('one'))).kind, 'conflict');
    assert.equal((await patch({ metadata: { resourceVersion }, data: { a: '1' } })).kind, 'written');
    assert.equal((await patch({ metadata: { resourceVersion }, data: { a: '2' } })).kind, 'conflict');
    assert.equal((await patch({ metadata: { uid: crypto.randomUUID() } })).kind, 'conflict');
    assert.deepEqual((await kube.get(CONFIG_MAPS, 'default', 'one'))?.['data'], { a: '1' });
    assert.equal((await patch({ data: { a: 1 } })).kind, 'rejected');
    assert.equal((await kube.patch(CONFIG_MAPS, 'default', 'none', {})).kind, 'not-found');
    assert.equal((await kube.delete(CONFIG_MAPS, 'default', 'one', crypto.randomUUID())).kind, 'conflict');
    assert.equal((await kube.delete(CONFIG_MAPS, 'default', 'one', uid)).kind, 'deleted');
    assert.equal((await kube.delete(CONFIG_MAPS, 'default', 'one')).kind, 'not-found');
    assert.equal(await kube.get(CONFIG_MAPS, 'default', 'one'), undefined);
  });

  test('what waits for a finalizer is not deleted yet; the schema rejects with its reason', async () => {
    const finalized = { ...configMap('kept'), metadata: { ...meta('kept'), finalizers: ['example.com/x'] } };
    await kube.create(CONFIG_MAPS, finalized);
    assert.equal((await kube.delete(CONFIG_MAPS, 'default', 'kept')).kind, 'written');
    await kube.patch(CONFIG_MAPS, 'default', 'kept', { metadata: { finalizers: null } });
    assert.equal(await kube.get(CONFIG_MAPS, 'default', 'kept'), undefined);
    const bad = await kube.create(CONNECTIONS, connection('bad', { protocol: 'smtp' }));
    assert.ok(bad.kind === 'rejected');
    assert.match(bad.message, /spec\.protocol/u);
  });

  test('a right that we lack is an error, not a rejection', async () => {
    const nobody = await plane.kubeconfigFor({ user: 'nobody' });
    const poor = await connectKube({ kubeconfig: nobody, log });
    await assert.rejects(poor.create(CONFIG_MAPS, configMap('two')), { code: 'kube', status: 403 });
    await assert.rejects(poor.get(SECRETS, 'default', 'x'), { code: 'kube', status: 403 });
    await poor.close();
    await assert.rejects(poor.synced, { code: 'kube' });
  });

  test('a token is vouched for with its audience only', async () => {
    await plane.kubectl(['create', 'serviceaccount', 'agent']);
    const token = (await plane.kubectl(['create', 'token', 'agent', '--audience=sidewarden'])).trim();
    const user = await kube.tokenReview(token, 'sidewarden');
    assert.equal(user?.username, 'system:serviceaccount:default:agent');
    assert.ok(user.groups.includes('system:serviceaccounts'));
    assert.equal(await kube.tokenReview(token, 'other'), undefined);
    assert.equal(await kube.tokenReview(`${token}x`, 'sidewarden'), undefined);
    assert.equal(await kube.tokenReview('nonsense', 'sidewarden'), undefined);
  });

  test('rights are asked of the API server', async () => {
    await plane.kubectl([
      'create',
      'clusterrole',
      'dba',
      '--verb=approve',
      '--resource=protectedconnections',
    ]);
    await plane.kubectl(['create', 'clusterrolebinding', 'dba', '--clusterrole=dba', '--group=dba']);
    const ask = (groups: readonly string[], verb = 'approve') =>
      kube.mayAccess({
        user: { username: 'alice', uid: '', groups, extra: {} },
        ...{ verb, group: 'sidewarden.dev', resource: 'protectedconnections' },
        ...{ namespace: 'default', name: 'orders-db' },
      });
    assert.equal(
      await until('the role is known', async () => ((await ask(['dba'])) ? true : undefined)),
      true,
    );
    assert.equal(await ask(['dev']), false);
    assert.equal(await ask(['dba'], 'delete'), false);
  });

  test('equal events are one with a count', async () => {
    const about = await kube.get(NAMESPACES, '', 'default');
    assert.ok(about);
    for (let time = 0; time < 3; time += 1) {
      kube.event(about, 'Warning', 'Tested', 'said three times');
      await new Promise((done) => setTimeout(done, 20));
    }
    const event = await until('the event is there', async (): Promise<Json | undefined> => {
      const args = ['get', 'events', '-o', 'json', '--field-selector=reason=Tested'];
      const { items } = JSON.parse(await plane.kubectl(args));
      const [first]: readonly Json[] = items;
      return items.length === 1 && first?.['count'] === 3 ? first : undefined;
    });
    assert.partialDeepStrictEqual(event, {
      involvedObject: { kind: 'Namespace', name: 'default' },
      message: 'said three times',
    });
  });

  test('stores follow changes, and a broken listener breaks nothing', async () => {
    const store = kube.stores.connections;
    const seen: string[] = [];
    const name = ({ namespace, name: own }: Key) => `${namespace}/${own}`;
    const stopBroken = store.watch(() => {
      throw new Error('a broken listener');
    });
    const stop = store.watch((key, object, old) => {
      seen.push(`${name(key)} ${old ? 'was' : '-'} ${object ? 'is' : '-'}`);
    });
    await kube.create(CONNECTIONS, connection('orders-db'));
    const there = await until('it is there', () => store.get('default', 'orders-db'));
    const parsed = readConnection(there);
    assert.equal(parsed.kind, 'parsed');
    assert.equal(readConnection(there), parsed);
    assert.equal(store.list('default').length, 1);
    assert.equal(store.list('other').length, 0);
    const other = { metadata: { uid: crypto.randomUUID() } };
    assert.equal((await kube.patch(CONNECTIONS, 'default', 'orders-db', other)).kind, 'conflict');
    await kube.patch(CONNECTIONS, 'default', 'orders-db', { spec: { target: { port: 5433 } } });
    await until('it has changed', () => (seen.length === 2 ? true : undefined));
    await kube.delete(CONNECTIONS, 'default', 'orders-db');
    await until('it is gone', () => (store.get('default', 'orders-db') ? undefined : true));
    stop();
    stopBroken();
    assert.deepEqual(seen, ['default/orders-db - is', 'default/orders-db was is', 'default/orders-db was -']);
  });

  test('who watches later is told what is there', async () => {
    const told = await new Promise<KubeObject | undefined>((done) => {
      const stop = kube.stores.namespaces.watch(({ name }, object) => {
        if (name !== 'default') return;
        stop();
        done(object);
      });
    });
    assert.equal(told?.kind, 'Namespace');
  });

  test('of Approvals that are over, nothing that is long', async () => {
    const made = newApproval('orders-1', '', asked({ text: 'x'.repeat(200_000) }), Date.now());
    assert.ok(made.kind === 'new');
    const { spec, apiVersion, kind } = made.approval;
    const metadata = { name: 'orders-1', namespace: 'default' };
    await kube.create(APPROVALS, { apiVersion, kind, metadata, spec });
    const cached = () => JSON.stringify(kube.stores.approvals.get('default', 'orders-1') ?? '');
    await until('it is cached', () => cached().length > 200_000 || undefined);
    await kube.patch(APPROVALS, 'default', 'orders-1', { status: { phase: 'Void' } }, 'status');
    await until('it is trimmed', () => cached().includes('"Void"') || undefined);
    assert.ok(cached().length < 4_096, cached().slice(0, 2_000));
    const live = await kube.get(APPROVALS, 'default', 'orders-1');
    assert.ok(JSON.stringify(live).length > 200_000);
  });

  test('of pods, only injected ones, and only what is read', async () => {
    await kube.create(PODS, pod('plain', {}));
    await kube.create(PODS, pod('injected', { 'sidewarden.dev/injected': 'true' }));
    const kept = await until('the pod is there', () => kube.stores.pods.get('default', 'injected'));
    assert.equal(kube.stores.pods.list().length, 1);
    assert.deepEqual(kept['spec'], {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      containers: [{ name: 'agent' }],
      initContainers: [{ name: 'sidewarden', restartPolicy: 'Always' }],
    });
    assert.deepEqual(kept.metadata.annotations, { 'sidewarden.dev/connections': 'a/b' });
  });

  test('a killed API server and a deletion that nobody saw', async () => {
    for (const name of ['stays', 'goes']) await kube.create(CONNECTIONS, connection(name));
    await until('both are there', () => (kube.stores.connections.list().length === 2 ? true : undefined));
    // The watch cannot see this: its server is gone, and what it would resume from is compacted when the new one is asked.
    await plane.restart('kube-apiserver');
    await plane.kubectl(['delete', 'protectedconnection', 'goes']);
    await kube.create(CONNECTIONS, connection('comes'));
    const names = () =>
      kube.stores.connections
        .list()
        .map(({ metadata }) => metadata.name)
        .sort()
        .join();
    await until('the store is current', () => (names() === 'comes,stays' ? true : undefined));
    assert.equal(kube.stores.namespaces.get('', 'default')?.kind, 'Namespace');
  });

  test('a version from before the API server was started again is 410, as a status or as an event', async () => {
    const transport = new Transport(plane.client);
    const query = { watch: 'true', resourceVersion: '1', timeoutSeconds: '5' };
    const call = {
      method: 'GET',
      path: '/api/v1/configmaps',
      query,
      stop: AbortSignal.timeout(120_000),
    } as const;
    const codes = await until('the API server has its cache of them', async () => {
      const said: unknown[] = [];
      try {
        for await (const line of transport.lines(call)) {
          const { type, object } = JSON.parse(line);
          if (type === 'ERROR') said.push(object.code);
        }
      } catch (error) {
        if (error instanceof KubeError) said.push(error.status);
      }
      // 429 as long as it fills that cache.
      return said[0] === 429 ? undefined : said;
    });
    transport.close();
    assert.deepEqual(codes, [410]);
  });
});

const meta = (name: string) => ({ name, namespace: 'default' });

function configMap(name: string, labels: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...meta(name), labels } };
}

function connection(name: string, spec: object = {}) {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: meta(name),
    spec: {
      protocol: 'postgres',
      target: { host: 'localhost', database: 'orders' },
      credentials: { secretRef: { name: 'orders' } },
      identity: { sources: [{ serviceAccount: {} }] },
      listen: { port: 15_432 },
      ...spec,
    },
  };
}

function pod(name: string, labels: Readonly<Record<string, string>>) {
  const image = 'example.invalid/agent:1';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...meta(name), labels, annotations: { 'sidewarden.dev/connections': 'a/b', other: 'x' } },
    spec: {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      initContainers: [{ name: 'sidewarden', image, restartPolicy: 'Always' }],
      containers: [{ name: 'agent', image, env: [{ name: 'A', value: 'b' }] }],
    },
  };
}
