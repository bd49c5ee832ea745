import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf } from './testing-bucket.ts';

test('a store that stops in the middle of an object is an error, and no wait without end', async (t) => {
  const bucket = await bucketOf(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('half');
  });
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
