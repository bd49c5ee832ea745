/** A lock between processes: a folder that only one can make, with the owner's process id in it. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits as long as a living process holds the lock. */
export async function withLock<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
  while (!(await take(folder))) await sleep(100);
  try {
    return await work();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function take(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
  } catch {
    if (await isAbandoned(folder)) await rm(folder, { recursive: true, force: true });
    return false;
  }
  await writeFile(join(folder, 'pid'), String(process.pid));
  return true;
}

async function isAbandoned(folder: string): Promise<boolean> {
  try {
    return !isAlive(Number(await readFile(join(folder, 'pid'), 'utf8')));
  } catch {
    // Its owner is about to write the file, or was killed before it could.
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
    return Date.now() - mtimeMs > 30_000;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
