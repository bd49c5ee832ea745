import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figureTable } from './table.ts';

test('says of each goal whether it was met', () => {
  const table = figureTable([
    { measure: 'waits', unit: 'ms', value: 12.34, goal: 25 },
    { measure: 'memory', unit: 'MB', value: 1234.5, goal: 200 },
    { measure: 'lost', unit: '', value: 0, goal: 0 },
    { measure: 'p50', unit: 'ms', value: NaN },
  ]);
  assert.equal(
    table,
    [
      '| measure | unit | value | goal     |        |',
      '|---------|------|------:|----------|--------|',
      '| waits   | ms   |  12.3 | ≤ 25 ms  | met    |',
      '| memory  | MB   | 1,235 | ≤ 200 MB | missed |',
      '| lost    |      |     0 | 0        | met    |',
      '| p50     | ms   |     – |          |        |',
    ].join('\n'),
  );
});
