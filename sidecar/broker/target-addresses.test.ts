import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createServer, type AddressInfo } from 'node:net';
import { connectTcp, NetError } from '../net/socket.ts';
import type { BrokerClient } from './client.ts';
import { BrokerRequestError } from './broker-error.ts';
import { TargetAddresses } from './target-addresses.ts';

/** Answers as told, once each; the last one for ever. */
function broker(...answers: readonly (readonly string[] | BrokerRequestError)[]) {
  const asked: object[] = [];
  const post: BrokerClient['post'] = (_path, body, read) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(body);
    if (answer instanceof BrokerRequestError) return Promise.reject(answer);
    const parsed = read({ addresses: answer });
    assert.ok(parsed.kind === 'parsed');
    return Promise.resolve(parsed.value);
  };
  return { asked, client: { post } };
}

const away = new BrokerRequestError('unavailable', 'it is away');

function found(addresses: TargetAddresses): Promise<unknown> {
  return new Promise((done) => {
    addresses.lookup('orders.db', { all: true }, (error, all) => done(error ?? all));
  });
}

test('a socket goes where the operator says, whatever the name means here', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined).resume()).listen(
    0,
    '127.0.0.3',
  );
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as AddressInfo; // It listens on a port.
  const { asked, client } = broker(['127.0.0.3']);
  const { lookup } = new TargetAddresses('access/orders', client);
  const socket = await connectTcp({ host: 'localhost', port, lookup }, 60_000);
  assert.equal(socket.remoteAddress, '127.0.0.3');
  assert.deepEqual(asked, [{ connection: 'access/orders' }]);
  socket.destroy();
  await new Promise((done) => server.close(done));
});

test('many who come at once ask once', async () => {
  const { asked, client } = broker(['10.0.0.1', '::1']);
  const addresses = new TargetAddresses('access/orders', client);
  const all = await Promise.all(Array.from({ length: 50 }, () => found(addresses)));
  const expected = [
    { address: '10.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ];
  for (const each of all) assert.deepEqual(each, expected);
  assert.equal(asked.length, 1);
});

test('who asks for one address gets the first', async () => {
  const { client } = broker(['10.0.0.1', '10.0.0.2']);
  const { lookup } = new TargetAddresses('access/orders', client);
  const one = await new Promise((done) =>
    lookup('orders.db', {}, (error, address, family) => done([error, address, family])),
  );
  assert.deepEqual(one, [null, '10.0.0.1', 4]);
});

test('while the operator is away its last word counts; a refusal counts at once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const refusal = new BrokerRequestError('forbidden', 'not this pod');
  const { asked, client } = broker(['10.0.0.1'], away, ['10.0.0.2'], refusal);
  const addresses = new TargetAddresses('access/orders', client);
  const rows = [
    [0, [{ address: '10.0.0.1', family: 4 }]],
    [10_000, [{ address: '10.0.0.1', family: 4 }]],
    [20_000, [{ address: '10.0.0.2', family: 4 }]],
    [21_000, [{ address: '10.0.0.2', family: 4 }]],
    [30_000, refusal],
  ] as const;
  for (const [at, expected] of rows) {
    now = at;
    assert.deepEqual(await found(addresses), expected, `at ${at}`);
  }
  assert.equal(asked.length, 4);
});

test('without an answer there is no address, and never the name’s own', async () => {
  for (const answer of [away, ['localhost'], ['10.0.0.1', 'evil.example']] as const) {
    const { lookup } = new TargetAddresses('access/orders', broker(answer).client);
    await assert.rejects(connectTcp({ host: 'localhost', port: 1, lookup }, 60_000), (error: unknown) => {
      assert.ok(error instanceof NetError);
      assert.match(error.message, /it is away|no address/u);
      return true;
    });
  }
});
