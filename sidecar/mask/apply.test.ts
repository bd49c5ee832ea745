import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyMask, stricterMask } from './apply.ts';
import { createMaskKeys } from './keys.ts';
import type { Mask } from './mask.ts';

const keys = createMaskKeys(Buffer.alloc(32, 7));
const partial = (keepFirst: number, keepLast: number): Mask => ({ with: 'Partial', keepFirst, keepLast });

const CASES: readonly (readonly [Mask, string | null, string | null])[] = [
  [{ with: 'Redact' }, 'secret', '[redacted]'],
  [{ with: 'Redact' }, '', '[redacted]'],
  [{ with: 'Redact' }, null, '[redacted]'],
  [{ with: 'Null' }, 'secret', null],
  [{ with: 'Null' }, null, null],
  [partial(0, 4), '4111111111111234', '****1234'],
  [partial(2, 2), 'abcdefgh', 'ab****gh'],
  [partial(2, 2), 'abcdefg', '****'],
  [partial(0, 4), '1234567', '****'],
  [partial(0, 4), '', '****'],
  [partial(0, 0), 'abc', '****'],
  [partial(-1, Number.NaN), 'abc', '****'],
  [partial(1, 1), '👩‍👩‍👧‍👦b👩‍👩‍👧‍👦c', '👩‍👩‍👧‍👦****c'],
  [partial(1, 1), 'é👩‍👩‍👧‍👦x', '****'],
  [partial(1, 0), 'éa', 'é****'],
  [partial(1, 1), null, null],
  [{ with: 'Hash', scope: 'Session' }, null, null],
];

test('a mask on a value', () => {
  for (const [mask, value, expected] of CASES)
    assert.equal(applyMask(mask, value, keys), expected, JSON.stringify([mask, value]));
});

test('hashes are keyed: by session, or the same over sessions of a connection', () => {
  const other = createMaskKeys(Buffer.alloc(32, 7));
  const session: Mask = { with: 'Hash', scope: 'Session' };
  const connection: Mask = { with: 'Hash', scope: 'Connection' };
  const hash = applyMask(session, '42', keys) ?? '';
  assert.match(hash, /^h:[A-Za-z0-9_-]{22}$/);
  assert.equal(applyMask(session, '42', keys), hash);
  assert.notEqual(applyMask(session, '43', keys), hash);
  assert.notEqual(applyMask(session, '42', other), hash);
  assert.notEqual(applyMask(connection, '42', keys), hash);
  assert.equal(applyMask(connection, '42', keys), applyMask(connection, '42', other));
  const without = createMaskKeys();
  assert.equal(applyMask(connection, '42', without), applyMask(session, '42', without));
});

test('the stricter of two masks tells no more than either', () => {
  assert.equal(stricterMask(partial(1, 1), { with: 'Hash', scope: 'Session' }).with, 'Hash');
  assert.equal(stricterMask(partial(1, 1), partial(2, 0)).with, 'Redact');
  assert.deepEqual(stricterMask(partial(1, 1), partial(1, 1)), partial(1, 1));
  assert.equal(stricterMask({ with: 'Null' }, { with: 'Redact' }).with, 'Redact');
});
