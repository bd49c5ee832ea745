/** What the numbers were taken on: they mean nothing without it. */
import { execFile } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../e2e/bundle.ts';
import { embeddedBinaries } from '../e2e/postgres.ts';
import type { Tools } from './requirement.ts';

const run = promisify(execFile);

async function firstLine(command: string, ...args: string[]): Promise<string> {
  try {
    return ((await run(command, args, { cwd: root })).stdout.split('\n')[0] ?? '').trim();
  } catch {
    return 'unknown';
  }
}

/** One line: processor, memory, kernel, versions (of the tools where they were used), and the commit that was measured. */
export async function describeMachine(tools?: Tools): Promise<string> {
  const processors = cpus();
  const postgres = await firstLine(join(embeddedBinaries(), 'postgres'), '--version');
  const commit = await firstLine('git', 'describe', '--always', '--dirty');
  return [
    `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Linux ${release()}`,
    `Node ${process.versions.node}`,
    postgres,
    ...(tools ? [tools.pgbouncerVersion, tools.pgbenchVersion] : []),
    `Sidewarden ${commit}`,
  ].join(', ');
}
