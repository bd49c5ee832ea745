import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { milliseconds, parseDuration } from './duration.ts';

const cases: readonly (readonly [string, number | null])[] = [
  ['15m', 900_000],
  ['1h30m', 5_400_000],
  ['90s', 90_000],
  ['500ms', 500],
  ['1h2m3s4ms', 3_723_004],
  ['0s', 0],
  ['99999h', 359_996_400_000],
  ['', null],
  ['15', null],
  ['1.5h', null],
  ['-1m', null],
  ['1d', null],
  ['1 m', null],
  ['1m\n', null],
  ['100000h', null],
  ['1s1s1s1s1s', null],
];

test('durations', () => {
  for (const [text, expected] of cases) assert.equal(parseDuration(text), expected, text);
});

test('durations: any text is a number or null', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('1', '0', 'm', 's', 'h', '.', ' ') }), (text) => {
      const value = parseDuration(text);
      return value === null || (Number.isSafeInteger(value) && value >= 0);
    }),
  );
});

test('milliseconds of what no schema has accepted', () => {
  assert.throws(() => milliseconds('soon'), RangeError);
});
