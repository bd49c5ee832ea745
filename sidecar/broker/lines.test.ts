import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BrokerRequestError } from './broker-error.ts';
import { readEvent } from './event.ts';
import { LineReader } from './lines.ts';

test('lines come out as they went in, however they are cut', () => {
  const line = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 40 })
    .map((text) => text.replaceAll('\n', ' '));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.nat(9), { minLength: 1 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
      const reader = new LineReader(1024);
      const found: string[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const next = at + (cuts[turn % cuts.length] ?? 0) + 1;
        found.push(...reader.push(bytes.subarray(at, next)));
        at = next;
      }
      assert.deepEqual(
        found,
        lines.map((each) => Buffer.from(each).toString('utf8')).filter((each) => each !== ''),
      );
      assert.equal(reader.pending, 0);
    }),
  );
});

test('a line over the cap is refused before it is whole', () => {
  const reader = new LineReader(8);
  assert.deepEqual(reader.push(Buffer.from('12345678\n')), ['12345678']);
  assert.deepEqual(reader.push(Buffer.from('1234')), []);
  assert.throws(() => reader.push(Buffer.from('56789')), { code: 'protocol' });
});

test('whatever a line says, only the own error comes out', () => {
  const values = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({
        kind: fc.constantFrom('configuration', 'decision', 'revoked', 'ping'),
        outcome: fc.anything(),
        approval: fc.anything(),
      })
      .map((each) => JSON.stringify(each)),
  );
  fc.assert(
    fc.property(values, (line) => {
      try {
        readEvent(line);
      } catch (error) {
        assert.ok(error instanceof BrokerRequestError && error.code === 'protocol', String(error));
      }
    }),
  );
});
