/** For tests: a bucket whose store says what the test wants it to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { Bucket } from './bucket.ts';
import { parseObjectStorePlace } from './place.ts';

export async function bucketOf(t: TestContext, answer: RequestListener): Promise<Bucket> {
  const server = createServer(answer).listen(0, '127.0.0.1');
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
  return bucket;
}
