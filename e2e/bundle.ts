/** The bundle that tests and bench run, built again when a source is newer than it. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const root = dirname(import.meta.dirname);
export const bundlePath = join(root, 'dist', 'sidewarden.mjs');
const lock = join(root, '.cache', 'build.lock');

async function modified(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return 0;
  }
}

async function newestSource(): Promise<number> {
  const files = [join(root, 'build.ts'), join(root, 'package-lock.json')];
  for (const room of ['cli', 'crds', 'operator', 'sidecar']) {
    const entries = await readdir(join(root, room), { recursive: true });
    files.push(
      ...entries.filter((name) => /(?<!\.test)\.ts$/.test(name)).map((name) => join(root, room, name)),
    );
  }
  return Math.max(...(await Promise.all(files.map(modified))));
}

async function isFresh(): Promise<boolean> {
  return (await modified(bundlePath)) > (await newestSource());
}

/** Test files run as processes of their own: a folder is the lock, so that one of them builds and the rest wait. */
export async function ensureBundle(): Promise<void> {
  if (await isFresh()) return;
  await mkdir(dirname(lock), { recursive: true });
  while (!(await takeLock())) await sleep(50);
  try {
    if (!(await isFresh())) await build();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function build(): Promise<void> {
  try {
    await run(process.execPath, ['build.ts'], { cwd: root });
  } catch (error) {
    const words = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    throw new Error(`the bundle could not be built:\n${words}`, { cause: error });
  }
}

async function takeLock(): Promise<boolean> {
  try {
    await mkdir(lock);
    return true;
  } catch {
    // A builder that was killed leaves its lock; no build takes a minute.
    const taken = await modified(lock);
    if (taken > 0 && Date.now() - taken > 60_000) await rm(lock, { recursive: true, force: true });
    return false;
  }
}
