/** Folders under the temporary one, each named after the process it belongs to: leftovers of crashed runs show and are removed. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './lock.ts';

/** Removes what dead processes left under this name, and makes a new folder. */
export async function makeStateFolder(name: string): Promise<string> {
  await mkdir(tmpdir(), { recursive: true });
  for (const folder of await abandonedFolders(name)) await rm(folder, { recursive: true, force: true });
  return mkdtemp(join(tmpdir(), `${name}-${process.pid}-`));
}

async function abandonedFolders(name: string): Promise<string[]> {
  const pattern = new RegExp(`^${name}-(\\d+)-\\w+$`);
  return (await readdir(tmpdir()))
    .filter((entry) => {
      const owner = pattern.exec(entry)?.[1];
      return owner !== undefined && !isAlive(Number(owner));
    })
    .map((entry) => join(tmpdir(), entry));
}
