import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf } from './quantity.ts';

test('quantities of bytes', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['1Gi', 1_073_741_824],
    ['512Mi', 536_870_912],
    ['1.5G', 1_500_000_000],
    ['1024', 1024],
    ['2k', 2000],
    ['', undefined],
    ['-1Gi', undefined],
    ['1Gib', undefined],
    ['1e3', 1000],
    ['9999999Ti', undefined],
  ];
  for (const [quantity, bytes] of cases) assert.equal(bytesOf(quantity), bytes, quantity);
});
