import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { bundleOf, LIFETIMES, renewed } from './admission/material.ts';
import { startHttps } from './https.ts';

const HOST = 'sidewarden.sidewarden.svc';

test('a body that stops coming is cut when its time is over, not when node would look', async (t) => {
  const material = await renewed(undefined, [HOST], Date.now(), LIFETIMES);
  const serving = { ...material.serving, bundle: bundleOf(material) };
  const limits = { headersTimeout: 100, requestTimeout: 100 };
  const ours = await startHttps({
    port: 0,
    address: '127.0.0.1',
    certificates: {
      current: () => serving,
      watch: () => () => undefined,
      close: () => Promise.resolve(),
    },
    minVersion: 'TLSv1.3',
    limits,
    connections: { whole: 4, each: 4 },
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
