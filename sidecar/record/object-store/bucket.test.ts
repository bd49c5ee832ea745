import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Bucket } from './bucket.ts';
import { parseObjectStorePlace } from './place.ts';

test('a store that stops in the middle of an object is an error, and no wait without end', async (t) => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('half');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // It listens on a port.
  const place = parseObjectStorePlace({
    endpoint: `http://127.0.0.1:${port}`,
    bucket: 'recordings',
    transport: 'Plaintext',
    credentialsSecret: 'store',
  });
  assert.ok(place.kind === 'parsed');
  const bucket = await Bucket.open(place.value, { accessKeyId: 'key', secretAccessKey: 'secret' });
  t.after(() => bucket.close());
  const content = await bucket.read('object');
  assert.ok(content !== undefined);
  let text = '';
  await assert.rejects(
    async () => {
      for await (const part of content) text += Buffer.from(part).toString();
    },
    { name: 'StoreError', code: 'unavailable' },
  );
  assert.equal(text, 'half');
});
