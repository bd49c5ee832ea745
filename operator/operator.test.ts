import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { after, before, suite, test } from 'node:test';
import {
  connection,
  json,
  log,
  policy,
  secret,
  startTestCluster,
  type TestCluster,
} from '../e2e/broker/cluster.ts';
import { TestSidecar } from '../e2e/broker/sidecar.ts';
import { until } from '../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../e2e/cluster/control-plane.ts';
import { startPostgres, type TestPostgres } from '../e2e/postgres.ts';
import { SECRETS, SESSIONS } from './kube/kube.ts';
import { startOperator, type Operator } from './operator.ts';
import { settingsFrom, type Settings } from './settings.ts';

const unavailable = await controlPlaneUnavailable();
const HOST = 'sidewarden.sidewarden.svc';

suite('the operator', { skip: unavailable ?? false }, () => {
  let cluster: TestCluster;
  let one: Operator;
  let two: Operator;
  let ca: string;
  let postgres: TestPostgres;

  const start = async (replica: string): Promise<Operator> => {
    const spool = join(cluster.plane.folder, replica);
    await mkdir(spool);
    const settings = settingsOf({ SIDEWARDEN_REPLICA: replica, SIDEWARDEN_SPOOL: spool });
    return startOperator({ settings, kubeconfig: cluster.plane.kubeconfig, log });
  };
  const get = async ({ ports }: Operator, path: string) => {
    const response = await fetch(`http://127.0.0.1:${ports.http}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const leader = () => [one, two].filter((each) => each.leads());

  before(async () => {
    [cluster, postgres] = await Promise.all([startTestCluster(), startPostgres()]);
    const administrator = await signedIn(postgres, postgres);
    await administrator.query('CREATE TABLE orders AS SELECT 1 AS id');
    await administrator.end();
    await cluster.plane.apply(
      json([
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'sidewarden' } },
        secret('admin', { username: 'postgres', password: 'secret-of-the-target' }),
        connection('orders', 15_432),
        policy('reads', ['orders'], 'sql.effects == ["read"]'),
      ]),
    );
    [one, two] = await Promise.all([start('one'), start('two')]);
    const certificates = await cluster.kube.get(SECRETS, 'sidewarden', 'sidewarden-certificates');
    ca = Buffer.from(String(Object(certificates?.['data'])['ca.crt']), 'base64').toString();
  });
  after(async () => {
    await Promise.all([one.close(), two.close()]);
    await Promise.all([cluster.stop(), postgres.stop()]);
  });

  test('is ready on each replica; one of them leads', async () => {
    for (const each of [one, two]) {
      assert.equal((await get(each, '/healthz')).status, 200);
      assert.equal((await get(each, '/readyz')).status, 200);
      const { text } = await get(each, '/metrics');
      assert.match(text, /^sidewarden_leader [01]$/m);
    }
    await until('one leads', async () => (leader().length === 1 ? true : undefined));
  });

  test('shows one certificate on both replicas, good for the Service', async () => {
    const uid = await cluster.pod('agents', 'run', 'access/orders');
    const token = await cluster.token('agents', 'run', uid);
    const names = [];
    for (const { ports } of [one, two]) {
      const sidecar = new TestSidecar(ports.broker, ca, token, HOST);
      const { status, body } = await sidecar.post('/v1/sessions', { connection: 'access/orders' });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body['password'], 'secret-of-the-target');
      names.push(body['session']);
      const { text } = await new TestSidecar(ports.admission, ca, undefined, HOST).plain('GET', '/inject');
      assert.equal(text, 'only POST\n');
    }
    assert.equal(names[0], names[1]);
    const session = await cluster.kube.get(SESSIONS, 'access', String(names[0]));
    assert.ok(!JSON.stringify(session).includes('secret-of-the-target'));
  });

  test('says what it found in the conditions', async () => {
    await until('the policy is looked at', async () => {
      const object = cluster.kube.stores.policies.get('access', 'reads');
      return JSON.stringify(object?.['status'] ?? '').includes('"type":"Ready"') ? true : undefined;
    });
    const { status } = await get(leader()[0] ?? one, '/metrics');
    assert.equal(status, 200);
  });

  test('a role lives as long as its run: made when asked for, gone with its backends at the end', async () => {
    const live = connection('live', 15_433, {
      target: { host: postgres.host, port: postgres.port, database: 'postgres', tls: { mode: 'disable' } },
      credentials: { secretRef: { name: 'live' } },
      role: { provision: true, grants: [{ tables: ['public.orders'], privileges: ['SELECT'] }] },
    });
    const login = secret('live', { username: postgres.user, password: postgres.password });
    await cluster.plane.apply(json([login, live, policy('live', ['live'], 'sql.effects == ["read"]')]));
    const uid = await cluster.pod('agents', 'working', 'access/live');
    const token = await cluster.token('agents', 'working', uid);
    const sidecar = new TestSidecar(one.ports.broker, ca, token, HOST);
    const stream = await new TestSidecar(two.ports.broker, ca, token, HOST).listen();
    // A cache may not have it yet; then it is forbidden at first.
    let told = await stream.next('configuration');
    while (told.manifests?.length !== 2) told = await stream.next('configuration');
    const { status, body } = await sidecar.post('/v1/sessions', { connection: 'access/live' });
    assert.equal(status, 200, JSON.stringify(body));
    const { session, username, password } = body;
    const role = { user: String(username), password: String(password) };
    const agent = await signedIn(postgres, role);
    assert.equal((await agent.query('SELECT * FROM orders')).rowCount, 1);
    await assert.rejects(agent.query('DELETE FROM orders'), { code: '42501' });
    const cut = new Promise((done) => agent.once('error', done));

    const ended = JSON.stringify({ status: { phase: 'Succeeded' } });
    const patch = ['patch', 'pod', 'working', '-n', 'agents', '--subresource=status', '--type=merge', '-p'];
    await cluster.plane.kubectl([...patch, ended]);
    assert.equal((await stream.next('revoked')).connection, 'access/live');
    await cut;
    await until('the Session has ended', async () => {
      const object = await cluster.kube.get(SESSIONS, 'access', String(session));
      return Object(object?.['status']).phase === 'Ended' ? true : undefined;
    });
    const administrator = await signedIn(postgres, postgres);
    const left = await administrator.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role.user]);
    assert.equal(left.rowCount, 0);
    await administrator.end();
    const again = await sidecar.post('/v1/sessions', { connection: 'access/live' });
    assert.equal(again.body['code'], 'ended');
    const shown = await cluster.plane.kubectl(['get', 'sessions,events,pods', '-A', '-o', 'json']);
    for (const hidden of [role.password, postgres.password]) assert.ok(!shown.includes(hidden));
  });

  test('that leads and ends hands over; its sidecars go to the other', async () => {
    const [first = one] = leader();
    const other = first === one ? two : one;
    const uid = await cluster.pod('agents', 'staying', 'access/orders');
    const token = await cluster.token('agents', 'staying', uid);
    const stream = await new TestSidecar(first.ports.broker, ca, token, HOST).listen();
    assert.equal((await stream.next('configuration')).manifests?.length, 2);
    const closed = first.close();
    await stream.ended;
    await closed;
    await until('the other leads', async () => (other.leads() ? true : undefined));
    const again = await new TestSidecar(other.ports.broker, ca, token, HOST).listen();
    await again.next('configuration');
    again.close();
  });
});

async function signedIn(
  { host, port }: TestPostgres,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<Client> {
  const client = new Client({ host, port, user, password, database: 'postgres' });
  // Its end is waited for where it is expected.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

function settingsOf(more: Readonly<Record<string, string>>): Settings {
  const settings = settingsFrom({
    SIDEWARDEN_NAMESPACE: 'sidewarden',
    SIDEWARDEN_SIDECAR_IMAGE: 'sidewarden:test',
    SIDEWARDEN_ADDRESS: '127.0.0.1',
    SIDEWARDEN_ADMISSION_PORT: '0',
    SIDEWARDEN_BROKER_PORT: '0',
    SIDEWARDEN_HTTP_PORT: '0',
    ...more,
  });
  if (!('namespace' in settings)) throw new Error(settings.join('; '));
  return settings;
}

suite('settings', () => {
  const good = { SIDEWARDEN_NAMESPACE: 'x', SIDEWARDEN_REPLICA: 'y', SIDEWARDEN_SIDECAR_IMAGE: 'z' };
  const wrong: readonly [string, Readonly<Record<string, string>>, RegExp][] = [
    ['no namespace', { SIDEWARDEN_NAMESPACE: '' }, /SIDEWARDEN_NAMESPACE is not set/],
    ['a port that is none', { SIDEWARDEN_BROKER_PORT: '70000' }, /SIDEWARDEN_BROKER_PORT must be/],
    ['a number that is none', { SIDEWARDEN_SPOOL_BYTES: '1e9' }, /SIDEWARDEN_SPOOL_BYTES must be/],
    ['a host for an address', { SIDEWARDEN_ADDRESS: 'localhost' }, /must be an IP address/],
    ['resources that are no object', { SIDEWARDEN_SIDECAR_RESOURCES: '[]' }, /must be a JSON object/],
  ];
  for (const [what, env, message] of wrong)
    test(what, () => {
      const settings = settingsFrom({ ...good, ...env });
      assert.ok(Array.isArray(settings));
      assert.match(settings.join('\n'), message);
    });
  test('of the least that is needed', () => assert.ok('namespace' in settingsFrom(good)));
});
