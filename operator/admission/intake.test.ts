import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Intake } from './intake.ts';

test('one address has its share, and all together have theirs', () => {
  const intake = new Intake({ whole: 10, each: 6 });
  assert.ok(intake.take('a', 6));
  assert.ok(!intake.take('a', 1));
  assert.ok(intake.take('b', 4));
  assert.ok(!intake.take('c', 1), 'the whole is used up');
  intake.give('a', 6);
  assert.ok(intake.take('c', 6));
  assert.equal(intake.bytes, 10);
});

test('whatever comes and goes, no limit is passed, and nothing is left of what was given back', () => {
  const step = fc.record({ from: fc.constantFrom('a', 'b', 'c'), bytes: fc.nat(8) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const intake = new Intake({ whole: 12, each: 8 });
      const taken = steps.filter(({ from, bytes }) => intake.take(from, bytes));
      assert.ok(intake.bytes <= 12);
      for (const { from, bytes } of taken) intake.give(from, bytes);
      assert.equal(intake.bytes, 0);
      for (const from of ['a', 'b', 'c']) {
        assert.ok(intake.take(from, 8));
        intake.give(from, 8);
      }
    }),
  );
});
