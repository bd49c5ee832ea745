/** The operator with many live sessions: how much memory, and how long a reconcile waits, while runs come and go. */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../e2e/cluster/component.ts';
import type { Closing } from '../closing.ts';
import { residentMemory } from '../memory.ts';
import { gauges } from './exposition.ts';
import type { Figure } from './figure.ts';
import { peakMemory } from './peak-memory.ts';
import { startSwarm, type Swarm } from './swarm.ts';
import type { Program } from './program.ts';
import type { Replica } from './replica.ts';
import type { Stage } from './stage.ts';

export interface CrowdOptions {
  readonly replicas: 1 | 2;
  readonly sessions: number;
  readonly approvals: number;
  /** Of the steady state. */
  readonly seconds: number;
}

/** At once, while the crowd comes: a broker reviews so many tokens from one address. */
const TOGETHER = 8;
/** Runs that end and begin, and sessions that report, each second. */
const CHURN = 2;
const REPORTS = 10;

export async function crowd(
  stage: Stage,
  closing: Closing,
  options: CrowdOptions,
): Promise<readonly Figure[]> {
  const replicas = stage.replicas.slice(0, options.replicas);
  const operators: Program[] = [];
  for (const which of replicas) operators.push(await stage.startOperator(which));
  const memory = async () =>
    Math.max(...(await Promise.all(operators.map(({ pid }) => residentMemory(pid)))));
  const idle = await memory();
  const swarm = await startSwarm(stage, closing, replicas);
  const names = Array.from({ length: options.sessions }, (_, index) => `crowd-${options.replicas}-${index}`);
  const queues = watchQueues(stage, replicas);
  await inParallel(names, (name) => swarm.begin(name));
  await inParallel(names.slice(-options.approvals), (name) => swarm.ask(name));
  await until(
    'all sessions live',
    async () => (await activeSessions(stage)) >= options.sessions || undefined,
  );
  const coming = queues.oldest();
  const resident = await steady(swarm, names, options, memory);
  const waited = queues.oldest();
  await queues.stop();
  const peak = Math.max(...(await Promise.all(operators.map(({ pid }) => peakMemory(pid)))));
  await swarm.stop();
  for (const operator of operators) await operator.stop();
  const { sessions, approvals } = options;
  const who = options.replicas === 1 ? 'one replica with all of' : 'the larger of two replicas with';
  const name = `${who} ${sessions} live sessions, ${approvals} pending approvals`;
  return [
    { measure: `${name}: resident memory, largest`, unit: 'MB', value: resident, goal: 200 },
    { measure: `${name}: since its start, ${sessions} runs as fast as they could`, unit: 'MB', value: peak },
    { measure: `${name}: before any came`, unit: 'MB', value: idle },
    { measure: `${name}: oldest reconcile`, unit: 'ms', value: waited, goal: 1000 },
    { measure: `${name}: oldest reconcile while they came`, unit: 'ms', value: coming },
  ];
}

/** The largest resident memory. */
async function steady(
  swarm: Swarm,
  names: string[],
  options: CrowdOptions,
  memory: () => Promise<number>,
): Promise<number> {
  const end = performance.now() + options.seconds * 1000;
  let largest = 0;
  for (let turn = 0; performance.now() < end; turn += 1) {
    const began = performance.now();
    await second(swarm, names, turn, options);
    largest = Math.max(largest, await memory());
    await sleep(Math.max(0, 1000 - (performance.now() - began)));
  }
  return largest;
}

/** What happens in a second: some end, others take their places, others report. */
async function second(
  swarm: Swarm,
  names: string[],
  turn: number,
  { replicas, sessions, approvals }: CrowdOptions,
): Promise<void> {
  const without = sessions - approvals;
  const churned = Array.from({ length: CHURN }, (_, index) => (turn * CHURN + index) % without);
  const reporting = Array.from({ length: REPORTS }, (_, index) => (turn * REPORTS + index) % without);
  const reports = reporting
    .filter((index) => !churned.includes(index))
    .map((index) => swarm.report(names[index] ?? '', turn + 1));
  const changes = churned.map(async (index) => {
    await swarm.end(names[index] ?? '');
    const name = `churn-${replicas}-${turn}-${index}`;
    await swarm.begin(name);
    names[index] = name;
  });
  await Promise.all([...reports, ...changes]);
}

async function inParallel(names: readonly string[], work: (name: string) => Promise<void>): Promise<void> {
  const left = [...names];
  const worker = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) await work(name);
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
}

async function activeSessions(stage: Stage): Promise<number> {
  const sessions = gauges(await stage.metrics(), 'sidewarden_sessions');
  return sessions
    .filter(({ labels }) => labels['phase'] === 'active')
    .reduce((sum, { value }) => sum + value, 0);
}

/** Looks four times a second. `oldest`: the oldest seen since it was asked last, in milliseconds. */
function watchQueues(stage: Stage, replicas: readonly Replica[]) {
  let oldest = 0;
  let stopped = false;
  const look = async () => {
    while (!stopped) {
      const texts = await Promise.all(replicas.map((each) => stage.metrics(each).catch(() => '')));
      const text = texts.join('\n');
      for (const { value } of gauges(text, 'sidewarden_queue_oldest_seconds'))
        oldest = Math.max(oldest, value * 1000);
      await sleep(250);
    }
  };
  const looking = look();
  return {
    oldest: () => {
      const seen = oldest;
      oldest = 0;
      return seen;
    },
    stop: () => {
      stopped = true;
      return looking;
    },
  };
}
