import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { bundleOf, LIFETIMES, renewed, type Material } from './admission/material.ts';
import { startHttps, type HttpsOptions, type HttpsServer } from './https.ts';

const HOST = 'sidewarden.sidewarden.svc';

async function start(options: Pick<HttpsOptions, 'limits' | 'patience' | 'serve'>): Promise<{
  readonly server: HttpsServer;
  readonly serving: Material['serving'] & { readonly bundle: string };
}> {
  const material = await renewed(undefined, [HOST], Date.now(), LIFETIMES);
  const serving = { ...material.serving, bundle: bundleOf(material) };
  const server = await startHttps({
    ...options,
    port: 0,
    address: '127.0.0.1',
    certificates: {
      current: () => serving,
      watch: () => () => undefined,
      close: () => Promise.resolve(),
    },
    minVersion: 'TLSv1.3',
    connections: { whole: 4, each: 4 },
  });
  return { server, serving };
}

test('a body that stops coming is cut when its time is over, not when node would look', async (t) => {
  const limits = { headersTimeout: 100, requestTimeout: 100 };
  const { server: ours, serving } = await start({
    limits,
    patience: 0,
    serve: (request) => void request.resume().on('error', () => undefined),
  });
  t.after(() => ours.close());
  // The same time-outs, and node's own interval: it looks after 30 s.
  const theirs = createServer({ ...limits, key: serving.key, cert: serving.certificate }, (request) =>
    request.resume().on('error', () => undefined),
  );
  await new Promise<void>((done) => theirs.listen(0, '127.0.0.1', done));
  t.after(() => {
    theirs.closeAllConnections();
    theirs.close();
  });
  const stalled = async (port: number, name: string) => {
    const socket = connect({ host: '127.0.0.1', port, ca: serving.bundle, servername: HOST });
    socket.resume().on('error', () => undefined);
    socket.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 2\r\n\r\n{`);
    // After an error too: of a request that came late, the end is a reset.
    await new Promise((done) => socket.once('close', done));
    return name;
  };
  // A TCP server's address is an object.
  const { port } = theirs.address() as AddressInfo;
  assert.equal(await Promise.race([stalled(port, 'theirs'), stalled(ours.port, 'ours')]), 'ours');
});

test('while it drains each answer is the last of its connection', async (t) => {
  const { server, serving } = await start({
    limits: {},
    patience: 0,
    serve: (_, response) => void response.writeHead(200, { 'content-length': 0 }).end(),
  });
  t.after(() => server.close());
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ask = async () => {
    const asked = request({
      agent,
      host: '127.0.0.1',
      port: server.port,
      servername: HOST,
      ca: serving.bundle,
    });
    const answered = once(asked, 'response');
    asked.end();
    // One argument, says Node's documentation.
    const [answer] = (await answered) as [IncomingMessage];
    await once(answer.resume(), 'end');
    return { reused: asked.reusedSocket, connection: answer.headers.connection };
  };
  assert.deepEqual(await ask(), { reused: false, connection: 'keep-alive' });
  server.drain();
  assert.deepEqual(await ask(), { reused: true, connection: 'close' });
  assert.deepEqual(await ask(), { reused: false, connection: 'close' });
});
