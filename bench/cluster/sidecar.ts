/** A real sidecar, as its image starts it and injection sets it up, for a run. */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../e2e/postgres.ts';
import { INJECTED_ENVIRONMENT } from '../../sidecar/injected.ts';
import { type Program, startProgram } from './program.ts';
import type { Run } from './run.ts';
import type { Stage } from './stage.ts';

export interface Sidecar extends Program {
  /** Milliseconds from the start of its process until it said that it is ready. */
  readonly readyIn: number;
  /** Bytes of recordings that wait on its disk. */
  spool(): Promise<number>;
}

const LIMIT = 30_000;

export async function startSidecar(stage: Stage, run: Run): Promise<Sidecar> {
  const folder = join(stage.plane.folder, `sidecar-${run.name}`);
  const spool = join(folder, 'spool');
  await mkdir(spool, { recursive: true });
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, run.token, { mode: 0o600 });
  const health = await freePort();
  const names = INJECTED_ENVIRONMENT;
  const program = await startProgram(
    'Dockerfile.sidecar',
    {
      [names.brokerUrl]: `https://localhost:${stage.replicas[0].broker}`,
      [names.brokerCa]: stage.ca,
      [names.tokenFile]: tokenFile,
      [names.spool]: spool,
      [names.podAddress]: '127.0.0.1',
      [names.healthPort]: String(health),
    },
    join(folder, 'log'),
  );
  const readyIn = await ready(program, health);
  return {
    pid: program.pid,
    startedAt: program.startedAt,
    get running() {
      return program.running;
    },
    log: () => program.log(),
    stop: () => program.stop(),
    readyIn,
    spool: () => size(spool),
  };
}

async function ready(program: Program, port: number): Promise<number> {
  while (performance.now() - program.startedAt < LIMIT && program.running) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return performance.now() - program.startedAt;
    await sleep(5);
  }
  const log = await program.log();
  await program.stop();
  throw new Error(`the sidecar did not get ready:\n${log}`);
}

async function size(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.map(async (entry) => {
    if (!entry.isFile()) return 0;
    // It may have been sent meanwhile.
    return stat(join(entry.parentPath, entry.name)).then(
      (found) => found.size,
      () => 0,
    );
  });
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}
