import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ratios, spread } from './statistics.ts';

test('spread', () => {
  assert.equal(spread([]), undefined);
  assert.deepEqual(spread([3]), { median: 3, least: 3, most: 3 });
  assert.deepEqual(spread([10, 1, 3]), { median: 3, least: 1, most: 10 });
  assert.deepEqual(spread([4, 1, 2, 100]), { median: 3, least: 1, most: 100 });
});

test('ratios pair the rounds', () => {
  assert.deepEqual(ratios([2, 9, 4], [1, 3]), [2, 3]);
  assert.deepEqual(ratios([2], [0]), []);
});
