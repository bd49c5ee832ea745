/** Programs of this machine with the shared libraries that they load, as entries of an image. */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { toolEnvironment } from './binaries.ts';
import type { ImageEntry } from './image.ts';

const run = promisify(execFile);

/** Programs by name, put into `/usr/bin`, and their libraries. Throws when one is not on this machine. */
export async function programsOfMachine(names: readonly string[]): Promise<ImageEntry[]> {
  const files = names.map((name) => [name, findProgram(name)] as const);
  return [
    ...files.map(([name, from]): ImageEntry => ({
      kind: 'copy',
      path: `/usr/bin/${name}`,
      from,
      mode: 0o755,
    })),
    ...(await librariesOf(files.map(([, from]) => from))),
  ];
}

/** What the dynamic linker would load for these files, at the paths where it looks. Those beside the programs are left out. */
export async function librariesOf(files: readonly string[]): Promise<ImageEntry[]> {
  const paths = new Set<string>();
  for (const file of files) {
    // A static program has none, and ldd says so by its exit code.
    const { stdout } = await run('ldd', [realpathSync(file)]).catch(() => ({ stdout: '' }));
    for (const [, path = ''] of stdout.matchAll(/(\/\S+) \(0x/g))
      if (/^\/(usr\/)?lib/.test(path)) paths.add(path);
  }
  return [...paths].map((path) => ({ kind: 'copy', path, from: path, mode: 0o755 }));
}

/** The file that the name stands for, links followed. */
export function findProgram(name: string): string {
  const folders = toolEnvironment.PATH.split(delimiter);
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found === undefined) throw new Error(`${basename(name)} is not on this machine`);
  return realpathSync(found);
}
