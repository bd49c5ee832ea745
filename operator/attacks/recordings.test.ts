/** THREATS.md 41: somebody with a pod's broker token, and the recordings of others; and whoever reaches the operator's other ports. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as plainRequest } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import {
  objectStoreUnavailable,
  startObjectStore,
  STORE_CREDENTIALS,
  type TestObjectStore,
} from '../../e2e/object-store.ts';
import { inside } from '../../e2e/operator/client.ts';
import {
  agent,
  alice,
  approvalOf,
  approvalPath,
  connection,
  eve,
  held,
  ORDERS,
  OTHER,
  prepare,
  root,
  secret,
  TARGET_PASSWORD,
} from '../../e2e/operator/people.ts';
import { ACCESS, AGENTS, startWorld, type Run, type World } from '../../e2e/operator/world.ts';
import { jsonText } from '../../sidecar/record/json-text.ts';
import { FORMAT } from '../../sidecar/record/sealed.ts';
import { newSessionId } from '../../sidecar/record/session-id.ts';

const unavailable = (await controlPlaneUnavailable()) ?? (await objectStoreUnavailable());
const textOf = (value: unknown) => (typeof value === 'string' ? value : '');
const FILE = { 'content-type': 'application/octet-stream' };
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64url');

suite('recordings and ports under attack', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let world: World;
  let store: TestObjectStore;
  let run: Run;
  let victim: Run;
  const sessions = new Map<Run, string>();
  const keys = async () => {
    const { Versions = [] } = await store.client.send(
      new ListObjectVersionsCommand({ Bucket: 'recordings' }),
    );
    return Versions.map(({ Key }) => Key ?? '').sort();
  };
  const put = async (answer: Readonly<Record<string, unknown>>, bytes: Buffer) => {
    // As the broker says: header names to values.
    const headers = answer['headers'] as Record<string, string>;
    const { status } = await fetch(String(answer['url']), {
      method: 'PUT',
      body: new Uint8Array(bytes),
      headers,
    });
    return status;
  };
  const wish = (bytes: Buffer, more: object = {}) => ({
    connection: ORDERS,
    recording: newSessionId(),
    file: '000001.jsonl.zst',
    bytes: bytes.length,
    digest: digestOf(bytes),
    ...more,
  });

  before(async () => {
    store = await startObjectStore();
    await store.makeBucket('recordings');
    world = await startWorld({ env: { SIDEWARDEN_SPOOL_BYTES: '80000' } });
    await prepare(world);
    const recording = { configMapRef: { name: 'recordings' } };
    await world.apply(
      secret('recordings-store', { ...STORE_CREDENTIALS }),
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'recordings', namespace: ACCESS },
        data: store.config('recordings', { prefix: 'p' }),
      },
      connection('orders-db', 15_432, { recording }),
      connection('other-db', 15_433, { recording }),
    );
    run = await world.run('attacker', ORDERS);
    victim = await world.run('victim', `${ORDERS},${OTHER}`);
    for (const each of [run, victim]) {
      const { status, body } = await each.sidecar.post('/v1/sessions', { connection: ORDERS });
      assert.equal(status, 200, JSON.stringify(body));
      sessions.set(each, String(body['session']));
    }
    await until('recordings go to the store', async () => {
      const { body } = await run.sidecar.post('/v1/recordings/upload', wish(Buffer.from('probe')));
      return body['kind'] === 'put' || undefined;
    });
  });
  after(async () => {
    await world.stop();
    await store.stop();
  });

  test('an upload goes under its own session, is good for its own bytes, and once', async () => {
    const bytes = Buffer.from('the victim was here');
    const asked = wish(bytes);
    const { status, body } = await victim.sidecar.post('/v1/recordings/upload', asked);
    assert.equal(status, 200, JSON.stringify(body));
    assert.notEqual(await put(body, Buffer.from('the victim was gone')), 200, 'other bytes');
    assert.equal(await put(body, bytes), 200);
    assert.notEqual(await put(body, bytes), 200, 'twice');
    const own = `p/${ACCESS}/orders-db/${sessions.get(victim) ?? ''}/${asked.recording}/${asked.file}`;
    assert.deepEqual(await keys(), [own]);
    // The attacker says the very same recording and file.
    const again = await run.sidecar.post('/v1/recordings/upload', {
      ...asked,
      digest: digestOf(Buffer.from('forged')),
      bytes: 6,
    });
    assert.equal(again.status, 200);
    assert.ok(String(again.body['url']).includes(sessions.get(run) ?? '-'), 'another folder than its own');
    for (const [from, to] of [
      [sessions.get(run) ?? '', sessions.get(victim) ?? ''],
      ['000001', '000002'],
      ['orders-db', 'other-db'],
    ] as const) {
      const url = String(again.body['url']).replaceAll(from, to);
      assert.notEqual(await put({ ...again.body, url }, Buffer.from('forged')), 200, to);
    }
    const headers = Object.fromEntries(
      Object.entries(inside(again.body, 'headers')).filter(([name]) => !/if-none-match/i.test(name)),
    );
    assert.notEqual(
      await put({ ...again.body, headers }, Buffer.from('forged')),
      200,
      'without If-None-Match',
    );
    assert.deepEqual(await keys(), [own]);
    for (const { body: said } of [{ body }, again])
      assert.ok(!JSON.stringify(said).includes(STORE_CREDENTIALS.secretAccessKey));
  });

  test('names that are none, sizes and digests that cannot be, are refused by both ways', async () => {
    const bytes = Buffer.from('x');
    const wrong: readonly object[] = [
      { recording: '../../other' },
      { recording: '..' },
      { recording: '' },
      { recording: `${newSessionId()}/..` },
      { recording: `${newSessionId()}%2f..` },
      { recording: newSessionId().toUpperCase() },
      { recording: 'x'.repeat(300) },
      { file: 'session.json' },
      { file: '../header.json' },
      { file: '000001.jsonl' },
      { file: '000000.jsonl.zst' },
      { file: '000001.jsonl.zst/../../x' },
      { file: '000001.jsonl.zst\u0000' },
      { file: '.' },
      { file: 'HEADER.json' },
      { file: '-1.jsonl.zst' },
      { bytes: 2 ** 50 },
      { bytes: -1 },
      { bytes: 0.5 },
      { digest: '' },
      { digest: 'A'.repeat(44) },
      { digest: 'A'.repeat(42) },
      { digest: 'sha256:x' },
      { connection: OTHER },
      { session: 'x' },
      { url: 'x' },
      { conflict: 'no' },
    ];
    for (const each of wrong) {
      const asked = wish(bytes, each);
      const { status, body } = await run.sidecar.post('/v1/recordings/upload', asked);
      assert.ok(status >= 400 && status < 500, `${JSON.stringify(each)}: ${status} ${JSON.stringify(body)}`);
      const header = JSON.stringify(asked).replaceAll('\\u0000', ' ');
      const kept = await run.sidecar
        .send('PUT', '/v1/recordings/file', bytes, { ...FILE, 'x-sidewarden-file': header })
        .catch(() => ({ status: 499 }));
      assert.ok(kept.status >= 400 && kept.status < 500, `kept ${JSON.stringify(each)}: ${kept.status}`);
    }
    assert.equal((await keys()).length, 1);
  });

  test('what is handed over must be what it was said to be, and cannot fill the operator', async () => {
    const file = (bytes: Buffer, said: object = {}, of = run) =>
      of.sidecar
        .send('PUT', '/v1/recordings/file', bytes, {
          ...FILE,
          'x-sidewarden-file': JSON.stringify(wish(bytes, said)),
        })
        .catch(() => ({ status: 499 }));
    assert.notEqual((await file(Buffer.from('four'), { digest: digestOf(Buffer.from('five')) })).status, 200);
    assert.notEqual((await file(Buffer.from('four'), { bytes: 3 })).status, 200);
    assert.notEqual((await file(Buffer.from('four'), { bytes: 5 })).status, 200);
    await store.kill();
    const answers: number[] = [];
    for (let i = 0; i < 20; i += 1) answers.push((await file(Buffer.alloc(2_000, i))).status);
    assert.equal(answers.filter((status) => status === 200).length, 5, JSON.stringify(answers));
    assert.ok(
      answers.every((status) => status === 200 || status >= 400),
      JSON.stringify(answers),
    );
    assert.equal((await file(Buffer.alloc(2_000), {}, victim)).status, 200, 'there is room for others');
    await store.start();
  });

  test('only documents that are true of the run get a signature', async () => {
    const recording = newSessionId();
    const who = {
      issuer: 'sidewarden:serviceAccount',
      subject: 'system:serviceaccount:agents:agent',
      username: 'system:serviceaccount:agents:agent',
    };
    const header = {
      format: FORMAT,
      kind: 'header',
      session: recording,
      startedAt: '2026-11-21T12:00:00.000Z',
      durability: 'strict',
      who,
      connection: { name: 'orders-db', namespace: ACCESS, protocol: 'postgres', database: 'orders' },
    };
    const ask = (payload: string, more: object = {}) =>
      run.sidecar.post('/v1/recordings/seal', { connection: ORDERS, recording, payload, ...more });
    const good = await ask(jsonText(header));
    assert.equal(good.status, 200, JSON.stringify(good.body));
    const wrong: Readonly<Record<string, string>> = {
      'somebody else': jsonText({ ...header, who: { ...who, username: 'alice' } }),
      'another subject': jsonText({ ...header, who: { ...who, subject: 'alice' } }),
      'another issuer': jsonText({ ...header, who: { ...who, issuer: 'https://issuer.example.com' } }),
      'another connection': jsonText({ ...header, connection: { ...header.connection, name: 'other-db' } }),
      'another namespace': jsonText({ ...header, connection: { ...header.connection, namespace: 'x' } }),
      'another recording': jsonText({ ...header, session: newSessionId() }),
      'a list of recordings': jsonText({ ...header, kind: 'session' }),
      'a stamp': JSON.stringify(['sidewarden.dev/stamp/v1', 'real', [ACCESS, 'x', '', ''], ['request', 'x']]),
      'a certificate': '-----BEGIN CERTIFICATE-----',
      'a token': 'eyJhbGciOiJFZERTQSJ9.e30',
      'a field more': jsonText({ ...header, more: 1 }),
      'a field twice': jsonText(header).replace('"kind":', '"session":"x","kind":'),
      'in another form': JSON.stringify(header, null, 1),
      nothing: '',
      'nested without end': '['.repeat(100_000),
    };
    for (const [what, payload] of Object.entries(wrong)) {
      const { status, body } = await ask(payload);
      assert.ok(status >= 400 && status < 500, `${what}: ${status} ${JSON.stringify(body)}`);
    }
    assert.ok((await ask(jsonText(header), { connection: OTHER })).status >= 400);
    assert.ok((await ask(jsonText(header), { recording: '../x' })).status >= 400);
  });

  test('a review that did not come from the API server changes nothing, and the stamp that it is given is of no use', async () => {
    const name = await held(victim);
    const before_ = await approvalOf(world, name);
    const at = world.sidecar(undefined, world.operator.ports.admission);
    const review = (request: object) => ({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: '1',
        operation: 'UPDATE',
        namespace: ACCESS,
        name,
        dryRun: false,
        kind: { group: 'sidewarden.dev', version: 'v1alpha1', kind: 'Approval' },
        resource: { group: 'sidewarden.dev', version: 'v1alpha1', resource: 'approvals' },
        userInfo: { username: 'alice', groups: ['dba', 'system:authenticated'] },
        ...request,
      },
    });
    const object = { ...before_, spec: { ...before_.spec, decision: { verdict: 'Approve' } } };
    const answers: string[] = [];
    let patch = '';
    for (const path of ['/stamp', '/validate', '/inject', '/guard', '/guard/enforced', '/', '/v1/sessions']) {
      const body = JSON.stringify(review({ object, oldObject: before_ }));
      const answer = await at.send('POST', path, body, { 'content-type': 'application/json' }).then(
        (reply) => reply.body,
        () => ({}),
      );
      answers.push(JSON.stringify(answer));
      if (path === '/stamp') patch = textOf(inside(answer, 'response')['patch']);
    }
    for (const hidden of [TARGET_PASSWORD, STORE_CREDENTIALS.secretAccessKey, run.token])
      assert.ok(!answers.join('').includes(hidden));
    // A stamp in alice's name, which nobody else can use.
    const text = Buffer.from(patch, 'base64').toString();
    assert.match(text, /stamp/);
    const [stamp = ''] = /[\w-]{43}/.exec(text) ?? [];
    const [at_ = ''] = /\d{4}-[^"]+Z/.exec(text) ?? [];
    const decision = {
      verdict: 'Approve',
      decidedBy: { username: 'alice', groups: ['dba', 'system:authenticated'] },
      at: at_,
      stamp,
    };
    for (const subject of [eve, root, agent]) {
      const client = await world.as({ user: subject.user, groups: [...subject.groups] });
      const written = await client.merge(approvalPath(name), { spec: { decision } });
      assert.equal(written.status, 403, written.text.slice(0, 300));
      client.close();
    }
    assert.deepEqual((await approvalOf(world, name)).spec, before_.spec);
  });

  test('bodies that are no review are refused, and admission goes on', async () => {
    const at = world.sidecar(undefined, world.operator.ports.admission);
    const bodies = [
      '',
      '{',
      '[]',
      'null',
      '1',
      '{"kind":"AdmissionReview"}',
      '['.repeat(500_000),
      JSON.stringify({
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        request: { uid: {}, object: [] },
      }),
      'x'.repeat(9_000_000),
    ];
    for (const body of bodies) {
      const outcome = await at.send('POST', '/validate', body, { 'content-type': 'application/json' }).then(
        ({ status }) => status,
        () => 499,
      );
      assert.ok(outcome >= 400, `${body.slice(0, 40)}: ${outcome}`);
    }
    const tried = await (
      await world.as({ ...alice, groups: [...alice.groups] })
    ).merge(approvalPath('none'), { spec: {} });
    assert.equal(tried.status, 404, tried.text);
  });

  test('the plain port says only health and metrics, and nothing secret or of single runs', async () => {
    const { http } = world.operator.ports;
    const get = async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${http}${path}`, { method });
      return { status: response.status, text: await response.text() };
    };
    const metrics = await get('/metrics');
    assert.equal(metrics.status, 200);
    for (const hidden of [
      TARGET_PASSWORD,
      STORE_CREDENTIALS.secretAccessKey,
      run.token,
      run.uid,
      'attacker',
      'alice',
      sessions.get(run) ?? '-',
    ])
      assert.ok(!metrics.text.includes(hidden), hidden);
    assert.ok(metrics.text.split('\n').length < 2_000, 'labels that grow without end');
    for (const path of [
      '/',
      '/debug/pprof',
      '/../etc/passwd',
      '/metrics/..',
      '/v1/configuration',
      '/healthz/x',
    ])
      assert.equal((await get(path)).status, 404, path);
    for (const method of ['POST', 'PUT', 'DELETE'])
      assert.equal((await get('/metrics', method)).status, 404, method);
    const traced = await new Promise<number>((resolve) => {
      const sent = plainRequest(
        { host: '127.0.0.1', port: http, path: '/healthz', method: 'TRACE' },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      sent.on('error', () => resolve(0));
      sent.end();
    });
    assert.notEqual(traced, 200);
  });

  test('when the run is over its recordings are closed', async () => {
    await world.admin.merge(`/api/v1/namespaces/${AGENTS}/pods/attacker/status`, {
      status: { phase: 'Succeeded' },
    });
    await world.admin.delete(`/api/v1/namespaces/${AGENTS}/pods/attacker?gracePeriodSeconds=0`);
    await until('it is refused', async () => {
      const { status } = await run.sidecar.post('/v1/recordings/upload', wish(Buffer.from('late')));
      return status >= 400 || undefined;
    });
  });
});
