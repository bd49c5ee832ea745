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
import { createAuthority } from '../../e2e/cluster/certificates.ts';
import { STORE_CREDENTIALS, type TestObjectStore, startObjectStore } from '../../e2e/object-store.ts';
import { type TestPostgres, freePort, startPostgres } from '../../e2e/postgres.ts';
import { type RunningKube, connectKube } from '../kube/connect.ts';
import { CONFIG_MAPS, CONNECTIONS, POLICIES, type Resource, SECRETS, SESSIONS } from '../kube/kube.ts';
import { type Json, isJson } from '../kube/object.ts';
import { Places } from '../recordings/places.ts';
import { recordingReady } from '../recordings/recording-ready.ts';
import { connectionController } from './connection.ts';
import { type RunningController, runController } from './controller.ts';
import { policyController } from './policy.ts';
import { signInToPostgres } from './sign-in.ts';

const unavailable = await controlPlaneUnavailable();
const log = pino({ level: 'silent' });
const NAMESPACE = 'access';
const PASSWORD = 'a-password-that-must-not-show';

suite('statuses', { skip: unavailable ?? false }, () => {
  let plane: ControlPlane;
  let kube: RunningKube;
  let postgres: TestPostgres;
  let store: TestObjectStore;
  let places: Places;
  let running: readonly RunningController[] = [];
  /** Sign-ins that were tried. */
  let tried = 0;

  before(async () => {
    [plane, postgres, store] = await Promise.all([startControlPlane(), startPostgres(), startObjectStore()]);
    await store.makeBucket('recordings');
    for (const kind of ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'])
      await plane.apply(await readFile(`crds/${kind}.yaml`, 'utf8'));
    await plane.kubectl(['create', 'namespace', NAMESPACE]);
    kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
    await kube.synced;
    places = new Places(kube);
    const connections = connectionController({
      kube,
      signIn: (target) => {
        tried += 1;
        return signInToPostgres(target);
      },
      recordingReady: (namespace, name) => recordingReady(places, namespace, name),
    });
    running = [policyController(kube), connections].map((each) => runController(each, { log }));
  });
  after(async () => {
    await Promise.all(running.map((each) => each.stop()));
    places.close();
    await kube.close();
    await Promise.all([plane.stop(), postgres.stop(), store.stop()]);
  });

  async function condition(resource: Resource, name: string, type = 'Ready'): Promise<Json | undefined> {
    const object = await kube.get(resource, NAMESPACE, name);
    const status = object?.['status'];
    if (!isJson(status) || !Array.isArray(status['conditions'])) return undefined;
    const found = status['conditions'].filter(isJson).find((each) => each['type'] === type);
    return found?.['observedGeneration'] === object?.metadata.generation ? found : undefined;
  }

  /** Waits for a condition of the object's present generation. */
  function becomes(resource: Resource, name: string, expected: string, type = 'Ready'): Promise<Json> {
    let last: Json | undefined;
    const look = async () => {
      last = await condition(resource, name, type);
      return last && `${String(last['status'])} ${String(last['reason'])}` === expected ? last : undefined;
    };
    return until(`${type} is ${expected}`, look, { limit: 90_000 }).catch((error: unknown) => {
      throw new Error(`${type} is not ${expected} but ${JSON.stringify(last)}`, { cause: error });
    });
  }

  async function put(resource: Resource, name: string, fields: object): Promise<void> {
    const found = await kube.patch(resource, NAMESPACE, name, fields);
    if (found.kind === 'written') return;
    const apiVersion = resource.group === '' ? 'v1' : `${resource.group}/${resource.version}`;
    const { kind } = resource;
    const made = await kube.create(resource, {
      apiVersion,
      kind,
      metadata: { name, namespace: NAMESPACE },
      ...fields,
    });
    assert.equal(made.kind, 'written', JSON.stringify(made));
  }

  const putPolicy = (name: string, spec: object) =>
    put(POLICIES, name, { spec: { connections: ['orders'], subjects: [{ everyone: true }], ...spec } });
  const rules = (when: string) => ({ rules: [{ name: 'reads', when, action: 'Allow' }] });
  const encode = (values: Readonly<Record<string, string>>) => ({
    data: Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    ),
  });
  const putConnection = (spec: object = {}, name = 'orders') =>
    put(CONNECTIONS, name, {
      spec: {
        protocol: 'postgres',
        target: { host: '127.0.0.1', port: postgres.port, database: 'postgres', tls: { mode: 'disable' } },
        credentials: { secretRef: { name: 'admin' } },
        identity: { sources: [{ serviceAccount: {} }] },
        listen: { port: 15_432 },
        ...spec,
      },
    });
  /** Secrets are in no cache: this is what makes the controller look before its minute is over. */
  let pokes = 0;
  const poke = () => put(CONNECTIONS, 'orders', { metadata: { labels: { poked: String((pokes += 1)) } } });

  test('a policy without its connection', async () => {
    await putPolicy('agents', rules('sql.effects == ["read"]'));
    const said = await becomes(POLICIES, 'agents', 'False ConnectionNotFound');
    assert.match(String(said['message']), /no connection orders/u);
  });

  test('a connection without its Secret, then without a key', async () => {
    await putConnection();
    await becomes(CONNECTIONS, 'orders', 'False SecretNotFound');
    await becomes(POLICIES, 'agents', 'True Compiled');
    await put(SECRETS, 'admin', encode({ username: 'postgres' }));
    await poke();
    const said = await becomes(CONNECTIONS, 'orders', 'False SecretKeyMissing');
    assert.match(String(said['message']), /no key password/u);
  });

  test('credentials that the target refuses', async () => {
    await put(SECRETS, 'admin', encode({ username: 'postgres', password: PASSWORD }));
    await poke();
    await becomes(CONNECTIONS, 'orders', 'False AuthenticationFailed');
    await becomes(CONNECTIONS, 'orders', 'False AuthenticationFailed', 'CredentialsValid');
  });

  test('a connection that can be used; recordings go with the pod', async () => {
    await put(SECRETS, 'admin', encode({ username: 'postgres', password: postgres.password }));
    await poke();
    await becomes(CONNECTIONS, 'orders', 'True Reconciled');
    await becomes(CONNECTIONS, 'orders', 'True Reconciled', 'CredentialsValid');
    await becomes(CONNECTIONS, 'orders', 'False RecordingMisconfigured', 'RecordingReady');
  });

  test('what has not changed is not tried again, nor written', async () => {
    const before = await kube.get(CONNECTIONS, NAMESPACE, 'orders');
    const count = tried;
    await poke();
    await poke();
    await until('the pokes are seen', () => {
      const labels = kube.stores.connections.get(NAMESPACE, 'orders')?.metadata.labels;
      return labels?.['poked'] === String(pokes) ? true : undefined;
    });
    await putPolicy('other', rules('true'));
    await until('the other policy is counted', async () => {
      const ready = await condition(CONNECTIONS, 'orders');
      return ready?.['message'] === '2 policies' ? true : undefined;
    });
    assert.equal(tried, count);
    const now = await kube.get(CONNECTIONS, NAMESPACE, 'orders');
    assert.equal(now?.metadata.generation, before?.metadata.generation);
    const times = (object: Json | undefined) =>
      JSON.stringify(object?.['status']).match(/"lastTransitionTime":"[^"]+"/gu);
    assert.deepEqual(times(now), times(before), 'the status stayed, so did its time');
    await kube.delete(POLICIES, NAMESPACE, 'other');
    await until('it is gone again', async () => {
      const ready = await condition(CONNECTIONS, 'orders');
      return ready?.['message'] === '1 policy' ? true : undefined;
    });
  });

  test('policies that are wrong say where, and stop their connections', async () => {
    await putPolicy('agents', rules('sql.effect == ["read"]'));
    const said = await becomes(POLICIES, 'agents', 'False ExpressionInvalid');
    assert.match(String(said['message']), /^spec\.rules\[0\]\.when \(rule reads, line 1, column \d+\): /u);
    const stopped = await becomes(CONNECTIONS, 'orders', 'False NoPolicy');
    assert.match(String(stopped['message']), /access\/agents/u);
    const tables =
      'sql.tables.all(a, sql.tables.all(b, sql.tables.all(c, a.name == b.name && b.name == c.name)))';
    await putPolicy('agents', rules(tables));
    await becomes(POLICIES, 'agents', 'False ExpressionTooExpensive');
    await putPolicy('agents', {
      rules: [],
      masks: [{ columns: [`public.t.${'é'.repeat(40)}`], with: 'Redact' }],
    });
    await becomes(POLICIES, 'agents', 'False MaskUnsupported');
    await kube.delete(POLICIES, NAMESPACE, 'agents');
    const none = await becomes(CONNECTIONS, 'orders', 'False NoPolicy');
    await until('none names it', async () =>
      (await condition(CONNECTIONS, 'orders'))?.['message'] ===
      'no policy names this connection: all is refused'
        ? true
        : undefined,
    );
    assert.ok(none);
    await putPolicy('agents', { ...rules('true'), masks: [] });
    await becomes(CONNECTIONS, 'orders', 'True Reconciled');
  });

  test('a target that is away, and one that is not what it should be', async () => {
    const target = {
      host: '127.0.0.1',
      port: await freePort(),
      database: 'postgres',
      tls: { mode: 'disable' },
    };
    await putConnection({ target });
    await becomes(CONNECTIONS, 'orders', 'False TargetUnreachable');
    await becomes(CONNECTIONS, 'orders', 'Unknown TargetUnreachable', 'CredentialsValid');
    await putConnection({ target: { port: postgres.port, tls: { mode: 'verify-full' } } });
    await becomes(CONNECTIONS, 'orders', 'False TargetUnreachable');
    // A sign-in that took too long is called that too, until it is tried again.
    const reason = async () => String((await condition(CONNECTIONS, 'orders'))?.['message']);
    await until('it says why', async () => /TLS|SSL/u.test(await reason()) || undefined, { limit: 90_000 });
  });

  test('certificates', async () => {
    const caFrom = { configMapKeyRef: { name: 'ca', key: 'ca.crt' } };
    await putConnection({ target: { tls: { mode: 'verify-full', caFrom } } });
    await becomes(CONNECTIONS, 'orders', 'False ConfigMapNotFound');
    await put(CONFIG_MAPS, 'ca', { data: { 'ca.crt': 'nonsense' } });
    await poke();
    await becomes(CONNECTIONS, 'orders', 'False CertificateInvalid');
    const { certificate } = await createAuthority(`${plane.folder}/target-pki`);
    await put(CONFIG_MAPS, 'ca', { data: { 'ca.crt': certificate } });
    await poke();
    await becomes(CONNECTIONS, 'orders', 'False TargetUnreachable');
    await putConnection({ target: { tls: { mode: 'disable', caFrom: null } } });
    await becomes(CONNECTIONS, 'orders', 'True Reconciled');
  });

  test('where recordings go', async () => {
    await putConnection({ recording: { configMapRef: { name: 'recordings' } } });
    await becomes(CONNECTIONS, 'orders', 'False ConfigMapNotFound', 'RecordingReady');
    await becomes(CONNECTIONS, 'orders', 'False ConfigMapNotFound');
    await put(CONFIG_MAPS, 'recordings', { data: { bucket: 'x' } });
    await poke();
    await becomes(CONNECTIONS, 'orders', 'False RecordingMisconfigured');
    const data = store.config('recordings', { credentialsSecret: 'store' });
    // The library for the store adds fields of its own to what it is given.
    const { accessKeyId, secretAccessKey } = STORE_CREDENTIALS;
    await put(SECRETS, 'store', encode({ accessKeyId, secretAccessKey }));
    await put(CONFIG_MAPS, 'recordings', { data });
    await poke();
    await becomes(CONNECTIONS, 'orders', 'True Reconciled', 'RecordingReady');
    await becomes(CONNECTIONS, 'orders', 'True Reconciled');
  });

  test('sessions are counted', async () => {
    const identity = { issuer: 'x', subject: 'x', username: 'x' };
    const spec = { connection: 'orders', identity, startedAt: new Date().toISOString() };
    for (const name of ['one', 'two']) await put(SESSIONS, name, { spec });
    const count = (expected: number) =>
      until(`there are ${expected} sessions`, async () => {
        const object = await kube.get(CONNECTIONS, NAMESPACE, 'orders');
        const status = object?.['status'];
        return isJson(status) && status['sessions'] === expected ? true : undefined;
      });
    await count(2);
    await kube.patch(SESSIONS, NAMESPACE, 'one', { status: { phase: 'Ended' } }, 'status');
    await count(1);
    await kube.delete(SESSIONS, NAMESPACE, 'two');
    await count(0);
  });

  test('a protocol that is not served yet, and sources that count in no pod', async () => {
    await putConnection({ protocol: 'redis' }, 'cache');
    await becomes(CONNECTIONS, 'cache', 'False ProtocolUnsupported');
    await putConnection({ identity: { sources: [{ loopback: { subject: 'me' } }] } });
    await becomes(CONNECTIONS, 'orders', 'False InternalError');
  });

  test('each change was told, and no password with it', async () => {
    const reasons = ['SecretNotFound', 'AuthenticationFailed', 'ExpressionInvalid', 'NoPolicy', 'Compiled'];
    const events = await until(`there are ${reasons.join()}`, async () => {
      const found = await plane.kubectl(['get', 'events', '-n', NAMESPACE, '-o', 'json']);
      return reasons.every((reason) => found.includes(`"reason": "${reason}"`)) ? found : undefined;
    });
    const connections = await plane.kubectl(['get', 'protectedconnections', '-A', '-o', 'json']);
    for (const secret of [PASSWORD, postgres.password, STORE_CREDENTIALS.secretAccessKey])
      assert.ok(!events.includes(secret) && !connections.includes(secret));
  });
});
