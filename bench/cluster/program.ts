/** A program of ours as its image starts it: the Dockerfile's own command, on this machine's Node and `dist/`. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { root } from '../../e2e/bundle.ts';
import { readDockerfile } from '../../e2e/cluster/dockerfile.ts';

export interface Program {
  readonly pid: number;
  /** Milliseconds, `performance.now()`. */
  readonly startedAt: number;
  readonly running: boolean;
  log(): Promise<string>;
  /** SIGTERM, SIGKILL after half a minute; returns when it has ended. */
  stop(): Promise<void>;
}

async function commandOf(dockerfile: string): Promise<readonly string[]> {
  const { entrypoint } = await readDockerfile(dockerfile);
  return entrypoint.map((word) => {
    if (word === '/usr/local/bin/node') return process.execPath;
    return word.startsWith('/app/') ? join(root, 'dist', basename(word)) : word;
  });
}

export async function startProgram(
  dockerfile: string,
  env: Readonly<Record<string, string>>,
  logFile: string,
): Promise<Program> {
  const [command = '', ...args] = await commandOf(dockerfile);
  const log = openSync(logFile, 'a');
  const startedAt = performance.now();
  // As in a container: nothing of this machine's environment.
  const child = spawn(command, args, { env, stdio: ['ignore', log, log] });
  closeSync(log);
  const ended = new Promise<void>((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} could not be started`);
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    pid,
    startedAt,
    get running() {
      return running();
    },
    log: () => readFile(logFile, 'utf8'),
    stop: async () => {
      if (!running()) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
      await ended;
      clearTimeout(late);
    },
  };
}
