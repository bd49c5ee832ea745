import assert from 'node:assert/strict';
import { type Server as NetServer, type Socket, connect, createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import {
  type TestCluster,
  connection,
  json,
  log,
  secret,
  startTestCluster,
} from '../../e2e/broker/cluster.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import { type TestPostgres, freePort, startPostgres } from '../../e2e/postgres.ts';
import { ensureSession } from '../broker/session-object.ts';
import { CONNECTIONS, type KubeObject, PODS, SESSIONS } from '../kube/kube.ts';
import { CONNECTION_FINALIZER, INJECTED_LABEL, SESSION_FINALIZER, SIDECAR_NAME } from '../kube/names.ts';
import { readConnection, readSession } from '../kube/read.ts';
import { roleName } from '../provision/postgres/mark.ts';
import { type PostgresProvisioner, createPostgresProvisioner } from '../provision/postgres/provisioner.ts';
import type { Provisioned, Target } from '../provision/provisioner.ts';
import { connectionHoldController } from './connection-hold.ts';
import { type RunningController, runController } from './controller.ts';
import { orphanController } from './orphan.ts';
import { sidecarRuns } from './run.ts';
import { sessionController } from './session.ts';

const unavailable = await controlPlaneUnavailable();
const INSTALLATION = 'test-installation';
const ENDED = {
  name: 'agent',
  state: { terminated: { exitCode: 0 } },
  restartCount: 0,
  image: '',
  imageID: '',
  ready: false,
};

/** Stands before the database, and can be away. */
class Door {
  readonly #to: number;
  readonly #sockets = new Set<Socket>();
  #server: NetServer | undefined;
  port = 0;

  constructor(to: number) {
    this.#to = to;
  }

  async open(): Promise<void> {
    const server = createServer((socket) => {
      const other = connect(this.#to, '127.0.0.1');
      for (const each of [socket, other]) {
        this.#sockets.add(each);
        each.on('error', () => undefined);
        each.on('close', () => this.#sockets.delete(each));
      }
      socket.pipe(other).pipe(socket);
    });
    this.port ||= await freePort();
    await new Promise<void>((done) => server.listen(this.port, '127.0.0.1', done));
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise((done) => server.close(done));
  }
}

suite('the life of sessions', { skip: unavailable ?? false }, () => {
  let cluster: TestCluster;
  let postgres: TestPostgres;
  let door: Door;
  let provisioner: PostgresProvisioner;
  let running: RunningController[] = [];
  let pods = 0;
  let ttl = 24 * 3_600_000;
  const completed: string[] = [];

  const start = () => {
    const options = { kube: cluster.kube, provisioner: () => provisioner, log };
    const recordings = {
      complete: async ({ session }: { readonly session: string }, count: number) => {
        completed.push(`${session} ${count}`);
        return { location: `s3://recordings/${session}`, digest: `sha256:${'a'.repeat(64)}` };
      },
    };
    for (const controller of [
      sessionController({ ...options, recordings, ttl }),
      orphanController(options),
      connectionHoldController(cluster.kube),
    ])
      running.push(runController(controller, { log }));
  };
  const stop = async () => {
    const controllers = running;
    running = [];
    await Promise.all(controllers.map((each) => each.stop()));
  };
  const role = { provision: true, grants: [{ tables: ['public.orders'], privileges: ['SELECT'] }] };
  const target = { host: '127.0.0.1', database: 'postgres', tls: { mode: 'disable' } };
  const connectTo = async (name: string, port: number, more: object = {}) => {
    const object = connection(name, 15_432, {
      target: { ...target, port },
      role: { ...role, ...more },
      recording: { configMapRef: { name: 'recordings' } },
    });
    await cluster.plane.apply(json([object]));
    await until('the cache has it', () => cluster.kube.stores.connections.get('access', name), { every: 10 });
  };

  before(async () => {
    [cluster, postgres] = await Promise.all([
      startTestCluster(),
      startPostgres({ settings: ['max_connections=200'] }),
    ]);
    door = new Door(postgres.port);
    await door.open();
    provisioner = createPostgresProvisioner(INSTALLATION);
    await direct('CREATE TABLE orders (id int)');
    await cluster.plane.apply(json([secret('admin', { username: 'postgres', password: postgres.password })]));
    await connectTo('orders', door.port);
    start();
  });
  after(async () => {
    await stop();
    await provisioner.close();
    await door.close();
    await Promise.all([cluster.stop(), postgres.stop()]);
  });

  async function direct(sql: string, who = { user: 'postgres', password: postgres.password }) {
    const client = new Client({ host: '127.0.0.1', port: postgres.port, database: 'postgres', ...who });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async function targetOn(name: string): Promise<Target> {
    const object = cluster.kube.stores.connections.get('access', name);
    const parsed = object && readConnection(object);
    assert.ok(parsed?.kind === 'parsed');
    const administrator = { username: 'postgres', password: postgres.password, ca: undefined };
    return { connection: parsed.value, administrator };
  }

  async function newPod(): Promise<KubeObject> {
    pods += 1;
    const made = await cluster.kube.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `run-${pods}`, namespace: 'agents', labels: { [INJECTED_LABEL]: 'true' } },
      spec: {
        serviceAccountName: 'agent',
        restartPolicy: 'Never',
        containers: [{ name: 'agent', image: 'none' }],
      },
    });
    assert.ok(made.kind === 'written');
    return made.object;
  }

  interface Run {
    readonly pod: KubeObject;
    readonly session: KubeObject;
    readonly provisioned: Provisioned;
  }

  /** As the broker begins one. */
  async function begin(name = 'orders'): Promise<Run> {
    const pod = await newPod();
    const identity = {
      issuer: 'sidewarden:serviceAccount',
      subject: 'system:serviceaccount:agents:agent',
      username: 'system:serviceaccount:agents:agent',
      groups: [],
      claims: {},
      serviceAccount: 'agents/agent',
      pod: `agents/${pod.metadata.name}`,
    };
    const object = cluster.kube.stores.connections.get('access', name);
    assert.ok(object);
    const session = await ensureSession(
      cluster.kube,
      { pod, identity, connections: [], ended: false },
      object,
    );
    const provisioned = await provisioner.provision(await targetOn(name), roleOf(session), []);
    return { pod, session, provisioned };
  }

  const roleOf = ({ metadata: { namespace, name, uid } }: KubeObject) => ({
    session: { namespace, name, uid },
  });
  const end = async ({ pod }: Run) => {
    const status = { containerStatuses: [ENDED] };
    const { namespace, name } = pod.metadata;
    const written = await cluster.kube.patch(PODS, namespace, name, { status }, 'status');
    assert.equal(written.kind, 'written', JSON.stringify(written));
  };
  const live = async ({ session }: Run) => {
    const object = await cluster.kube.get(SESSIONS, 'access', session.metadata.name);
    if (!object) return undefined;
    const parsed = readSession(object);
    assert.ok(parsed.kind === 'parsed');
    return { object, status: parsed.value.status };
  };
  const reason = async (run: Run, type: string) => {
    const found = (await live(run))?.status?.conditions?.find((each) => each.type === type);
    return found && `${found.status} ${found.reason}`;
  };
  const ended = (run: Run, limit = 60_000) =>
    until(
      'the session is over',
      async () => {
        // Of many at once, only those are asked for that may be over.
        const cached = cluster.kube.stores.sessions.get('access', run.session.metadata.name);
        if (cached?.metadata.finalizers?.includes(SESSION_FINALIZER) === true) return undefined;
        const now = await live(run);
        const held = now?.object.metadata.finalizers?.includes(SESSION_FINALIZER) === true;
        return now === undefined || (now.status?.phase === 'Ended' && !held) ? true : undefined;
      },
      { every: 20, limit },
    );
  const roles = async () =>
    (await direct(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'sw\\_%'`)).map((row) =>
      String(row['rolname']),
    );

  test('an ended run: role gone, backends ended, session closed', async () => {
    const run = await begin();
    const { username: user, password } = run.provisioned;
    const client = new Client({
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      user,
      password,
    });
    client.on('error', () => undefined);
    const gone = new Promise((done) => client.once('end', done));
    await client.connect();
    await client.query('BEGIN; SELECT * FROM orders');
    await end(run);
    await ended(run);
    await gone;
    assert.ok(!(await roles()).includes(user));
    assert.equal(await reason(run, 'Ready'), 'False RunEnded');
    assert.equal(await reason(run, 'Revoked'), 'True RoleDropped');
  });

  test('a deleted pod, and one made again under its name', async () => {
    const run = await begin();
    const { namespace, name } = run.pod.metadata;
    await cluster.kube.delete(PODS, namespace, name);
    await ended(run);
    assert.equal(await reason(run, 'Ready'), 'False PodDeleted');
    assert.ok(!(await roles()).includes(run.provisioned.username));
  });

  test('what its sidecar says does not end it; its recordings are listed when it has said its last', async () => {
    const run = await begin();
    const { name } = run.session.metadata;
    const status = { recordings: 3, sidecarDone: true };
    await cluster.kube.patch(SESSIONS, 'access', name, { status }, 'status');
    await cluster.kube.patch(
      PODS,
      'agents',
      run.pod.metadata.name,
      { status: { phase: 'Running' } },
      'status',
    );
    await until(
      'it was looked at',
      () => cluster.kube.stores.sessions.get('access', name)?.['status'] ?? undefined,
    );
    assert.equal((await live(run))?.status?.phase, 'Active');
    assert.ok((await roles()).includes(run.provisioned.username));
    await end(run);
    await until('the list is written', async () =>
      (await reason(run, 'RecordingComplete')) === 'True ManifestSigned' ? true : undefined,
    );
    assert.ok(completed.includes(`${name} 3`));
    assert.equal((await live(run))?.status?.recording?.manifestDigest, `sha256:${'a'.repeat(64)}`);
  });

  test('a sidecar that ends without its last report: nobody says that its recordings are complete', async () => {
    const run = await begin();
    const { name } = run.session.metadata;
    await cluster.kube.patch(
      SESSIONS,
      'access',
      name,
      { status: { phase: 'Active', recordings: 3 } },
      'status',
    );
    await end(run);
    await until('it is said', async () =>
      (await reason(run, 'RecordingComplete')) === 'False RecordingCut' ? true : undefined,
    );
    assert.ok(!completed.includes(`${name} 3`));
  });

  test('the database is away while it is revoked: tried until it is back', async () => {
    const run = await begin();
    await door.close();
    await end(run);
    await until('the failure is told', async () =>
      (await reason(run, 'Revoked')) === 'False RevocationFailed' ? true : undefined,
    );
    assert.ok((await live(run))?.object.metadata.finalizers?.includes(SESSION_FINALIZER));
    assert.ok((await roles()).includes(run.provisioned.username));
    await door.open();
    await ended(run);
    assert.ok(!(await roles()).includes(run.provisioned.username));
  });

  test('a person deletes the Session: the role goes, and then the object', async () => {
    const run = await begin();
    await cluster.kube.delete(SESSIONS, 'access', run.session.metadata.name);
    await until('it is gone', async () => ((await live(run)) === undefined ? true : undefined), {
      every: 20,
    });
    assert.ok(!(await roles()).includes(run.provisioned.username));
  });

  const report = async ({ session }: Run, status: object) => {
    const { name } = session.metadata;
    const written = await cluster.kube.patch(
      SESSIONS,
      'access',
      name,
      { status: { phase: 'Active', ...status } },
      'status',
    );
    assert.equal(written.kind, 'written', JSON.stringify(written));
  };
  const sidecarStarted = async ({ pod }: Run) => {
    const status = {
      initContainerStatuses: [
        { ...ENDED, name: SIDECAR_NAME, state: { running: { startedAt: '2026-11-21T12:00:00Z' } } },
      ],
    };
    const { namespace, name } = pod.metadata;
    const written = await cluster.kube.patch(PODS, namespace, name, { status }, 'status');
    assert.equal(written.kind, 'written', JSON.stringify(written));
    await until(
      'the cache has it',
      () => sidecarRuns(cluster.kube.stores.pods.get(namespace, name), pod.metadata.uid) || undefined,
      { every: 10 },
    );
  };
  const listsOf = ({ session }: Run) =>
    completed.filter((each) => each.startsWith(`${session.metadata.name} `));
  const gone = (run: Run) =>
    until('it is gone', async () => ((await live(run)) === undefined ? true : undefined), { every: 20 });

  test('a person deletes the Session while its sidecar runs: listed is what its last report says, and not before it', async () => {
    const run = await begin();
    const { name } = run.session.metadata;
    await sidecarStarted(run);
    await report(run, { recordings: 3 });
    await cluster.kube.delete(SESSIONS, 'access', name);
    // Said after it was looked at whether anything can be listed.
    await until(
      'it is revoked',
      async () => {
        const now = await live(run);
        const said = now?.status?.conditions?.some(
          ({ type, status }) => type === 'Revoked' && status === 'True',
        );
        return now === undefined || said === true ? true : undefined;
      },
      { every: 20 },
    );
    assert.deepEqual(listsOf(run), []);
    assert.ok(await live(run));
    assert.ok(!(await roles()).includes(run.provisioned.username));
    await report(run, { phase: 'Ending', recordings: 4, sidecarDone: true });
    await gone(run);
    assert.deepEqual(listsOf(run), [`${name} 4`]);
  });

  for (const [what, said, over, lists] of [
    ['for a minute, while its sidecar runs', { endedAt: '2020-01-01T00:00:00Z', recordings: 3 }, false, []],
    ['and its sidecar is gone without its last report', { recordings: 3 }, true, []],
    ['and its sidecar is gone, and said its last', { recordings: 3, sidecarDone: true }, true, ['3']],
  ] as const)
    test(`a Session was deleted ${what}: it goes at once`, async () => {
      const run = await begin();
      const { name, uid } = run.session.metadata;
      await stop();
      if (over) await end(run);
      else await sidecarStarted(run);
      await report(run, said);
      await cluster.kube.delete(SESSIONS, 'access', name);
      const cached = () => cluster.kube.stores.sessions.get('access', name)?.metadata;
      await until('the cache has it', () => cached()?.deletionTimestamp, { every: 10 });
      start();
      await gone(run);
      assert.deepEqual(
        listsOf(run),
        lists.map((count) => `${name} ${count}`),
      );
      const field = `involvedObject.uid=${uid},reason=RecordingCut`;
      const events = () =>
        cluster.plane.kubectl(['get', 'events', '-n', 'access', '-o', 'name', '--field-selector', field]);
      if (lists.length === 0)
        await until('it is told', async () => ((await events()) === '' ? undefined : true), { every: 50 });
      else assert.equal(await events(), '');
    });

  test('a connection is deleted: it stays until its sessions are revoked', async () => {
    await connectTo('going', door.port);
    const run = await begin('going');
    const stored = () => cluster.kube.stores.connections.get('access', 'going');
    await until(
      'it is held',
      () => stored()?.metadata.finalizers?.includes(CONNECTION_FINALIZER) || undefined,
    );
    await cluster.kube.delete(CONNECTIONS, 'access', 'going');
    await ended(run);
    assert.equal(await reason(run, 'Ready'), 'False ConnectionDeleted');
    assert.equal(await reason(run, 'Revoked'), 'True RoleDropped');
    await until('it is gone', () => (stored() === undefined ? true : undefined));
    assert.ok(!(await roles()).includes(run.provisioned.username));
  });

  test('the operator is killed: what ended meanwhile, and a role that no Session knows, go soon after its restart', async () => {
    const run = await begin();
    await stop();
    await end(run);
    const lost = { session: { namespace: 'access', name: 'orders-lost', uid: 'never-recorded' } };
    await provisioner.provision(await targetOn('orders'), lost, []);
    const lives = await begin();
    start();
    await ended(run);
    const name = roleName(INSTALLATION, lost);
    await until('the lost role is gone', async () => ((await roles()).includes(name) ? undefined : true));
    assert.ok((await roles()).includes(lives.provisioned.username));
    await end(lives);
    await ended(lives);
  });

  test('two operators at once end fifty sessions', async () => {
    const runs: Run[] = [];
    for (let index = 0; index < 50; index += 1) runs.push(await begin());
    start();
    await Promise.all(runs.map(end));
    await Promise.all(runs.map((run) => ended(run, 120_000)));
    assert.deepEqual(await roles(), []);
  });

  test('a role of a run that lives is renewed before it runs out', async () => {
    await stop();
    await connectTo('short', door.port, { ttl: '1m' });
    const run = await begin('short');
    const { username } = run.provisioned;
    await direct(`ALTER ROLE "${username}" VALID UNTIL '2000-01-01'`);
    // As one that began long ago, under another leader.
    const { spec, metadata } = run.session;
    const { uid } = metadata;
    const before = { ...Object(spec), startedAt: '2020-01-01T00:00:00Z' };
    const older: KubeObject = { ...run.session, spec: before };
    const stores = {
      ...cluster.kube.stores,
      sessions: { get: () => older, list: () => [older], watch: () => () => undefined },
    };
    const controller = sessionController({
      kube: { ...cluster.kube, stores },
      provisioner: () => provisioner,
      recordings: { complete: async () => undefined },
      ttl,
    });
    const again = await controller.reconcile({ namespace: 'access', name: metadata.name });
    assert.ok((again?.after ?? 0) > 19_000, uid);
    const [row] = await direct(
      `SELECT rolvaliduntil > now() AS valid FROM pg_roles WHERE rolname = '${username}'`,
    );
    assert.equal(row?.['valid'], true);
    start();
    await end(run);
    await ended(run);
  });

  test('ended sessions are collected, those with cut recordings later', async () => {
    await stop();
    ttl = 0;
    start();
    await until('only the cut one is left', async () => {
      const left = await cluster.kube.list(SESSIONS, 'access');
      return left.length === 1 && /RecordingCut/.test(JSON.stringify(left)) ? true : undefined;
    });
  });
});
