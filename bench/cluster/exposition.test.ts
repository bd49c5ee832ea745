import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buckets, countOf, gauges, quantile, since } from './exposition.ts';

const TEXT = `# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{name="a",type="x",le="0.01"} 50
took_seconds_bucket{name="a",type="x",le="0.02"} 90
took_seconds_bucket{name="a",type="x",le="+Inf"} 100
took_seconds_bucket{name="b",type="x",le="+Inf"} 7
took_seconds_count{name="a",type="x"} 100
depth{controller="the \\"first\\""} 3
depth_of_something 4
`;

test('samples of a name, with their labels', () => {
  assert.deepEqual(gauges(TEXT, 'depth'), [{ labels: { controller: 'the \\"first\\"' }, value: 3 }]);
});

const quantiles: readonly [number, number][] = [
  [0.25, 0.005],
  [0.5, 0.01],
  [0.7, 0.015],
  // Beyond the last bound nothing is known.
  [0.99, 0.02],
];
for (const [part, expected] of quantiles)
  test(`the quantile ${part}`, () => {
    const found = quantile(buckets(TEXT, 'took_seconds', { name: 'a' }), part);
    assert.ok(Math.abs(found - expected) < 1e-9, String(found));
  });

test('what came between two readings', () => {
  const all = buckets(TEXT, 'took_seconds', {});
  assert.equal(countOf(all), 107);
  assert.equal(countOf(since(buckets(TEXT, 'took_seconds', { name: 'a' }), all)), 7);
  assert.ok(Number.isNaN(quantile(new Map(), 0.5)));
});
