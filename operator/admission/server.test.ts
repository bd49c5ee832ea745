import assert from 'node:assert/strict';
import { request, Agent } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import type { Certificates, ServingCertificate } from './certificate-source.ts';
import { bundleOf, LIFETIMES, renewed } from './material.ts';
import type { HttpsServer } from '../https.ts';
import { startAdmission, type Handler } from './server.ts';

const HOST = 'sidewarden.sidewarden.svc';

async function serving(): Promise<ServingCertificate> {
  const material = await renewed(undefined, [HOST], Date.now(), LIFETIMES);
  return { ...material.serving, bundle: bundleOf(material) };
}

const listeners = new Set<() => void>();
let current: ServingCertificate;
const certificates: Certificates = {
  current: () => current,
  watch: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  close: () => Promise.resolve(),
};
const handlers: Record<string, Handler> = {
  '/allow': () => ({ kind: 'allowed', warnings: ['mind\u001b[31m this'] }),
  '/patch': ({ object }) => ({ kind: 'allowed', object: { ...object, 'a/b~c': { d: [1] } } }),
  '/refuse': () => ({ kind: 'refused', code: 422, message: 'no\u202e' }),
  '/throw': () => {
    throw new Error('the database password is hunter2');
  },
  '/reject': () => Promise.reject(new Error('no')),
};
let server: HttpsServer;

before(async () => {
  current = await serving();
  server = await startAdmission({
    port: 0,
    address: '127.0.0.1',
    certificates,
    handlers,
    log: pino({ level: 'silent' }),
  });
});
after(() => server.close());

function review(change: object = {}): object {
  const userInfo = { username: 'ann', groups: ['dba'], extra: { k: ['v'] } };
  const base = {
    ...{ uid: '1', operation: 'CREATE', namespace: 'n', name: 'p', userInfo },
    kind: { group: '', version: 'v1', kind: 'Pod' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    object: { a: 1 },
  };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { ...base, ...change } };
}

async function post(
  path: string,
  body: string,
  agent?: Agent,
  localAddress = '127.0.0.1',
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const options = { ca: current.bundle, servername: HOST, agent: agent ?? false } as const;
  const sent = request(
    { host: '127.0.0.1', localAddress, port: server.port, path, method: 'POST', ...options },
    (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
      answer.on('error', reject);
    },
  );
  sent.on('error', reject);
  sent.end(body);
  return promise;
}

interface Answer {
  readonly allowed: boolean;
  readonly patch: string;
  readonly patchType: string;
  readonly status: { readonly message: string };
}

async function ask(path: string, change?: object): Promise<Answer> {
  const { status, text } = await post(path, JSON.stringify(review(change)));
  assert.equal(status, 200);
  // What the tests compare is checked by them.
  return (JSON.parse(text) as { response: Answer }).response;
}

test('answers: allowed with warnings, patched, refused; what users wrote is shown escaped', async () => {
  assert.deepEqual(await ask('/allow?timeout=10s'), {
    uid: '1',
    allowed: true,
    warnings: ['mind\\u{1b}[31m this'],
  });
  const { patch, patchType, allowed } = await ask('/patch');
  assert.deepEqual([patchType, allowed], ['JSONPatch', true]);
  assert.deepEqual(JSON.parse(Buffer.from(patch, 'base64').toString()), [
    { op: 'add', path: '/a~1b~0c', value: { d: [1] } },
  ]);
  const refused = await ask('/refuse');
  assert.deepEqual(refused.status, {
    code: 422,
    reason: 'Invalid',
    message: 'no\\u{202e}',
    status: 'Failure',
  });
});

test('a handler that fails refuses, and does not say why', async () => {
  for (const path of ['/throw', '/reject']) {
    const { allowed, status } = await ask(path);
    assert.equal(allowed, false);
    assert.doesNotMatch(status.message, /hunter2/u);
  }
});

test('what is no review gets no answer that allows', async () => {
  const rows: readonly [string, string, number][] = [
    ['/nowhere', JSON.stringify(review()), 404],
    ['/constructor', JSON.stringify(review()), 404],
    ['/allow', '{', 400],
    ['/allow', '[]', 400],
    ['/allow', JSON.stringify({ ...review(), apiVersion: 'admission.k8s.io/v1beta1' }), 400],
    ['/allow', JSON.stringify(review({ uid: 7 })), 400],
    ['/allow', JSON.stringify(review({ operation: 'GET' })), 400],
    ['/allow', JSON.stringify(review({ userInfo: null })), 400],
    ['/allow', JSON.stringify(review({ userInfo: { username: 'a', groups: [1] } })), 400],
    ['/allow', JSON.stringify(review({ object: 'text' })), 400],
    ['/allow', JSON.stringify(review({ dryRun: 'no' })), 400],
    ['/allow', JSON.stringify(review({ object: { a: 'x'.repeat(9_000_000) } })), 413],
  ];
  for (const [path, body, status] of rows) {
    const outcome = await post(path, body).then(
      (answer) => answer.status,
      () => status,
    );
    assert.equal(outcome, status, `${path} ${body.slice(0, 200)}`);
  }
});

test('old TLS is refused', async () => {
  const outcome = Promise.withResolvers<string>();
  const socket = connect({
    host: '127.0.0.1',
    port: server.port,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    ca: current.bundle,
    servername: HOST,
  });
  socket.on('secureConnect', () => outcome.resolve('connected'));
  socket.on('error', () => outcome.resolve('refused'));
  assert.equal(await outcome.promise, 'refused');
  socket.destroy();
});

test('a changed certificate is shown to new connections; those that are open go on', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: current.bundle, servername: HOST });
  const body = JSON.stringify(review());
  assert.equal((await post('/allow', body, agent)).status, 200);
  current = await serving();
  for (const listener of listeners) listener();
  assert.equal((await post('/allow', body, agent)).status, 200);
  assert.equal((await post('/allow', body)).status, 200);
  agent.destroy();
});

/** A body of which the last byte is never sent. */
async function stalled(
  localAddress: string,
  bytes: number,
): Promise<{ socket: TLSSocket; said: () => string }> {
  const socket = connect({
    ...{ host: '127.0.0.1', localAddress, port: server.port },
    ...{ ca: current.bundle, servername: HOST },
  });
  const answers: string[] = [];
  socket.on('data', (text: Buffer) => answers.push(text.toString('latin1'))).on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write(`POST /allow HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: ${bytes + 1}\r\n\r\n`);
  socket.write(Buffer.alloc(bytes, ' '));
  return { socket, said: () => answers.join('') };
}

/** A refusal may also come as a connection that is cut while the rest is being sent. */
const served = (body: string, address: string): Promise<boolean> =>
  post('/allow', body, undefined, address).then(
    ({ status }) => status === 200,
    () => false,
  );

test('much at once of two addresses is refused, while a third is served', { timeout: 60_000 }, async () => {
  const addresses = ['127.0.0.2', '127.0.0.3'];
  const begun = await Promise.all(
    addresses.flatMap((address) => Array.from({ length: 3 }, () => stalled(address, 7.5 * 1024 * 1024))),
  );
  // One of each address finds room.
  while (begun.filter(({ socket }) => socket.closed).length < 4) await sleep(20);
  assert.equal((await post('/allow', JSON.stringify(review()))).status, 200);
  const late = begun.filter(({ said }) => said().includes(' 408 '));
  assert.equal(late.length, 0, 'none was cut because its time was over');
  // The API server comes again when it is told when.
  assert.ok(begun.some(({ said }) => /^HTTP\/1\.1 503 .*\r\nretry-after: 1\r\n/s.test(said())));
  for (const { socket } of begun) socket.destroy();
  // What they had is free again.
  const whole = JSON.stringify(review({ object: { a: 'x'.repeat(7.5 * 1024 * 1024) } }));
  for (const address of addresses) while (!(await served(whole, address))) await sleep(20);
});

test('what one API server sends at once is taken', async () => {
  const usual = JSON.stringify(review({ object: { a: 'x'.repeat(60_000) } }));
  const answers = await Promise.all(Array.from({ length: 100 }, () => post('/allow', usual)));
  assert.ok(answers.every(({ status }) => status === 200));
  // Both objects as large as the API server takes them.
  const [object, oldObject] = [{ a: 'x'.repeat(3 * 1024 * 1024) }, { a: 'y'.repeat(3 * 1024 * 1024) }];
  assert.equal((await post('/allow', JSON.stringify(review({ object, oldObject })))).status, 200);
});
