import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { MAX_REQUEST } from '../../sidecar/broker/protocol.ts';
import { Messages } from './body.ts';

const MiB = 1024 * 1024;
const parse = (value: unknown) => ({ kind: 'parsed' as const, value });

/** As node's server gives it; pieces are pushed by hand. */
function incoming(): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers['content-type'] = 'application/json';
  return request;
}

function whole(bytes: number): IncomingMessage {
  const request = incoming();
  request.push(`"${'x'.repeat(bytes - 2)}"`);
  request.push(null);
  return request;
}

/** Sends a piece and waits until it was taken. */
async function send(request: IncomingMessage, bytes: number): Promise<void> {
  request.push(Buffer.alloc(bytes, 0x20));
  while (request.readableLength > 0) await new Promise((done) => setImmediate(done));
}

suite('messages of pods', () => {
  test('a pod sends so many bytes at once, and then so many a second; another as many', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let now = 0;
    const messages = new Messages(() => now);
    for (let i = 0; i < 4; i += 1) await messages.read('one', whole(MAX_REQUEST), parse);
    let parsed = 0;
    const counted = (value: unknown) => {
      parsed += 1;
      return parse(value);
    };
    for (let i = 0; i < 100; i += 1)
      await assert.rejects(messages.read('one', whole(MiB), counted), { code: 'unavailable' });
    assert.equal(parsed, 0);
    assert.equal(typeof (await messages.read('two', whole(MAX_REQUEST), parse)), 'string');
    now = 1_000;
    assert.equal(typeof (await messages.read('one', whole(MiB), parse)), 'string');
    await assert.rejects(messages.read('one', whole(MiB), parse), { code: 'unavailable' });
  });

  test('what is under way is bounded for a pod and for all; what is over is no longer', async (t) => {
    // No message is late.
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const messages = new Messages(() => 0);
    const open: { readonly request: IncomingMessage; readonly read: Promise<unknown> }[] = [];
    const begin = async (pod: string) => {
      const request = incoming();
      const read = messages.read(pod, request, parse);
      read.catch(() => undefined);
      await send(request, 4 * MiB);
      open.push({ request, read });
    };
    for (const pod of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
      for (let i = 0; i < 2; i += 1) {
        await begin(pod);
        if (pod === 'a' && i === 1)
          await assert.rejects(messages.read('a', whole(1024), parse), /too much is being sent at once/);
      }
    await assert.rejects(messages.read('i', whole(1024), parse), /too much is being sent at once/);
    const [first] = open;
    first?.request.push(null);
    await assert.rejects(first?.read ?? Promise.resolve(), /not JSON/);
    assert.equal(typeof (await messages.read('i', whole(1024), parse)), 'string');
    for (const { request } of open) request.push(null);
    await Promise.allSettled(open.map(({ read }) => read));
  });
});
