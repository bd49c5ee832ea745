/** THREATS.md 37, 39, 42: somebody who holds the broker token of one pod, or none, and speaks the wire protocol. */
import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply, TestStream } from '../../e2e/broker/sidecar.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import {
  alice,
  approvalOf,
  decide,
  held,
  message,
  ORDERS,
  OTHER,
  prepare,
  TARGET_PASSWORD,
} from '../../e2e/operator/people.ts';
import { boundTo, dial, exchange, resigned, statuses } from '../../e2e/operator/raw.ts';
import { ACCESS, AGENTS, startWorld, type Run, type World } from '../../e2e/operator/world.ts';
import { BROKER_AUDIENCE, MAX_REQUEST } from '../../sidecar/broker/protocol.ts';

const unavailable = await controlPlaneUnavailable();

suite('a broker under attack', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let world: World;
  /** The attacker's, on orders-db alone. */
  let run: Run;
  /** Somebody else's, on both. */
  let victim: Run;
  let heard: TestStream;
  const read = (name: string) => approvalOf(world, name);
  const works = async () => {
    const { status, body } = await victim.sidecar.post('/v1/sessions', { connection: ORDERS });
    assert.equal(status, 200, JSON.stringify(body));
  };
  const port = () => world.operator.ports.broker;
  /** A run of its own, with a session. */
  const began = async (name: string, account?: string) => {
    const made = await world.run(name, ORDERS, account);
    assert.equal((await made.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    return made;
  };

  before(async () => {
    world = await startWorld();
    await prepare(world);
    [run, victim] = await Promise.all([
      world.run('attacker', ORDERS),
      world.run('victim', `${ORDERS},${OTHER}`),
    ]);
    for (const each of [run, victim])
      assert.equal((await each.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    heard = await victim.sidecar.listen();
  });
  after(() => world.stop());

  test('no token but that of the pod, for the broker alone, gets an answer', async () => {
    const now = Math.floor(Date.now() / 1000);
    const { token } = run;
    const pod = boundTo(token);
    const { token: bare, sidecar: ofBare } = await world.run('bare', ORDERS);
    const bares = await ofBare.listen();
    await world.admin.delete(`/api/v1/namespaces/${AGENTS}/pods/bare?gracePeriodSeconds=0`);
    // By then the broker knows that the pod is gone.
    await bares.ended;
    const uninjected = await world.admin.post(`/api/v1/namespaces/${AGENTS}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'plain', namespace: AGENTS },
      spec: { serviceAccountName: 'agent', nodeName: 'one', containers: [{ name: 'agent', image: 'none' }] },
    });
    const tokens: Readonly<Record<string, string | undefined>> = {
      none: undefined,
      empty: '',
      garbage: 'x.y.z',
      long: 'a'.repeat(12_000),
      'of the API server': await world.token(run.pod, run.uid, [
        'https://kubernetes.default.svc.cluster.local',
      ]),
      'for a longer name': await world.token(run.pod, run.uid, [`${BROKER_AUDIENCE}.example.com`]),
      'for several': await world.token(run.pod, run.uid, [
        BROKER_AUDIENCE,
        'https://kubernetes.default.svc.cluster.local',
      ]),
      'bound to no pod': await world.token('', ''),
      'of a deleted pod': bare,
      'of a pod without a sidecar': await world.token(
        'plain',
        String(Object(uninjected.json['metadata']).uid),
      ),
      expired: await resigned(world, token, { exp: now - 60, iat: now - 4000, nbf: now - 4000 }),
      'of tomorrow': await resigned(world, token, { nbf: now + 86_400 }),
      'of another issuer': await resigned(world, token, { iss: 'https://example.com' }),
      'of another pod uid': await resigned(world, token, {
        'kubernetes.io': { ...pod, pod: { ...pod.pod, uid: victim.uid } },
      }),
      'of another pod name': await resigned(world, token, {
        'kubernetes.io': { ...pod, pod: { ...pod.pod, name: victim.pod } },
      }),
      'without a signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1]}.`,
      'with a cut signature': token.slice(0, -8),
    };
    for (const [what, each] of Object.entries(tokens)) {
      const sidecar = world.sidecar(each);
      for (const [path, body] of Object.entries({
        '/v1/sessions': { connection: ORDERS },
        '/v1/approvals': message(),
      })) {
        const { status, body: answer } = await sidecar.post(path, body);
        assert.ok(status === 401 || status === 403, `${what}: ${path}: ${status} ${JSON.stringify(answer)}`);
        assert.ok(!JSON.stringify(answer).includes(TARGET_PASSWORD));
      }
      await assert.rejects(sidecar.listen(), what);
    }
    await works();
  });

  test('a connection that is not its own stays closed, by any name', async () => {
    const closed = [
      OTHER,
      `${ACCESS}/closed-db`,
      `${ACCESS}/nothing`,
      'agents/orders-db',
      'kube-system/orders-db',
      `${ACCESS}/../${ACCESS}/orders-db`,
      `${ACCESS}/orders-db/`,
      `${ACCESS}/orders-db\u0000`,
      `${ACCESS}%2forders-db`,
      `${ORDERS},${OTHER}`,
      '',
      '/',
      'x'.repeat(400),
      null,
      3,
      [ORDERS],
      { a: ORDERS },
    ];
    const bodies: Readonly<Record<string, (connection: unknown) => object>> = {
      '/v1/sessions': (connection) => ({ connection }),
      '/v1/sessions/report': (connection) => ({
        connection,
        decisions: { allow: 1, deny: 0, hold: 0 },
        recordings: 1,
      }),
      '/v1/approvals': (connection) => message({ connection }),
      '/v1/approvals/end': (connection) => ({ connection, name: 'x', how: 'used' }),
      '/v1/recordings/seal': (connection) => ({ connection, recording: 'r', payload: '{}' }),
      '/v1/recordings/upload': (connection) => ({
        connection,
        recording: 'r',
        file: 'header.json',
        bytes: 1,
        digest: 'AAAA',
      }),
    };
    for (const [path, body] of Object.entries(bodies))
      for (const each of closed) {
        const { status, body: answer } = await run.sidecar.post(path, body(each));
        assert.ok(
          status >= 400 && status < 500,
          `${path} ${JSON.stringify(each)}: ${status} ${JSON.stringify(answer)}`,
        );
        assert.ok(!JSON.stringify(answer).includes(TARGET_PASSWORD));
      }
    const stream = await run.sidecar.listen();
    const { manifests } = await stream.next('configuration');
    stream.close();
    const all = JSON.stringify(manifests);
    assert.ok(!all.includes('closed-db') && !all.includes(TARGET_PASSWORD), all.slice(0, 500));
  });

  test("approvals of others can't be ended, used, or had under a key", async () => {
    const name = await held(victim, { key: 'the-victims-key' });
    await until('it is pending', async () => (await read(name)).status?.phase === 'Pending' || undefined);
    for (const how of [
      'used',
      'ClientDisconnected',
      'ClientCancelled',
      'TargetDisconnected',
      'SessionEnded',
      'StateChanged',
    ]) {
      await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name, how });
      await victim.sidecar.post('/v1/approvals/end', { connection: OTHER, name, how });
    }
    await sleep(300);
    const other = await held(run, { key: 'the-victims-key' });
    assert.notEqual(other, name);
    assert.equal((await read(name)).status?.phase, 'Pending');
    assert.notEqual(
      (await read(other)).spec.request.identity.pod,
      (await read(name)).spec.request.identity.pod,
    );
    // Its own go on working.
    const ended = await run.sidecar.post('/v1/approvals/end', {
      connection: ORDERS,
      name: other,
      how: 'ClientCancelled',
    });
    assert.equal(ended.status, 200);
    const answer = await decide(await world.as({ ...alice, groups: [...alice.groups] }), name);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    assert.equal((await heard.next('decision')).approval, name);
  });

  test('what was never approved is not used; what was used is not used twice; an outcome is not taken back', async () => {
    const name = await held(run);
    await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name, how: 'used' });
    await sleep(500);
    assert.notEqual((await read(name)).status?.phase, 'Used');
    const voided = await held(run);
    await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name: voided, how: 'ClientCancelled' });
    await until('it is void', async () => (await read(voided)).status?.phase === 'Void' || undefined);
    await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name: voided, how: 'used' });
    await sleep(500);
    assert.equal((await read(voided)).status?.phase, 'Void');
  });

  test('only real holds are asked about, and each by the approvers that its policy names', async () => {
    const wrong: Readonly<Record<string, unknown>> = {
      'a rule that allows': [{ policy: `${ACCESS}/orders`, rule: 'reads' }],
      'a rule that denies': [{ policy: `${ACCESS}/orders`, rule: 'never' }],
      'no such rule': [{ policy: `${ACCESS}/orders`, rule: 'easy' }],
      'no such policy': [{ policy: `${ACCESS}/none`, rule: 'schema' }],
      "another namespace's": [{ policy: 'agents/orders', rule: 'schema' }],
      none: [],
      'approvers of its own': [{ policy: `${ACCESS}/orders`, rule: 'schema', approvers: { groups: ['ai'] } }],
      'a rule name of the prototype': [{ policy: `${ACCESS}/orders`, rule: '__proto__' }],
      'too many': Array.from({ length: 300 }, () => ({ policy: `${ACCESS}/orders`, rule: 'schema' })),
    };
    // What is refused counts against how fast a run may ask.
    const asking = await began('wrong-holds');
    for (const [what, requirements] of Object.entries(wrong)) {
      const { status, body } = await asking.sidecar.post('/v1/approvals', message({ requirements }));
      assert.ok(status >= 400 || body['kind'] === 'refused', `${what}: ${status} ${JSON.stringify(body)}`);
      assert.doesNotMatch(JSON.stringify(body), /too fast/, what);
    }
    const name = await held(run, {
      requirements: Array.from({ length: 3 }, () => ({ policy: `${ACCESS}/orders`, rule: 'schema' })),
    });
    assert.equal((await read(name)).spec.request.requirements[0]?.approvers.groups[0], 'dba');
    await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name, how: 'ClientCancelled' });
  });

  test('who asks, and for whom, is not the message’s to say', async () => {
    const forged: readonly object[] = [
      { identity: { username: 'alice' } },
      { session: 'x' },
      { request: {} },
      { stamp: 'x' },
      { expiresAt: '2099-01-01T00:00:00Z' },
      { createdAt: '2000-01-01T00:00:00Z' },
      { warnings: [] },
      { __proto__x: 1 },
      { name: 'x' },
    ];
    const asking = await began('forger');
    for (const each of forged) {
      const { status, body } = await asking.sidecar.post('/v1/approvals', message(each));
      assert.equal(status, 400, `${JSON.stringify(each)}: ${JSON.stringify(body)}`);
    }
    for (const each of [
      { effects: ['all'] },
      { effects: [] },
      { text: 'x'.repeat(262_145) },
      { verb: '' },
      { parameters: ['x'.repeat(262_145)] },
      { tables: 'x' },
      { digest: 'x' },
    ]) {
      const { status, body } = await asking.sidecar.post('/v1/approvals', message({}, each));
      assert.ok(
        status === 400 || body['kind'] === 'refused',
        `${JSON.stringify(each).slice(0, 90)}: ${status} ${JSON.stringify(body)}`,
      );
      assert.doesNotMatch(JSON.stringify(body), /too fast/);
    }
    const proto = JSON.stringify(message()).replace(
      '"connection"',
      '"__proto__":{"admin":true},"connection"',
    );
    const { status } = await run.sidecar.send('POST', '/v1/approvals', proto, {
      'content-type': 'application/json',
    });
    assert.equal(status, 400);
  });

  test('a flood of holds stops at the cap, and leaves the others alone', async () => {
    // Runs of one service account are one identity.
    const [flooder, neighbour] = [await began('flooder', 'another'), await began('neighbour', 'another')];
    const answers = await Promise.all(
      Array.from({ length: 120 }, () => flooder.sidecar.post('/v1/approvals', message())),
    );
    const pending = answers.filter(({ body }) => body['kind'] === 'pending').length;
    assert.ok(pending <= 30, `${pending} pending`);
    // Of one pod's requests so many are served at a time.
    const tooMany = ({ status, body }: Reply) =>
      status === 503 && /asks for too much/.test(String(body['message']));
    assert.ok(
      answers.every((answer) => answer.status === 200 || tooMany(answer)),
      JSON.stringify(answers.map(({ status }) => status)),
    );
    // Ended ones fill the API server as well.
    let made = 0;
    const cancel = (by: Run, name: unknown) =>
      by.sidecar.post('/v1/approvals/end', { connection: ORDERS, name, how: 'ClientCancelled' });
    const askAndCancel = async (times: number) => {
      for (let i = 0; i < times; i += 1) {
        const { body } = await flooder.sidecar.post('/v1/approvals', message());
        if (body['kind'] !== 'pending') continue;
        made += 1;
        await cancel(flooder, body['name']);
      }
    };
    await askAndCancel(100);
    for (const { body } of answers) if (body['kind'] === 'pending') await cancel(flooder, body['name']);
    await askAndCancel(200);
    assert.ok(made < 150, `${made} more were made`);
    for (const each of [neighbour, victim]) {
      const own = await Promise.all(Array.from({ length: 5 }, () => held(each)));
      for (const name of own) await cancel(each, name);
    }
  });

  test('counts are numbers that make sense, of its own session, and only grow', async () => {
    const report = (more: object) =>
      run.sidecar.post('/v1/sessions/report', {
        connection: ORDERS,
        decisions: { allow: 5, deny: 1, hold: 1 },
        recordings: 2,
        ...more,
      });
    assert.equal((await report({})).status, 200);
    for (const decisions of [
      { allow: -1, deny: 0, hold: 0 },
      { allow: 1.5, deny: 0, hold: 0 },
      { allow: 2 ** 53, deny: 0, hold: 0 },
      { allow: '5', deny: 0, hold: 0 },
      { allow: 1e308, deny: 0, hold: 0 },
      { allow: null, deny: 0, hold: 0 },
      {},
      [],
      { allow: 1, deny: 0, hold: 0, extra: 1 },
    ])
      assert.equal((await report({ decisions })).status, 400, JSON.stringify(decisions));
    for (const more of [
      { recordings: -1 },
      { recordings: 2 ** 60 },
      { ended: true },
      { ended: 'maybe' },
      { session: 'x' },
    ])
      assert.equal((await report(more)).status, 400, JSON.stringify(more));
  });

  test('requests that are none are refused, and nothing is left hanging', async () => {
    const auth = `Authorization: Bearer ${run.token}\r\n`;
    const body = JSON.stringify({ connection: ORDERS });
    const head = (more: string, path = '/v1/sessions', method = 'POST', version = 'HTTP/1.1') =>
      `${method} ${path} ${version}\r\nHost: ${world.host}\r\n${auth}Content-Type: application/json\r\n${more}\r\n`;
    const smuggled = `GET /v1/configuration HTTP/1.1\r\nHost: x\r\n${auth}\r\n`;
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    const refused: Readonly<Record<string, string | Buffer>> = {
      'a length and chunks':
        head(`Content-Length: ${body.length}\r\nTransfer-Encoding: chunked\r\n`) + chunk(body) + smuggled,
      'chunks and a length':
        head(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`) + chunk(body) + smuggled,
      'two lengths': head(`Content-Length: ${body.length}\r\nContent-Length: 0\r\n`) + body + smuggled,
      'two lengths in one': head(`Content-Length: ${body.length}, ${body.length}\r\n`) + body + smuggled,
      'a signed length': head(`Content-Length: +${body.length}\r\n`) + body + smuggled,
      'a negative length': head('Content-Length: -1\r\n') + body,
      'chunks by another name': head('Transfer-Encoding: xchunked\r\n') + chunk(body) + smuggled,
      'chunks twice': head('Transfer-Encoding: chunked, identity\r\n') + chunk(body) + smuggled,
      'a bad chunk size':
        head('Transfer-Encoding: chunked\r\n') + `ffffffffffffffff1\r\n${body}\r\n0\r\n\r\n`,
      'bare CR': head(`X: a\rTransfer-Encoding: chunked\r\nContent-Length: ${body.length}\r\n`) + body,
      'a space before the colon': head(`Content-Length : ${body.length}\r\n`) + body,
      'a folded header':
        head(`X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: ${body.length}\r\n`) + body,
      'a NUL in a header': head(`X: a\0b\r\nContent-Length: ${body.length}\r\n`) + body,
      'headers of a megabyte': head(`X: ${'a'.repeat(1_000_000)}\r\n`) + body,
      'ten thousand headers': head(Array.from({ length: 10_000 }, (_, i) => `X${i}: a\r\n`).join('')) + body,
      h2c: `GET /v1/configuration HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
      'an upgrade': `GET /v1/configuration HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      CONNECT: `CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n`,
      'an absolute address':
        head(`Content-Length: ${body.length}\r\n`, 'http://169.254.169.254/latest/meta-data') + body,
      'a path with dots': head(`Content-Length: ${body.length}\r\n`, '/v1/../v1/sessions/../sessions') + body,
      'a path that is escaped': head(`Content-Length: ${body.length}\r\n`, '/v1/%73essions') + body,
      'a double slash': head(`Content-Length: ${body.length}\r\n`, '//v1/sessions') + body,
      'another method': head(`Content-Length: ${body.length}\r\n`, '/v1/sessions', 'PUT') + body,
      'a lower-case method': head(`Content-Length: ${body.length}\r\n`, '/v1/sessions', 'post') + body,
      'plain bytes': Buffer.from([0, 1, 2, 3, 255, 254, 13, 10, 13, 10]),
      'a body that says to be larger': head(`Content-Length: ${MAX_REQUEST + 1}\r\n`) + body,
    };
    await Promise.all(
      Object.entries(refused).map(async ([what, bytes]) => {
        const { text } = await exchange(world, port(), bytes, 2_000);
        const codes = statuses(text);
        assert.ok(
          codes.every((code) => code >= 400),
          `${what}: ${text.slice(0, 300)}`,
        );
        assert.ok(codes.length <= 1, `${what}: ${JSON.stringify(codes)}`);
        assert.ok(!text.includes(TARGET_PASSWORD), what);
      }),
    );
    const good = await exchange(
      world,
      port(),
      head(`Content-Length: ${body.length}\r\nConnection: close\r\n`) + body,
    );
    assert.deepEqual(statuses(good.text), [200]);
    const chunked = await exchange(
      world,
      port(),
      head('Transfer-Encoding: chunked\r\nConnection: close\r\n') + chunk(body),
    );
    assert.deepEqual(statuses(chunked.text), [200]);
  });

  test('bodies that are no message are refused by a sentence', async () => {
    const bodies: Readonly<Record<string, string | Buffer>> = {
      nothing: '',
      'no JSON': '{',
      'two values': '{}{}',
      'an array': '[]',
      'a number': '1',
      'a string': '"x"',
      nested: '['.repeat(1_000_000),
      'nested objects': '{"a":'.repeat(400_000),
      'invalid UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
      'a byte order mark': '\ufeff{"connection":"x"}',
      'too large': 'x'.repeat(MAX_REQUEST + 10),
      duplicates: `{"connection":"${OTHER}","connection":"${ORDERS}"}`,
    };
    for (const [what, body] of Object.entries(bodies)) {
      const { status } = await run.sidecar
        .send('POST', '/v1/sessions', body, { 'content-type': 'application/json' })
        .catch(() => ({ status: 499 }));
      if (what === 'duplicates') continue;
      assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
    }
    await works();
  });

  test('HTTP/2, old TLS, renegotiation and other names get nowhere', async () => {
    const session = connectHttp2(`https://127.0.0.1:${port()}`, { ca: world.ca, servername: world.host });
    const spoken = await new Promise<boolean>((resolve) => {
      session.once('connect', (_, socket) =>
        resolve((socket as { alpnProtocol?: string }).alpnProtocol === 'h2'),
      );
      session.once('error', () => resolve(false));
    });
    session.destroy();
    assert.equal(spoken, false);
    for (const maxVersion of ['TLSv1', 'TLSv1.1'] as const)
      await assert.rejects(
        dial(world, port(), { minVersion: 'TLSv1', maxVersion, ciphers: 'DEFAULT@SECLEVEL=0' }),
        maxVersion,
      );
    const old = await dial(world, port(), { maxVersion: 'TLSv1.2' }).catch(() => undefined);
    if (old !== undefined) {
      const renegotiated = await new Promise<boolean>((resolve) => {
        const done = () => resolve(false);
        old.once('close', done);
        if (!old.renegotiate({}, (error) => resolve(error === null))) done();
        setTimeout(done, 2_000).unref();
      });
      old.destroy();
      assert.equal(renegotiated, false);
    }
    assert.ok(constants.SSL_OP_NO_RENEGOTIATION > 0);
  });

  test('clients that say nothing, or a byte now and then, are let go', async () => {
    const quiet = await Promise.all(Array.from({ length: 50 }, () => dial(world, port())));
    const closed = quiet.map(
      (socket) =>
        new Promise<number>((resolve) => {
          socket.resume();
          const began = performance.now();
          socket.once('close', () => resolve(performance.now() - began));
        }),
    );
    for (const [index, socket] of quiet.entries()) {
      if (index % 3 === 1) socket.write('POST /v1/sessions HTTP/1.1\r\n');
      if (index % 3 === 2)
        socket.write(
          `POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${run.token}\r\nContent-Length: 50\r\n\r\n{`,
        );
    }
    const dribble = setInterval(() => {
      for (const [index, socket] of quiet.entries())
        if (index % 3 === 1 && socket.writable) socket.write('X');
    }, 500);
    await works();
    const gone = await Promise.race([Promise.all(closed), sleep(35_000, undefined, { ref: false })]);
    clearInterval(dribble);
    const left = quiet
      .map((socket, index) => (socket.destroyed ? undefined : index % 3))
      .filter((each) => each !== undefined);
    for (const socket of quiet) socket.destroy();
    assert.ok(gone !== undefined, `${left.length} are still there: ${JSON.stringify(left)}`);
  });

  test('a thousand streams of one pod do not take the broker from the others', async () => {
    const before_ = process.memoryUsage().rss;
    const opened = await Promise.all(
      Array.from({ length: 300 }, () =>
        run.sidecar.listen().then(
          (stream) => stream,
          () => undefined,
        ),
      ),
    );
    const streams = opened.filter((stream) => stream !== undefined);
    assert.ok(streams.length > 0);
    let left = streams.length;
    for (const stream of streams) void stream.ended.then(() => (left -= 1));
    await works();
    await until('the others are ended', () => left <= 32 || undefined).catch(() => {
      const more = Math.round((process.memoryUsage().rss - before_) / 2 ** 20);
      assert.fail(`${left} streams of one pod are open, ${more} MB more`);
    });
    for (const stream of streams) stream.close();
    // The broker hears of that a little later.
    const again = await until('it may listen again', () => run.sidecar.listen());
    await again.next('configuration');
    again.close();
  });

  test('when the pod is over, its token is worth nothing', async () => {
    const over = await world.run('over', ORDERS);
    assert.equal((await over.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    const listening = await over.sidecar.listen();
    await world.admin.merge(`/api/v1/namespaces/${AGENTS}/pods/over/status`, {
      status: { phase: 'Succeeded' },
    });
    // Sessions are refused by what the API server says, approvals by what the broker has heard of it.
    await listening.ended;
    for (let i = 0; i < 20; i += 1) {
      const { status, body } = await over.sidecar.post('/v1/sessions', { connection: ORDERS });
      assert.ok(status >= 400 && !JSON.stringify(body).includes(TARGET_PASSWORD));
      const asked = await over.sidecar.post('/v1/approvals', message());
      assert.ok(asked.status >= 400 || asked.body['kind'] === 'refused', JSON.stringify(asked));
    }
    await world.admin.delete(`/api/v1/namespaces/${AGENTS}/pods/over?gracePeriodSeconds=0`);
    // Another pod of the same name is another run.
    const again = await world.run('over', ORDERS);
    await until('the API server knows the new one', async () => {
      const { status } = await again.sidecar.post('/v1/sessions', { connection: ORDERS });
      return status === 200 || undefined;
    });
    assert.equal((await over.sidecar.post('/v1/sessions', { connection: ORDERS })).status >= 400, true);
  });

  test('no secret is in any log', () => {
    const all = world.lines.join('');
    for (const hidden of [TARGET_PASSWORD, run.token, victim.token, run.token.split('.')[2] ?? ''])
      assert.ok(!all.includes(hidden));
  });
});
