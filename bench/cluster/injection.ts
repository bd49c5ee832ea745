/** Pods made at a steady rate: how long the API server waits for injection and guard, by its own histograms. */
import { setTimeout as sleep } from 'node:timers/promises';
import { answered } from './api.ts';
import { type Buckets, buckets, countOf, quantile, since } from './exposition.ts';
import { type Figure, percentile } from './figure.ts';
import { AGENTS, ENFORCED, LEDGER } from './manifests.ts';
import { processorTime } from './processor-time.ts';
import { podOf } from './run.ts';
import type { Stage } from './stage.ts';

export interface InjectionOptions {
  readonly pods: number;
}

/** Pods a second. */
const RATE = 50;
const WARM_UP = 100;
const WEBHOOKS = ['inject', 'guard-injected', 'guard-enforced'] as const;
const HISTOGRAM = 'apiserver_admission_webhook_admission_duration_seconds';
const GOAL_SECONDS = 0.025;

export async function injection(stage: Stage, { pods }: InjectionOptions): Promise<readonly Figure[]> {
  const operator = await stage.startOperator();
  await create(stage, WARM_UP, 'warm');
  const before = await readings(stage);
  const busy = await processorTime(operator.pid);
  const took = await create(stage, pods, 'pod');
  const spent = (await processorTime(operator.pid)) - busy;
  const after = await readings(stage);
  await operator.stop();
  const figures = WEBHOOKS.flatMap((webhook, index): Figure[] => {
    const found = since(before[index] ?? new Map(), after[index] ?? new Map());
    const within = (100 * (found.get(GOAL_SECONDS) ?? 0)) / countOf(found);
    const name = `webhook ${webhook}, ${RATE} pods/s, ${countOf(found)} calls`;
    return [
      // The histogram has a bucket that ends at the goal: that the share within is 99 % or more is exact, the quantile is interpolated.
      {
        measure: `${name}: p99, by the API server`,
        unit: 'ms',
        value: quantile(found, 0.99) * 1000,
        goal: 25,
      },
      { measure: `${name}: within 25 ms`, unit: '%', value: within },
    ];
  });
  return [
    ...figures,
    { measure: "the operator's processor time, a pod", unit: 'ms', value: spent / pods },
    { measure: 'creating an annotated pod, all of it: p50', unit: 'ms', value: percentile(took, 0.5) },
    { measure: 'creating an annotated pod, all of it: p99', unit: 'ms', value: percentile(took, 0.99) },
  ];
}

/** Milliseconds that each took, from when it was due: who is late does not slow down who comes next. */
async function create({ api }: Stage, count: number, prefix: string): Promise<readonly number[]> {
  const began = performance.now();
  const created = Array.from({ length: count }, async (_, index) => {
    const due = began + (index * 1000) / RATE;
    await sleep(Math.max(0, due - performance.now()));
    const namespace = index % 2 === 0 ? AGENTS : ENFORCED;
    await answered(api, {
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods`,
      query: { dryRun: 'All' },
      body: podOf(`${prefix}-${index}`, namespace, LEDGER),
    });
    return performance.now() - due;
  });
  return Promise.all(created);
}

async function readings({ plane }: Stage): Promise<readonly Buckets[]> {
  const text = await plane.kubectl(['get', '--raw', '/metrics']);
  return WEBHOOKS.map((webhook) => buckets(text, HISTOGRAM, { name: `${webhook}.sidewarden.dev` }));
}
