/** A run from end to end but for the kubelet: real API server and webhooks, two brokers, the sidecar, PostgreSQL. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import pg from 'pg';
import pino from 'pino';
import { startBroker, type BrokerServer } from '../../operator/broker/server.ts';
import { CONNECTIONS_ANNOTATION, INJECTED_LABEL } from '../../operator/kube/names.ts';
import { createPostgresProvisioner } from '../../operator/provision/postgres/provisioner.ts';
import type { Recordings } from '../../operator/recordings/recordings.ts';
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import { Sidecar } from '../../sidecar/sidecar.ts';
import { alice, eve, NAMESPACE, startScene, type Scene } from '../approvals/scene.ts';
import { createAuthority } from '../cluster/certificates.ts';
import { until } from '../cluster/component.ts';
import { controlPlaneUnavailable } from '../cluster/control-plane.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';

const unavailable = await controlPlaneUnavailable();

const recordings: Recordings = {
  seal: () => Promise.resolve({ keyId: 'none', signature: 'none' }),
  upload: () => Promise.resolve({ kind: 'kept' }),
  keep: () => Promise.resolve(),
  complete: () => Promise.resolve(undefined),
  location: () => Promise.resolve(undefined),
};

interface Found {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly connection?: string };
  readonly status?: { readonly phase?: string; readonly decisions?: { readonly allow: number } };
}

suite('a run', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let scene: Scene;
  let postgres: TestPostgres;
  let brokers: BrokerServer[] = [];
  let sidecar: Sidecar;
  let provisioner: ReturnType<typeof createPostgresProvisioner>;
  let start: (port: number, address: string) => Promise<BrokerServer>;
  let port: number;
  const lines: string[] = [];
  const clients: pg.Client[] = [];
  const log = pino({ level: 'debug', base: null }, { write: (line: string) => void lines.push(line) });

  const connect = async () => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const apply = (...objects: readonly object[]) =>
    scene.plane.apply(objects.map((each) => JSON.stringify(each)).join('\n---\n'));
  const list = async (kind: string): Promise<readonly Found[]> => {
    const found = await scene.plane.kubectl(['get', kind, '-n', NAMESPACE, '-o', 'json']);
    // The API server's own answer.
    return (JSON.parse(found) as { readonly items: readonly Found[] }).items;
  };
  const policy = (rules: readonly object[]) => ({
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'live', namespace: NAMESPACE },
    spec: { connections: ['live-db'], subjects: [{ everyone: true }], rules },
  });
  const reads = {
    name: 'reads',
    when: 'sql.effects == ["read"] || sql.functions.exists(f, f.name == "pg_catalog.pg_sleep")',
    action: 'Allow',
  };
  const writes = {
    name: 'writes',
    when: '"write" in sql.effects',
    action: 'Hold',
    hold: { approvers: { groups: ['dba'] }, timeout: '5m' },
  };

  before(async () => {
    [scene, postgres, port] = await Promise.all([startScene(), startPostgres(), freePort()]);
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    await admin.query('CREATE TABLE ledger (id int)');
    await admin.end();
    await apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'agents', labels: { agents: 'true' } } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'runner', namespace: 'agents' } },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'live-admin', namespace: NAMESPACE },
        stringData: { username: postgres.user, password: postgres.password },
      },
      {
        apiVersion: 'sidewarden.dev/v1alpha1',
        kind: 'ProtectedConnection',
        metadata: { name: 'live-db', namespace: NAMESPACE },
        spec: {
          protocol: 'postgres',
          target: {
            host: postgres.host,
            port: postgres.port,
            database: 'postgres',
            tls: { mode: 'disable' },
          },
          credentials: { secretRef: { name: 'live-admin' } },
          allowedNamespaces: { matchLabels: { agents: 'true' } },
          identity: { sources: [{ serviceAccount: {} }] },
          role: {
            provision: true,
            grants: [{ tables: ['public.ledger'], privileges: ['SELECT', 'INSERT'] }],
          },
          listen: { port },
        },
      },
      policy([reads, writes]),
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: 'job-1',
          namespace: 'agents',
          labels: { [INJECTED_LABEL]: 'true' },
          annotations: { [CONNECTIONS_ANNOTATION]: `${NAMESPACE}/live-db` },
        },
        spec: { serviceAccountName: 'runner', containers: [{ name: 'agent', image: 'none' }] },
      },
    );
    const authority = await createAuthority(join(scene.plane.folder, 'broker-pki'));
    const pair = await authority.server(['DNS:broker.test']);
    const certificates = {
      current: () => ({ ...pair, bundle: authority.certificate }),
      watch: () => () => undefined,
      close: () => Promise.resolve(),
    };
    provisioner = createPostgresProvisioner('e2e');
    const { kube, approvals } = scene;
    start = (at, address) =>
      startBroker({
        kube,
        approvals,
        recordings,
        provisioner: () => provisioner,
        log,
        port: at,
        address,
        certificates,
      });
    await until('the policy is cached', () => kube.stores.policies.get(NAMESPACE, 'live'));
    await until('the connection is cached', () => kube.stores.connections.get(NAMESPACE, 'live-db'));
    await until('the namespace is cached', () => kube.stores.namespaces.get('', 'agents'));
    const first = await start(0, '127.0.0.1');
    brokers = [first, await start(first.port, '127.0.0.2')];
    const uid = await scene.plane.kubectl([
      'get',
      'pod',
      'job-1',
      '-n',
      'agents',
      '-o',
      'jsonpath={.metadata.uid}',
    ]);
    const bound = ['--bound-object-kind=Pod', '--bound-object-name=job-1', `--bound-object-uid=${uid}`];
    const audience = `--audience=${BROKER_AUDIENCE}`;
    const token = await scene.plane.kubectl([
      'create',
      'token',
      'runner',
      '-n',
      'agents',
      audience,
      ...bound,
    ]);
    const tokenFile = join(scene.plane.folder, 'token');
    await writeFile(tokenFile, token);
    const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    sidecar = await Sidecar.start({
      broker: {
        url: new URL(`https://broker.test:${first.port}`),
        ca: authority.certificate,
        tokenFile,
        resolve: (_host, done) => done(null, addresses),
      },
      state: join(scene.plane.folder, 'sidecar'),
      redirect: false,
      log,
    });
    await until('the sidecar is ready', async () => sidecar.ready || undefined);
  });
  after(async () => {
    for (const client of clients) await client.end().catch(() => undefined);
    await sidecar.stop(3_000);
    await Promise.all(brokers.map((broker) => broker.close()));
    await provisioner.close();
    await scene.close();
    await postgres.stop();
  });

  test('works as a role of its own, and its Session counts', async () => {
    const client = await connect();
    const { rows } = await client.query<{ u: string }>('SELECT current_user AS u');
    assert.notEqual(rows[0]?.u, postgres.user);
    await client.query('SELECT * FROM ledger');
    await until('the Session counts', async () => {
      const found = (await list('sessions')).find(({ spec }) => spec.connection === 'live-db');
      return (found?.status?.decisions?.allow ?? 0) >= 2 || undefined;
    });
  });

  test('a hold is an Approval: others may not decide, alice does by kubectl patch, and it runs at once', async () => {
    const client = await connect();
    const running = client.query('INSERT INTO ledger VALUES (1)');
    running.catch(() => undefined);
    const name = await until('there is an Approval', async () => {
      const found = await scene.plane.kubectl(['get', 'approvals', '-n', NAMESPACE, '-o', 'name']);
      return found.split('\n').find((each) => each.includes('live-db'));
    });
    const patch = JSON.stringify({ spec: { decision: { verdict: 'Approve' } } });
    const decide = ['patch', name, '-n', NAMESPACE, '--type', 'merge', '-p', patch];
    await assert.rejects(scene.plane.kubectl(decide, { as: eve }));
    await scene.plane.kubectl(decide, { as: alice });
    const began = performance.now();
    assert.equal((await running).rowCount, 1);
    assert.ok(performance.now() - began < 45_000);
    await scene.phase(name.slice(name.indexOf('/') + 1), 'Used');
  });

  test('a replica that ends during a hold: the other one has the decision', async () => {
    const client = await connect();
    const running = client.query('INSERT INTO ledger VALUES (2)');
    running.catch(() => undefined);
    const name = await until('there is a pending Approval', async () => {
      const found = await list('approvals');
      return found.find(
        ({ metadata, status }) => metadata.name.includes('live-db') && status?.phase === 'Pending',
      )?.metadata.name;
    });
    const index = await until('the sidecar listens to one of them', () => {
      const found = brokers.findIndex((broker) => broker.streams() > 0);
      return found < 0 ? undefined : found;
    });
    const [gone] = brokers.splice(index, 1);
    await gone?.close();
    const patch = JSON.stringify({ spec: { decision: { verdict: 'Approve' } } });
    await scene.plane.kubectl(['patch', 'approval', name, '-n', NAMESPACE, '--type', 'merge', '-p', patch], {
      as: alice,
    });
    assert.equal((await running).rowCount, 1);
    assert.equal(brokers[0]?.streams(), 1);
  });

  test('a changed policy counts in sessions that are open', async () => {
    const client = await connect();
    await client.query('SELECT 1');
    await apply(policy([{ ...reads, action: 'Deny', message: 'closed for today' }]));
    await until('it is refused', async () => {
      const error = await client.query('SELECT 1').then(() => undefined, String);
      return error?.includes('closed for today') || undefined;
    });
    await apply(policy([reads, writes]));
    await until('it is allowed', async () =>
      client.query('SELECT 1').then(
        () => true,
        () => undefined,
      ),
    );
  });

  test('a namespace that may no longer use it is cut off in the middle of a query, and let in again', async () => {
    const client = await connect();
    const running = client.query('SELECT pg_sleep(600)');
    running.catch(() => undefined);
    await scene.plane.kubectl(['label', 'namespace', 'agents', 'agents-']);
    await assert.rejects(running, /revoked/);
    await assert.rejects(connect(), /revoked/);
    await scene.plane.kubectl(['label', 'namespace', 'agents', 'agents=true']);
    await until('it is let in', async () =>
      connect().then(
        () => true,
        () => undefined,
      ),
    );
  });

  test('no secret is in any log', () => {
    const all = lines.join('');
    assert.ok(!all.includes(postgres.password));
  });
});
