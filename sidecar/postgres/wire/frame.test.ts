import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WireError } from './error.ts';
import { FrameReader } from './frame.ts';
import { frontendLimit } from './frontend.ts';

const LIMIT = frontendLimit(1_000_000);

function frame(tag: string, body: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.write(tag, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** What a reader makes of chunks: whole frames as hexadecimal text. */
function read(chunks: readonly Buffer[]): string[] {
  const reader = new FrameReader(LIMIT);
  const frames: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let next = reader.next(); next; next = reader.next()) {
      frames.push(next.buffer.toString('hex', next.start, next.end));
    }
  }
  return frames;
}

function split(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) break;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) chunks.push(bytes.subarray(at));
  return chunks;
}

void test('frames come out whole, however the bytes are cut into chunks', () => {
  const bodies = fc.array(
    fc.tuple(fc.constantFrom('Q', 'P', 'B', 'd', 'S', 'X'), fc.uint8Array({ maxLength: 3000 })),
    {
      maxLength: 12,
    },
  );
  fc.assert(
    fc.property(
      bodies,
      fc.array(fc.integer({ min: 1, max: 4000 }), { maxLength: 200 }),
      (messages, sizes) => {
        const frames = messages.map(([tag, body]) => frame(tag, body));
        const expected = frames.map((bytes) => bytes.toString('hex'));
        assert.deepEqual(read(split(Buffer.concat(frames), sizes)), expected);
      },
    ),
    { numRuns: 200 },
  );
});

void test('one byte at a time', () => {
  const frames = [
    frame('Q', Buffer.alloc(700, 7)),
    frame('S', Buffer.alloc(0)),
    frame('d', Buffer.alloc(5000, 1)),
  ];
  const bytes = Buffer.concat(frames);
  assert.deepEqual(
    read(split(bytes, new Array<number>(bytes.length).fill(1))),
    frames.map((each) => each.toString('hex')),
  );
});

void test('lengths and types that cannot be', async (t) => {
  const header = (tag: number, length: number) => {
    const bytes = Buffer.alloc(5);
    bytes[0] = tag;
    bytes.writeInt32BE(length | 0, 1);
    return bytes;
  };
  const cases: readonly [string, Buffer, WireError['code']][] = [
    ['unknown type', header(0x01, 4), 'invalid-message'],
    ['high byte', header(0xff, 4), 'invalid-message'],
    ["another side's type", header(0x5a, 5), 'invalid-message'],
    ['length 0', header(0x51, 0), 'invalid-message'],
    ['length 3', header(0x51, 3), 'invalid-message'],
    ['negative length', header(0x51, -1), 'invalid-message'],
    ['smallest length', header(0x51, -0x80000000), 'invalid-message'],
    ['largest length', header(0x51, 0x7fffffff), 'message-too-long'],
    ['one over the limit', header(0x51, 1_000_005), 'message-too-long'],
    ['a long Sync', header(0x53, 100_000), 'message-too-long'],
  ];
  for (const [name, bytes, code] of cases) {
    await t.test(name, () => {
      const whole = new FrameReader(LIMIT);
      whole.push(bytes);
      const isError = (error: unknown) => error instanceof WireError && error.code === code;
      assert.throws(() => whole.next(), isError);
      const cut = new FrameReader(LIMIT);
      cut.push(bytes.subarray(0, 3));
      assert.equal(cut.next(), undefined);
      cut.push(bytes.subarray(3));
      assert.throws(() => cut.next(), isError);
    });
  }
});

void test('nothing is set aside for a length that is refused, and little for one that is only announced', () => {
  const reader = new FrameReader(LIMIT);
  const header = Buffer.alloc(5);
  header.write('d');
  header.writeInt32BE(900_000, 1);
  reader.push(header);
  assert.equal(reader.next(), undefined);
  assert.equal(reader.buffered, 5);
});

void test('arbitrary bytes make frames or WireError, nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 10 }), (chunks) => {
      try {
        read(chunks.map((chunk) => Buffer.from(chunk)));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
