import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Measure } from './measure.ts';
import { renew } from './page.ts';
import { summarise, table } from './report.ts';

const contenders = ['Direct', 'PgBouncer', 'Sidewarden'] as const;
const run = () => Promise.resolve(0);
const measures: readonly Measure[] = [
  { name: 'a', title: 'latency', unit: 'ms', contenders, run, goal: { kind: 'ratio', atMost: 1.15 } },
  { name: 'b', title: 'throughput', unit: 'tps', contenders, run, goal: { kind: 'ratio', atLeast: 0.8 } },
  { name: 'c', title: 'idle', unit: 'MB', contenders, run, goal: { kind: 'value', atMost: 90 } },
  { name: 'd', title: 'not taken', unit: 'ms', contenders, run },
];

test('medians, ratios and verdicts', () => {
  const samples = new Map([
    ['a', { Direct: [1, 1, 1], PgBouncer: [1, 2, 4], Sidewarden: [1.1, 2.2, 8] }],
    ['b', { Direct: [10_000], PgBouncer: [8000], Sidewarden: [4000] }],
    ['c', { Direct: [], PgBouncer: [10], Sidewarden: [80] }],
  ]);
  const rows = summarise(measures, samples);
  assert.deepEqual(
    rows.map(({ name, verdict, ratio }) => [name, verdict, ratio?.median.toFixed(2)]),
    [
      ['a', 'met', '1.10'],
      ['b', 'missed', '0.50'],
      ['c', 'met', undefined],
    ],
  );
  const text = table(rows);
  assert.match(text, /1\.10 \(1\.10–2\.00\) +\| ≤ 1\.15 × +\| met/);
  assert.match(text, /10,000/);
  assert.equal(new Set(text.split('\n').map((line) => line.length)).size, 1);
});

test('a page keeps the words around its table', () => {
  const page =
    '# Bench\n<!-- bench: renewed by `node bench/main.ts --write` -->\nold\n<!-- bench: end -->\nwhy\n';
  const renewed = renew(page, 'new');
  assert.match(renewed, /^# Bench\n.*\n\nnew\n\n<!-- bench: end -->\nwhy\n$/);
  assert.equal(renew(renewed, 'new'), renewed);
  assert.throws(() => renew('# no marks', 'new'), /has no/);
});
