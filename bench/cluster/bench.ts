/** The measures of the cluster, one after the other, on one API server. */
import { objectStoreUnavailable } from '../../e2e/object-store.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import type { Closing } from '../closing.ts';
import { beginning } from './beginning.ts';
import { crowd, type CrowdOptions } from './crowd.ts';
import { deciding } from './deciding.ts';
import { ending } from './ending.ts';
import type { Figure } from './figure.ts';
import { injection } from './injection.ts';
import { outage } from './outage.ts';
import { type Stage, startStage } from './stage.ts';
import { startup } from './startup.ts';

export interface ClusterOptions {
  /** A look, no numbers to keep. */
  readonly quick: boolean;
  /** Seconds that the object store is away. */
  readonly outage: number;
  /** Names of `clusterMeasures`. */
  readonly chosen: readonly string[];
}

type Take = (stage: Stage, closing: Closing, options: ClusterOptions) => Promise<readonly Figure[]>;

const measures: Readonly<Record<string, Take>> = {
  injection: (stage, _closing, { quick }) => injection(stage, { pods: quick ? 100 : 1000 }),
  sidecar: (stage, _closing, { quick }) => beginning(stage, { times: quick ? 3 : 15 }),
  decision: (stage, _closing, { quick }) => deciding(stage, { holds: quick ? 20 : 250 }),
  ending: (stage, _closing, { quick }) => ending(stage, { runs: quick ? 3 : 25 }),
  outage: (stage, _closing, { outage: seconds }) => outage(stage, { seconds }),
  crowd: (stage, closing, { quick }) => crowd(stage, closing, { replicas: 2, ...crowdOf(quick) }),
  'crowd-alone': (stage, closing, { quick }) => crowd(stage, closing, { replicas: 1, ...crowdOf(quick) }),
};

function crowdOf(quick: boolean): Omit<CrowdOptions, 'replicas'> {
  return quick
    ? { sessions: 100, approvals: 20, seconds: 10 }
    : { sessions: 1000, approvals: 200, seconds: 60 };
}

const STARTUP = 'startup';

export const clusterMeasures: readonly string[] = [...Object.keys(measures), STARTUP];

/** Why there can be none here; undefined when there can. Builds what is not in the cache. */
export async function clusterBenchUnavailable(): Promise<string | undefined> {
  return (await controlPlaneUnavailable()) ?? objectStoreUnavailable();
}

export async function benchCluster(options: ClusterOptions, closing: Closing): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const chosen = Object.keys(measures).filter((name) => options.chosen.includes(name));
  const shared = chosen.filter((name) => !name.startsWith('crowd'));
  // A crowd leaves its sessions behind: each comes to an empty cluster.
  const turns = [shared, ...chosen.filter((name) => name.startsWith('crowd')).map((name) => [name])];
  for (const names of turns) {
    if (names.length === 0) continue;
    console.error('starting an API server, PostgreSQL and an object store');
    const stage = await startStage(closing);
    for (const name of names) figures.push(...(await take(name, stage, closing, options)));
    await closing.close();
  }
  if (options.chosen.includes(STARTUP)) {
    console.error(`${STARTUP}: starting a whole cluster`);
    figures.push(...told(await startup(closing, { times: options.quick ? 3 : 15 })));
  }
  return figures;
}

async function take(
  name: string,
  stage: Stage,
  closing: Closing,
  options: ClusterOptions,
): Promise<readonly Figure[]> {
  console.error(name);
  return told((await measures[name]?.(stage, closing, options)) ?? []);
}

function told(taken: readonly Figure[]): readonly Figure[] {
  for (const { measure, value, unit } of taken)
    console.error(`  ${measure}: ${value.toPrecision(4)} ${unit}`);
  return taken;
}
