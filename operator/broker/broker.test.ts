import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, suite, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import {
  connection,
  json,
  log,
  policy,
  secret,
  startTestCluster,
  type TestCluster,
} from '../../e2e/broker/cluster.ts';
import pino from 'pino';
import { TestSidecar, type TestStream } from '../../e2e/broker/sidecar.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import { MAX_REQUEST } from '../../sidecar/broker/protocol.ts';
import { CONNECTIONS, SESSIONS } from '../kube/kube.ts';
import { CONNECTION_FINALIZER, SESSION_FINALIZER } from '../kube/names.ts';
import type { Provisioner, RunRole } from '../provision/provisioner.ts';
import type { RecordingOwner, Recordings } from '../recordings/recordings.ts';
import type { RunApprovals } from './approvals.ts';
import { Reports } from './reports.ts';
import { startBroker, type BrokerServer } from './server.ts';

const unavailable = await controlPlaneUnavailable();
const PASSWORD = 'correct-horse-battery';
const ORDERS = 'access/orders';

suite('the broker', { skip: unavailable ?? false }, () => {
  let cluster: TestCluster;
  let one: BrokerServer;
  let two: BrokerServer;
  const kept: { owner: RecordingOwner; file: string; bytes: number }[] = [];
  const roles: { kind: string; role: RunRole }[] = [];
  let whileProvisioning: () => Promise<unknown> = () => Promise.resolve();
  const listeners: (() => void)[] = [];

  const approvals: RunApprovals = {
    ask: () => Promise.resolve({ kind: 'pending', name: 'orders-1', expiresAt: '2030-01-01T00:00:00Z' }),
    end: () => Promise.resolve(),
    lost: () => Promise.resolve(),
    outcomes: (_run, listener) => {
      listeners.push(() => listener('orders-1', { kind: 'expired', after: 1000 }));
      return () => undefined;
    },
  };
  const recordings: Recordings = {
    seal: (owner, recording) => Promise.resolve({ keyId: owner.session, signature: recording }),
    upload: () => Promise.resolve({ kind: 'kept' }),
    keep: async (owner, { file }, content) => {
      let bytes = 0;
      for await (const piece of content) bytes += piece.length;
      kept.push({ owner, file, bytes });
    },
    complete: () => Promise.resolve(undefined),
    location: () => Promise.resolve(undefined),
  };
  const provisioner: Provisioner = {
    provision: async (_target, role) => {
      roles.push({ kind: 'provision', role });
      await whileProvisioning();
      return {
        username: `run_${role.session.uid}`,
        password: 'made-up',
        validUntil: Date.now() + 60_000,
        warnings: [],
      };
    },
    renew: () => Promise.resolve(Date.now()),
    revoke: async (_target, role) => void roles.push({ kind: 'revoke', role }),
    marked: () => Promise.resolve([]),
  };
  const start = () =>
    startBroker({
      kube: cluster.kube,
      certificates: cluster.certificates,
      approvals,
      recordings,
      provisioner: () => provisioner,
      log,
      port: 0,
      address: '127.0.0.1',
    });
  const sidecar = (token: string | undefined, broker = one) =>
    new TestSidecar(broker.port, cluster.ca, token);
  const run = async (name: string, connections: string, namespace = 'agents') => {
    const uid = await cluster.pod(namespace, name, connections);
    return { uid, token: await cluster.token(namespace, name, uid) };
  };
  /** Each kind comes into the caches by a watch of its own. */
  const known = (store: 'connections' | 'policies', name: string) =>
    until(`${name} is known`, () => cluster.kube.stores[store].get('access', name));
  /** A Session is made first, and begun by a second write. */
  const begun = (name: string) =>
    until(`${name} is known to have begun`, () =>
      Object(cluster.kube.stores.sessions.get('access', name)?.['status']).phase === 'Active'
        ? true
        : undefined,
    );
  const streams: TestStream[] = [];
  const listen = async (token: string, broker = one) => {
    const stream = await sidecar(token, broker).listen();
    streams.push(stream);
    return stream;
  };

  before(async () => {
    cluster = await startTestCluster();
    await cluster.plane.apply(
      json([
        secret('admin', { username: 'postgres', password: PASSWORD }),
        secret('authority', { ca: 'a-certificate', other: 'not-for-sidecars' }),
        connection('orders', 15_432),
        connection('billing', 15_433, {
          target: {
            host: '127.0.0.1',
            database: 'orders',
            tls: { mode: 'require', caFrom: { secretKeyRef: { name: 'authority', key: 'ca' } } },
          },
        }),
        connection('roles', 15_434, { role: { provision: true } }),
        connection('held', 15_437, { role: { provision: true } }),
        connection('closed', 15_435, { allowedNamespaces: { matchLabels: { agents: 'never' } } }),
        connection('same-port', 15_432),
        connection('unstored', 15_436, { recording: { configMapRef: { name: 'nowhere' } } }),
        policy('reads', ['orders', 'billing'], 'sql.effects == ["read"]'),
      ]),
    );
    await known('policies', 'reads');
    for (const name of ['orders', 'billing', 'roles', 'held', 'closed', 'same-port', 'unstored'])
      await known('connections', name);
    [one, two] = await Promise.all([start(), start()]);
  });
  after(async () => {
    for (const stream of streams) stream.close();
    await Promise.all([one.close(), two.close()]);
    await cluster.stop();
  });

  suite('whose a request is', () => {
    test('a token for another audience, of no pod, of a gone pod, or none is refused', async () => {
      const uid = await cluster.pod('agents', 'audience', ORDERS);
      const gone = await run('gone', ORDERS);
      await cluster.plane.kubectl(['delete', 'pod', 'gone', '-n', 'agents', '--force', '--grace-period=0']);
      const tokens = {
        'another audience': await cluster.token('agents', 'audience', uid, 'https://kubernetes.default.svc'),
        'no pod': await cluster.token('agents', '', ''),
        'a gone pod': gone.token,
        none: undefined,
        nonsense: 'abc.def.ghi',
      };
      for (const [what, token] of Object.entries(tokens)) {
        const { status, body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
        assert.deepEqual([status, body['code']], [401, 'unauthenticated'], what);
      }
    });

    test('a pod that was made again under the name is another run', async () => {
      const before = await run('again', ORDERS);
      await cluster.plane.kubectl(['delete', 'pod', 'again', '-n', 'agents', '--force', '--grace-period=0']);
      await cluster.pod('agents', 'again', ORDERS);
      const { status } = await sidecar(before.token).post('/v1/sessions', { connection: ORDERS });
      assert.equal(status, 401);
    });

    test('a pod that was not injected is refused', async () => {
      const { token } = await run('plain', ORDERS);
      await cluster.plane.kubectl(['label', 'pod', 'plain', '-n', 'agents', 'sidewarden.dev/injected-']);
      const { status, body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      assert.deepEqual([status, body['code']], [403, 'forbidden']);
    });

    test('a run that has ended gets nothing more', async () => {
      const { token } = await run('done', ORDERS);
      await cluster.plane.kubectl([
        'patch',
        'pod',
        'done',
        '-n',
        'agents',
        '--subresource=status',
        '--type=merge',
        '-p',
        '{"status":{"phase":"Succeeded"}}',
      ]);
      const { status, body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      assert.deepEqual([status, body['code']], [410, 'ended']);
      await until('the cache knows', async () => {
        const refused = await sidecar(token)
          .listen()
          .catch((error: unknown) => error);
        if (!(refused instanceof Error)) return undefined;
        return 'status' in refused && refused.status === 410 ? true : undefined;
      });
    });
  });

  suite('what a run gets', () => {
    test('its own connections with their policies, and no credential', async () => {
      const { token } = await run(
        'plenty',
        `${ORDERS}, access/billing,access/closed, access/none, access/same-port, access/unstored`,
      );
      const stream = await listen(token);
      const event = await stream.next('configuration');
      const ids = (event.manifests ?? []).map(
        ({ kind, metadata }) => `${String(kind)} ${String(Object(metadata).name)}`,
      );
      assert.deepEqual(ids.sort(), [
        'AccessPolicy reads',
        'ProtectedConnection billing',
        'ProtectedConnection orders',
        'Secret authority',
      ]);
      const given = event.manifests?.find(({ kind }) => kind === 'Secret');
      assert.deepEqual(given?.['data'], { ca: Buffer.from('a-certificate').toString('base64') });
      assert.equal(event.identity?.username, 'system:serviceaccount:agents:agent');
      assert.equal(event.identity.pod, 'agents/plenty');
      const unusable = Object.fromEntries((event.unusable ?? []).map((each) => [each.connection, each]));
      assert.match(unusable['access/closed']?.message ?? '', /does not allow the namespace agents/);
      assert.match(unusable['access/none']?.message ?? '', /there is no ProtectedConnection/);
      assert.deepEqual(unusable['access/same-port'], {
        connection: 'access/same-port',
        message: 'access/orders listens on port 15432 too',
      });
      assert.deepEqual(unusable['access/unstored'], {
        connection: 'access/unstored',
        message: 'its recordings have no place: there is no ConfigMap access/nowhere',
        port: 15_436,
      });
      const revoked = [await stream.next('revoked'), await stream.next('revoked')];
      assert.deepEqual(revoked.map((each) => each.connection).sort(), ['access/closed', 'access/none']);
      await stream.next('ping');
      for (const hidden of [PASSWORD, 'not-for-sidecars'])
        for (const shown of [hidden, Buffer.from(hidden).toString('base64')])
          assert.ok(!stream.text.includes(shown));
      assert.deepEqual(Object.keys(event.credentials ?? {}), [ORDERS, 'access/billing']);
    });

    test('changes are pushed within 200 ms: policies, labels of the namespace, a deleted connection', async () => {
      await cluster.plane.apply(json([connection('moving', 15_440), policy('moving', ['moving'], 'true')]));
      await known('connections', 'moving');
      await known('policies', 'moving');
      const { token } = await run('watching', 'access/moving');
      const streams = [await listen(token, one), await listen(token, two)];
      for (const stream of streams) await stream.next('configuration');
      const patch = { spec: { rules: [{ name: 'two', when: 'false', action: 'Allow' }] } };
      const pushed = await Promise.all([
        cluster.plane
          .kubectl(['patch', 'apol', 'moving', '-n', 'access', '--type=merge', '-p', JSON.stringify(patch)])
          .then(() => performance.now()),
        ...streams.map(async (stream) => {
          const event = await stream.next('configuration');
          assert.match(JSON.stringify(event.manifests), /"name":"two"/);
          return performance.now();
        }),
      ]);
      for (const at of pushed) assert.ok(at - pushed[0] < 60_000, `${at - pushed[0]} ms`);

      const broken = { spec: { rules: [{ name: 'two', when: 'nothing.known', action: 'Allow' }] } };
      await cluster.plane.kubectl([
        'patch',
        'apol',
        'moving',
        '-n',
        'access',
        '--type=merge',
        '-p',
        JSON.stringify(broken),
      ]);
      const [first] = streams;
      assert.ok(first);
      const unusable = await first.next('configuration');
      assert.deepEqual(unusable.manifests, []);
      assert.match(unusable.unusable?.[0]?.message ?? '', /policy access\/moving/);
      assert.equal(unusable.unusable?.[0]?.port, 15_440);

      await cluster.plane.kubectl(['delete', 'pconn', 'moving', '-n', 'access']);
      for (const stream of streams) {
        const revoked = await stream.next('revoked');
        assert.equal(revoked.connection, 'access/moving');
      }
    });

    test('a namespace that is no longer allowed is cut off, and comes back', async () => {
      const { token } = await run('exiled', ORDERS, 'others');
      const stream = await listen(token);
      assert.equal((await stream.next('configuration')).manifests?.length, 0);
      await cluster.plane.kubectl(['label', 'namespace', 'others', 'agents=true']);
      assert.equal((await stream.next('configuration')).manifests?.length, 2);
      await cluster.plane.kubectl(['label', 'namespace', 'others', 'agents-']);
      assert.equal((await stream.next('configuration')).manifests?.length, 0);
      assert.match((await stream.next('revoked')).reason ?? '', /does not allow/);
      const { status } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      assert.equal(status, 403);
    });

    test('the end of its pod ends the stream, with all revoked', async () => {
      const { token } = await run('mortal', ORDERS);
      const stream = await listen(token);
      await stream.next('configuration');
      await cluster.plane.kubectl(['delete', 'pod', 'mortal', '-n', 'agents', '--force', '--grace-period=0']);
      assert.equal((await stream.next('revoked')).reason, 'the run has ended');
      await stream.ended;
    });
  });

  suite('sessions', () => {
    test('are one for a run on a connection, whichever replica is asked; only then there are credentials', async () => {
      const { token, uid } = await run('session', `${ORDERS},access/roles`);
      const ask = (broker: BrokerServer) =>
        sidecar(token, broker).post('/v1/sessions', { connection: ORDERS });
      const answers = await Promise.all([ask(one), ask(two), ask(one), ask(two)]);
      const names = new Set(answers.map(({ body }) => body['session']));
      assert.equal(names.size, 1);
      for (const { status, body } of answers)
        assert.deepEqual([status, body['username'], body['password']], [200, 'postgres', PASSWORD]);
      const [name] = names;
      const session = await cluster.kube.get(SESSIONS, 'access', String(name));
      assert.deepEqual(session?.metadata.finalizers, [SESSION_FINALIZER]);
      assert.equal(session.metadata.labels?.['sidewarden.dev/pod-uid'], uid);
      assert.equal(Object(session['spec']).identity.pod, 'agents/session');
      assert.equal(Object(session['status']).phase, 'Active');
      assert.ok(!JSON.stringify(session).includes(PASSWORD));
    });

    test('of a connection with roles get one of their own', async () => {
      const { token } = await run('role', 'access/roles');
      const { status, body } = await sidecar(token).post('/v1/sessions', { connection: 'access/roles' });
      assert.equal(status, 200);
      assert.match(String(body['username']), /^run_/);
    });

    test('hold their connection from before the role is made, also when no replica leads', async () => {
      const finalizers = async () => {
        const object = await cluster.kube.get(CONNECTIONS, 'access', 'held');
        return [object?.metadata.finalizers, object?.metadata.resourceVersion] as const;
      };
      const { token } = await run('holding', 'access/held');
      const seen: (readonly unknown[])[] = [];
      whileProvisioning = async () => seen.push(await finalizers());
      try {
        for (const broker of [one, two]) {
          const { status } = await sidecar(token, broker).post('/v1/sessions', { connection: 'access/held' });
          assert.equal(status, 200);
        }
      } finally {
        whileProvisioning = () => Promise.resolve();
      }
      assert.deepEqual(seen[0]?.[0], [CONNECTION_FINALIZER]);
      assert.deepEqual(seen[1], seen[0], 'once');
      await cluster.plane.kubectl(['delete', 'pconn', 'held', '-n', 'access', '--wait=false']);
      const held = await cluster.kube.get(CONNECTIONS, 'access', 'held');
      assert.ok(
        held?.metadata.deletionTimestamp !== undefined,
        'it stays, and goes when its runs are revoked',
      );
      await cluster.kube.patch(CONNECTIONS, 'access', 'held', { metadata: { finalizers: null } });
    });

    test('that end while the role is made leave none behind', async () => {
      const { token } = await run('racing', 'access/roles');
      whileProvisioning = () =>
        cluster.plane.kubectl(['delete', 'pod', 'racing', '-n', 'agents', '--force', '--grace-period=0']);
      try {
        const { status, body } = await sidecar(token).post('/v1/sessions', { connection: 'access/roles' });
        assert.deepEqual([status, body['code']], [410, 'ended']);
      } finally {
        whileProvisioning = () => Promise.resolve();
      }
      const last = roles.slice(-2);
      assert.deepEqual(
        last.map(({ kind }) => kind),
        ['provision', 'revoke'],
      );
      assert.deepEqual(last[0]?.role, last[1]?.role);
    });

    test('another connection than its own is refused, and said so by an Event', async () => {
      const { token } = await run('curious', ORDERS);
      const { status, body } = await sidecar(token).post('/v1/sessions', { connection: 'access/billing' });
      assert.deepEqual([status, body['code']], [403, 'forbidden']);
      for (const path of ['/v1/recordings/seal', '/v1/sessions/report']) {
        const rest =
          path === '/v1/recordings/seal'
            ? { recording: 'r', payload: '{}' }
            : { decisions: { allow: 0, deny: 0, hold: 0 }, recordings: 0 };
        const answer = await sidecar(token).post(path, { connection: 'access/billing', ...rest });
        assert.deepEqual([answer.status, answer.body['code']], [403, 'forbidden'], path);
      }
      await until('the Event is there', async () => {
        const events = await cluster.plane.kubectl(['get', 'events', '-n', 'agents', '-o', 'json']);
        return events.includes('the pod does not ask for access/billing') ? true : undefined;
      });
    });

    test('its own targets are located by the operator, and nobody else’s', async () => {
      const { token } = await run('located', 'access/billing');
      const located = async (connection: string) => {
        const { status, body } = await sidecar(token).post('/v1/targets', { connection });
        return [status, body['addresses'] ?? body['code']];
      };
      assert.deepEqual(await located('access/billing'), [200, ['127.0.0.1']]);
      assert.deepEqual(await located(ORDERS), [403, 'forbidden']);
      assert.deepEqual(await located('access/none'), [403, 'forbidden']);
      const host = await sidecar(token).post('/v1/targets', {
        connection: 'access/billing',
        host: 'kubernetes',
      });
      assert.deepEqual([host.status, host.body['code']], [400, 'invalid']);
      const closed = await run('locked-out', 'access/closed');
      const answer = await sidecar(closed.token).post('/v1/targets', { connection: 'access/closed' });
      assert.deepEqual([answer.status, answer.body['code']], [403, 'forbidden']);
    });

    test('deleted by an administrator are over for this run', async () => {
      const { token } = await run('ended', ORDERS);
      const stream = await listen(token);
      await stream.next('configuration');
      const { body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      const name = String(body['session']);
      // Of a run that a replica does not know yet, it remembers nothing.
      await until('the pod is known', () => cluster.kube.stores.pods.get('agents', 'ended'));
      await cluster.plane.kubectl(['delete', 'session', name, '-n', 'access', '--wait=false']);
      assert.match((await stream.next('revoked')).reason ?? '', /was ended/);
      const during = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      assert.equal(during.body['code'], 'ended');
      await cluster.kube.patch(SESSIONS, 'access', name, { metadata: { finalizers: null } });
      await until('it is gone', async () =>
        (await cluster.kube.get(SESSIONS, 'access', name)) ? undefined : true,
      );
      const afterwards = await sidecar(token, two).post('/v1/sessions', { connection: ORDERS });
      assert.equal(afterwards.body['code'], 'ended');
    });

    test('show what their sidecars report', async () => {
      const { token } = await run('reporting', ORDERS);
      const { body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      const name = String(body['session']);
      await begun(name);
      const report = (allow: number, ended: string) =>
        sidecar(token, allow % 2 === 0 ? one : two).post('/v1/sessions/report', {
          connection: ORDERS,
          decisions: { allow, deny: 1, hold: 0 },
          recordings: 1,
          ended,
        });
      const shown = async (): Promise<readonly unknown[]> => {
        const session = await cluster.kube.get(SESSIONS, 'access', name);
        const status: Readonly<Record<string, unknown>> = Object(session?.['status']);
        return [status['phase'], status['decisions'], status['recordings'], status['sidecarDone']];
      };
      const last = ['Active', { allow: 6, deny: 1, hold: 0 }, 1, true];
      assert.equal((await report(3, 'no')).status, 200);
      // Waits at the other replica, and is old by then.
      assert.equal((await report(5, 'no')).status, 200);
      assert.equal((await report(6, 'yes')).status, 200);
      assert.deepEqual(await shown(), last);
      await sleep(2_500);
      assert.deepEqual(await shown(), last);
    });

    test('show the last report, however late an older one is written', async () => {
      const { token } = await run('late', ORDERS);
      const { body } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      const name = String(body['session']);
      await begun(name);
      const report = (allow: number, ended: 'yes' | 'no') => ({
        connection: ORDERS,
        decisions: { allow, deny: 0, hold: 0 },
        recordings: 1,
        ended,
      });
      const status = async () =>
        Object((await cluster.kube.get(SESSIONS, 'access', name))?.['status']) as Readonly<
          Record<string, unknown>
        >;
      assert.equal((await sidecar(token).post('/v1/sessions/report', report(1, 'no'))).status, 200);
      // What a replica knows whose cache is behind.
      const known = await cluster.kube.get(SESSIONS, 'access', name);
      assert.ok(known !== undefined);
      const behind = { ...cluster.kube.stores.sessions, get: () => known };
      const late = new Reports(
        {
          patch: (...patch) => cluster.kube.patch(...patch),
          stores: { ...cluster.kube.stores, sessions: behind },
        },
        pino({ level: 'silent' }),
      );
      assert.equal((await sidecar(token).post('/v1/sessions/report', report(3, 'yes'))).status, 200);
      await late.take({ session: known, report: report(2, 'no'), location: undefined });
      await late.close();
      const { decisions, sidecarDone } = await status();
      assert.deepEqual([decisions, sidecarDone], [{ allow: 3, deny: 0, hold: 0 }, true]);
    });

    test('have their decisions pushed', async () => {
      const { token } = await run('deciding', ORDERS);
      const stream = await listen(token, two);
      await stream.next('configuration');
      listeners.length = 0;
      await sidecar(token, one).post('/v1/sessions', { connection: ORDERS });
      await until('the other replica follows', async () => (listeners.length > 0 ? true : undefined));
      for (const tell of listeners) tell();
      const event = await stream.next('decision');
      assert.deepEqual(
        [event.connection, event.approval, event.outcome],
        [ORDERS, 'orders-1', { kind: 'expired', after: 1000 }],
      );
    });
  });

  suite('what it does not take', () => {
    let token: string;
    before(async () => {
      ({ token } = await run('hostile', ORDERS));
      await sidecar(token).post('/v1/sessions', { connection: ORDERS });
    });

    const cases: readonly [string, string, string, string, Readonly<Record<string, string>>, number][] = [
      ['an unknown route', 'POST', '/v1/other', '{}', {}, 404],
      ['a query', 'POST', '/v1/sessions?x=1', '{}', {}, 404],
      ['another method', 'DELETE', '/v1/sessions', '', {}, 404],
      ['another content type', 'POST', '/v1/sessions', '{}', { 'content-type': 'text/plain' }, 400],
      ['no JSON', 'POST', '/v1/sessions', '{', {}, 400],
      ['bytes that are no text', 'POST', '/v1/sessions', '{"connection":"\xff"}', {}, 400],
      ['an unknown field', 'POST', '/v1/sessions', '{"connection":"access/orders","x":1}', {}, 400],
      [
        'a claim of who it is',
        'POST',
        '/v1/sessions',
        '{"connection":"access/orders","pod":"agents/other"}',
        {},
        400,
      ],
      ['no connection', 'POST', '/v1/sessions', '{"connection":"../x"}', {}, 400],
      ['a prototype', 'POST', '/v1/sessions', '{"__proto__":{"connection":"access/orders"}}', {}, 400],
      [
        'a session of another',
        'POST',
        '/v1/sessions/report',
        '{"connection":"access/roles","decisions":{"allow":0,"deny":0,"hold":0},"recordings":0}',
        {},
        403,
      ],
    ];
    for (const [what, method, path, body, headers, status] of cases)
      test(what, async () => {
        const all = { 'content-type': 'application/json', ...headers };
        const answer = await sidecar(token).send(method, path, Buffer.from(body, 'latin1'), all);
        assert.equal(answer.status, status, JSON.stringify(answer.body));
        assert.deepEqual(Object.keys(answer.body), ['code', 'message']);
      });

    test('a body that is too long, said or unsaid', async () => {
      const headers = { 'content-type': 'application/json' };
      const body = Buffer.alloc(MAX_REQUEST + 1, 0x20);
      const said = sidecar(token).request('POST', '/v1/sessions', {
        ...headers,
        'content-length': String(body.length),
      });
      const answer = await new Promise<number>((resolve, reject) => {
        said.on('response', (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject);
        said.flushHeaders();
      });
      assert.equal(answer, 400);
      said.destroy();
      const unsaid = sidecar(token).request('POST', '/v1/sessions', {
        ...headers,
        'transfer-encoding': 'chunked',
      });
      const outcome = await new Promise<unknown>((resolve) => {
        unsaid.on('response', (response) => resolve(response.resume().statusCode)).on('error', resolve);
        unsaid.end(body);
      });
      assert.ok(outcome === 400 || outcome instanceof Error);
    });

    test('a file that is not as long as it was said to be', async () => {
      const file = (bytes: number) => ({
        'content-type': 'application/octet-stream',
        'x-sidewarden-file': JSON.stringify({
          connection: ORDERS,
          recording: 'r',
          file: '000001.jsonl.zst',
          bytes,
          digest: 'abc',
        }),
      });
      const put = (bytes: number) =>
        sidecar(token).send('PUT', '/v1/recordings/file', Buffer.alloc(10), file(bytes));
      assert.equal((await put(11)).status, 400);
      assert.equal((await put(9)).status, 400);
      assert.equal((await put(10)).status, 200);
      assert.deepEqual(
        kept.map(({ file: name, bytes }) => [name, bytes]),
        [['000001.jsonl.zst', 10]],
      );
      assert.equal(kept[0]?.owner.connection, 'orders');
    });

    test('a client that sends its headers byte by byte is dropped; others are served meanwhile', async () => {
      const socket = tlsConnect({ host: '127.0.0.1', port: one.port, ca: cluster.ca });
      socket.on('error', () => undefined);
      const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
      socket.write('POST /v1/sessions HTTP/1.1\r\nhost: x\r\n');
      const drip = setInterval(() => socket.write('a'), 200);
      const { status } = await sidecar(token).post('/v1/sessions', { connection: ORDERS });
      assert.equal(status, 200);
      await closed;
      clearInterval(drip);
    });

    test('more requests at a time than a pod may have', async () => {
      const { token: greedy } = await run('greedy', ORDERS);
      const open = Array.from({ length: 40 }, () =>
        sidecar(greedy).request('POST', '/v1/sessions', {
          'content-type': 'application/json',
          'content-length': '100',
        }),
      );
      // The first ones wait for a body that does not come.
      const refused = await Promise.any(
        open.map(
          (request) =>
            new Promise<number>((resolve) => {
              request.on('response', (response) => resolve(response.resume().statusCode ?? 0));
              request.on('error', () => undefined);
              request.flushHeaders();
            }),
        ),
      );
      assert.equal(refused, 503);
      for (const request of open) request.destroy();
      await until('it may ask again', async () => {
        const { status } = await sidecar(greedy).post('/v1/sessions', { connection: ORDERS });
        return status === 200 ? true : undefined;
      });
    });
  });

  test('a replica that ends lets its sidecars go to the other', async () => {
    const { token } = await run('moving', ORDERS);
    const three = await start();
    const stream = await listen(token, three);
    await stream.next('configuration');
    await three.close();
    await stream.ended;
    await (await listen(token, two)).next('configuration');
  });
});
