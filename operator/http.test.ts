import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { startHttp, type HttpServer } from './http.ts';

let server: HttpServer;

before(async () => {
  const metrics = () => Promise.resolve('');
  server = await startHttp('127.0.0.1', 0, { ready: () => true, metrics, metricsType: 'text/plain' });
});
after(() => server.close());

/** Resolves when it is connected; it says nothing, and it may be closed. */
async function idle(port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress }).resume();
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** The status, or the code of what went wrong. */
function probed(): Promise<number | string> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port: server.port, path: '/healthz', agent: false };
    const sent = get(options, (answer) => resolve(answer.resume().statusCode ?? 0));
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

test('the kubelet gets in, whoever else opens as many connections as it can', async () => {
  const open = new Set<Socket>();
  const answers: (number | string)[] = [];
  for (let round = 0; round < 5; round += 1) {
    const sockets = await Promise.all(Array.from({ length: 200 }, () => idle(server.port, '127.0.0.2')));
    for (const socket of sockets) open.add(socket);
    answers.push(await probed());
  }
  for (const socket of open) socket.destroy();
  assert.deepEqual(answers, [200, 200, 200, 200, 200]);
});

test('a connection that says nothing is closed when its time is over, not when node would look', async (t) => {
  // The same time-outs, and node's own interval: it looks after 30 s.
  const other = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 });
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
  t.after(() => {
    other.closeAllConnections();
    other.close();
  });
  // A TCP server's address is an object.
  const { port } = other.address() as AddressInfo;
  const closed = async (port: number, name: string) => {
    await once(await idle(port, '127.0.0.1'), 'close');
    return name;
  };
  assert.equal(await Promise.race([closed(port, 'theirs'), closed(server.port, 'ours')]), 'ours');
});
