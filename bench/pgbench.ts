/** Loads from pgbench, with scripts of our own. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Contender } from './contender.ts';
import { POINTS } from './database.ts';

const run = promisify(execFile);

export interface Load {
  readonly mode: 'prepared' | 'simple';
  /** `unique`: no two texts are equal, so that nothing can be cached by text. */
  readonly script: 'point' | 'unique';
  readonly clients: number;
}

export interface LoadResult {
  /** Average milliseconds a transaction. */
  readonly latency: number;
  /** Transactions a second, without the time to connect. */
  readonly throughput: number;
}

const scripts: Readonly<Record<Load['script'], string>> = {
  // A thousand texts in the simple protocol: an application's usual few, not one.
  point: `\\set id random(1, 1000)\nselect id, name, balance from points where id = :id;\n`,
  unique: `\\set id random(1, ${POINTS})\n\\set a random(1, 1000000000)\n\\set b random(1, 1000000000)
select id, name, balance from points where id = :id and balance <> -:b /* trace :a */;\n`,
};

export interface LoadScripts {
  readonly path: (script: Load['script']) => string;
  readonly remove: () => Promise<void>;
}

export async function writeScripts(): Promise<LoadScripts> {
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-bench-'));
  const path = (script: Load['script']) => join(directory, `${script}.sql`);
  await writeFile(path('point'), scripts.point);
  await writeFile(path('unique'), scripts.unique);
  return { path, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** Throws with pgbench's own words when a transaction fails. */
export async function runLoad(
  program: string,
  script: string,
  contender: Contender,
  load: Load,
  seconds: number,
): Promise<LoadResult> {
  const where = ['-h', contender.host, '-p', String(contender.port), '-U', contender.user];
  const how = [
    '-n',
    '-M',
    load.mode,
    '-c',
    String(load.clients),
    '-j',
    '1',
    '-T',
    String(seconds),
    '-f',
    script,
  ];
  const env = { PATH: process.env['PATH'] ?? '', PGSSLMODE: 'disable', LC_ALL: 'C' };
  const args = [...where, ...how, contender.database];
  const { stdout, stderr } = await run(program, args, { env, timeout: (seconds + 30) * 1000 });
  return parse(stdout, stderr, load.clients);
}

function parse(stdout: string, stderr: string, clients: number): LoadResult {
  const throughput = /^tps = ([\d.]+) \(without initial connection time\)/m.exec(stdout)?.[1];
  const failed = /^number of failed transactions: (\d+)/m.exec(stdout)?.[1] ?? '0';
  if (throughput === undefined || failed !== '0') {
    throw new Error(`pgbench: ${stdout}\n${stderr}`);
  }
  // pgbench's own average is computed just so, but printed in whole microseconds.
  return { latency: (clients * 1000) / Number(throughput), throughput: Number(throughput) };
}
