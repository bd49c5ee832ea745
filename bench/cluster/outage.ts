/** The object store is away for a while under a steady load: nothing may be lost, and what is recorded must verify. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { bundlePath } from '../../e2e/bundle.ts';
import { until } from '../../e2e/cluster/component.ts';
import { STORE_CREDENTIALS } from '../../e2e/object-store.ts';
import type { Figure } from './figure.ts';
import { textAt } from './api.ts';
import { BUCKET, OPERATOR, RECORDED } from './manifests.ts';
import { endRun, removeRun, startRun } from './run.ts';
import { type Sidecar, startSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';

const run = promisify(execFile);

export interface OutageOptions {
  readonly seconds: number;
}

/** Statements a second, and seconds of load before and after. */
const RATE = 20;
const AROUND = 5;

export async function outage(stage: Stage, { seconds }: OutageOptions): Promise<readonly Figure[]> {
  const operator = await stage.startOperator();
  const agent = await startRun(stage, 'outage', RECORDED);
  const sidecar = await startSidecar(stage, agent);
  const load = startLoad(stage);
  await sleep(AROUND * 1000);
  await stage.store.kill();
  const spool = await largestSpool(sidecar, seconds);
  await stage.store.start();
  const back = performance.now();
  await sleep(AROUND * 1000);
  const { answered, refused } = await load.stop();
  await endRun(stage, agent);
  await sidecar.stop();
  const verified = await until('all is in the bucket and verifies', () => verify(stage), {
    limit: 120_000,
    every: 1000,
  });
  const caughtUp = performance.now() - back;
  const recorded = await recordedStatements(stage);
  await removeRun(stage, agent);
  await operator.stop();
  const name = `store away for ${seconds} s`;
  return [
    {
      measure: `${name}, ${answered} statements: lost from the recordings`,
      unit: '',
      value: answered - recorded,
      goal: 0,
    },
    { measure: `${name}: statements refused or failed`, unit: '', value: refused, goal: 0 },
    { measure: `${name}: recordings that do not verify`, unit: '', value: verified.bad, goal: 0 },
    { measure: `${name}: largest spool of the sidecar`, unit: 'MB', value: spool / 1e6 },
    {
      measure: `${name}: from its return until all was stored and the run closed`,
      unit: 's',
      value: caughtUp / 1000,
    },
  ];
}

function startLoad({ ports }: Stage) {
  let stopped = false;
  let [answered, refused] = [0, 0];
  const work = async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: ports.recorded,
      user: 'agent',
      database: 'postgres',
    });
    client.on('error', () => undefined);
    await client.connect();
    while (!stopped) {
      const began = performance.now();
      await client.query(`SELECT count(*) AS load_${answered} FROM ledger`).then(
        () => (answered += 1),
        () => (refused += 1),
      );
      await sleep(Math.max(0, 1000 / RATE - (performance.now() - began)));
    }
    await client.end();
  };
  const working = work();
  return {
    stop: async () => {
      stopped = true;
      await working;
      return { answered, refused };
    },
  };
}

async function largestSpool(sidecar: Sidecar, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let largest = 0;
  while (performance.now() < end) {
    largest = Math.max(largest, await sidecar.spool());
    await sleep(500);
  }
  return largest;
}

function publicKey({ plane }: Stage): string {
  return join(plane.folder, 'operator.pub');
}

/** Undefined while something is missing still. */
async function verify(stage: Stage): Promise<{ readonly bad: number } | undefined> {
  const key = publicKey(stage);
  const map = await stage.plane.kubectl([
    'get',
    'configmap',
    'sidewarden-recording-key',
    '-n',
    OPERATOR,
    '-o',
    'json',
  ]);
  await writeFile(key, textAt(JSON.parse(map), 'data', 'recording.ed25519.pub'));
  const { code, stdout } = await recordings(stage, ['verify', '--all', '--key', key]);
  // 3: unfinished.
  if (code === 3) return undefined;
  return {
    bad: code === 0 ? 0 : stdout.split('\n').filter((line) => /^(tampered|broken)/.test(line)).length || 1,
  };
}

async function recordedStatements(stage: Stage): Promise<number> {
  const { stdout } = await recordings(stage, [
    'export',
    'last',
    '--format',
    'jsonl',
    '--key',
    publicKey(stage),
  ]);
  return new Set(stdout.match(/AS load_\d+ /g) ?? []).size;
}

async function recordings(
  { store }: Stage,
  args: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string }> {
  const place = ['--store', `s3://${BUCKET}`, '--endpoint', store.endpoint, '--region', 'us-east-1'];
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: STORE_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: STORE_CREDENTIALS.secretAccessKey,
  };
  try {
    const options = { env, maxBuffer: 2 ** 30 };
    const { stdout } = await run(process.execPath, [bundlePath, 'recordings', ...args, ...place], options);
    return { code: 0, stdout };
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'number' && 'stdout' in error)
      return { code: error.code, stdout: String(error.stdout) };
    throw error;
  }
}
