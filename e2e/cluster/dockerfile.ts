/** Reads the few instructions of our own Dockerfiles, so that the images of the tests are those that the Dockerfiles make. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { root } from '../bundle.ts';
import type { Image, ImageEntry } from './image.ts';

type FromDockerfile = Required<Pick<Image, 'entries' | 'entrypoint' | 'user' | 'workdir'>>;

/**
 * What COPY, WORKDIR, USER and ENTRYPOINT say. FROM, ARG and RUN are left to the caller, who puts node and packages in. Throws at
 * any other instruction.
 */
export async function readDockerfile(name: string): Promise<FromDockerfile> {
  const image = { entries: [] as ImageEntry[], entrypoint: [] as string[], user: '', workdir: '/' };
  for (const line of (await readFile(join(root, name), 'utf8')).split('\n')) {
    const [, instruction = '', rest = ''] = /^(\w+) +(.*)$/.exec(line) ?? [];
    switch (instruction) {
      case 'COPY':
        image.entries.push(...copied(rest, image.workdir));
        break;
      case 'WORKDIR':
        image.workdir = rest;
        break;
      case 'USER':
        image.user = rest;
        break;
      case 'ENTRYPOINT':
        // The JSON form is the only one in our files.
        image.entrypoint = JSON.parse(rest) as string[];
        break;
      case 'ARG':
      case 'FROM':
      case 'RUN':
        break;
      default:
        if (line !== '' && !line.startsWith('#')) throw new Error(`${name}: ${line}`);
    }
  }
  return image;
}

function copied(rest: string, workdir: string): ImageEntry[] {
  const files = rest.split(' ');
  const target = join(workdir, files.pop() ?? '');
  return files.map((file) => ({
    kind: 'copy',
    path: join(target, basename(file)),
    from: join(root, file),
    mode: 0o644,
  }));
}
