import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Shares } from './shares.ts';

test('one address has its share, and all together have theirs', () => {
  const shares = new Shares({ whole: 10, each: 6 });
  assert.ok(shares.take('a', 6));
  assert.ok(!shares.take('a', 1));
  assert.ok(shares.take('b', 4));
  assert.ok(!shares.take('c', 1), 'the whole is used up');
  shares.give('a', 6);
  assert.ok(shares.take('c', 6));
  assert.equal(shares.held, 10);
});

test('whatever comes and goes, no limit is passed, and nothing is left of what was given back', () => {
  const step = fc.record({ from: fc.constantFrom('a', 'b', 'c'), bytes: fc.nat(8) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const shares = new Shares({ whole: 12, each: 8 });
      const taken = steps.filter(({ from, bytes }) => shares.take(from, bytes));
      assert.ok(shares.held <= 12);
      for (const { from, bytes } of taken) shares.give(from, bytes);
      assert.equal(shares.held, 0);
      for (const from of ['a', 'b', 'c']) {
        assert.ok(shares.take(from, 8));
        shares.give(from, 8);
      }
    }),
  );
});
