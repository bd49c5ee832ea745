/**
 * In a whole cluster, with a kubelet: from the start of the injected sidecar's container until the API server tells that its startup
 * probe has passed, which is when the pod's other containers may start.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterUnavailable } from '../../e2e/cluster/availability.ts';
import { type OwnCluster, startCluster } from '../../e2e/cluster/cluster.ts';
import { agentPod, apply } from '../../e2e/story/agent-pod.ts';
import { followPages } from '../../e2e/story/pages.ts';
import { AGENTS, type Stage, stageOn, storyImages } from '../../e2e/story/stage.ts';
import type { Closing } from '../closing.ts';
import { type Figure, percentile } from './figure.ts';

const SIDECAR = 'sidewarden';
/** Of the kernel's clock for the starts of processes. */
const TICKS_PER_SECOND = 100;
const PAGES = ['docs/kubernetes/install.md', 'docs/kubernetes/first-connection.md'];

/** Nothing where no whole cluster can run; why is told. */
export async function startup(
  closing: Closing,
  { times }: { readonly times: number },
): Promise<readonly Figure[]> {
  const why = await clusterUnavailable();
  if (why !== undefined) {
    console.error(`  not taken: ${why}`);
    return [];
  }
  const cluster = await startCluster({ images: await storyImages() });
  closing.add(() => cluster.stop());
  const stage = await stageOn(cluster);
  await followPages({ diagnostic: () => undefined }, stage, PAGES);
  const starts: Start[] = [];
  for (let time = 0; time < times; time += 1) starts.push(await one(stage, cluster, `startup-${time}`));
  const ready = starts.map((start) => start.ready);
  const passed = starts.map((start) => start.passed);
  const name = `sidecar in a pod, ${times} times, container start`;
  return [
    { measure: `${name} to ready, by its own log: slowest`, unit: 'ms', value: Math.max(...ready) },
    { measure: `${name} to startup probe passed: median`, unit: 'ms', value: percentile(passed, 0.5) },
    {
      measure: `${name} to startup probe passed: slowest`,
      unit: 'ms',
      value: Math.max(...passed),
      goal: 1000,
    },
  ];
}

/** Milliseconds from the start of the container. */
interface Start {
  readonly ready: number;
  readonly passed: number;
}

async function one(stage: Stage, cluster: OwnCluster, name: string): Promise<Start> {
  await apply(stage, [agentPod({ name, script: 'sleep 60' })]);
  const started = "--for=jsonpath={.status.initContainerStatuses[?(@.name=='sidewarden')].started}=true";
  await stage.kubectl(`wait ${started} pod/${name} --namespace ${AGENTS} --timeout 60s`);
  const passed = Date.now();
  const begun = await startOf(cluster, name);
  const log = await stage.kubectl(`logs ${name} --container ${SIDECAR} --namespace ${AGENTS}`);
  const ready = Number(/"time":(\d+).*the configuration is in force/.exec(log)?.[1]);
  await stage.kubectl(`delete pod ${name} --namespace ${AGENTS} --grace-period 1 --wait=true`);
  // What deleting it set off is over.
  await sleep(1_000);
  return { ready: ready - begun, passed: passed - begun };
}

/** When the container's first process was made, in milliseconds since the epoch; exact to one tick. */
async function startOf({ containers, node }: OwnCluster, pod: string): Promise<number> {
  const { pid } = await containers.find({ namespace: AGENTS, pod, container: SIDECAR });
  const text = await node.shell(`cat /proc/${pid}/stat /proc/uptime; date +%s%3N`);
  const [stat = '', uptime = '', now = ''] = text.trim().split('\n');
  // The name, in brackets, may hold spaces; the start is the 22nd field, the state after the name the 3rd.
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  const age = Number(uptime.split(' ')[0]) - ticks / TICKS_PER_SECOND;
  return Number(now) - age * 1000;
}
