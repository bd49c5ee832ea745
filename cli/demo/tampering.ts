/** Somebody who can write to a copy of a recording changes one byte of it, and leaves all else as it was. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Changes `before` into `after`, which differ in one byte, at the first place in the only session of `recordings`. Gives the event's number. */
export async function tamper(
  recordings: string,
  copy: string,
  before: string,
  after: string,
): Promise<number> {
  await cp(recordings, copy, { recursive: true });
  const [session = ''] = await readdir(copy);
  for (const name of (await readdir(join(copy, session))).sort()) {
    if (!name.endsWith('.jsonl.zst')) continue;
    const path = join(copy, session, name);
    const lines = (await decompress(await readFile(path))).toString('utf8').split('\n');
    const at = lines.findIndex((line) => line.includes(before));
    const line = lines[at];
    if (line === undefined) continue;
    lines[at] = line.replace(before, after);
    await writeFile(path, await compress(Buffer.from(lines.join('\n'))));
    return numberOf(line);
  }
  throw new Error(`no event of the recording holds ${before}`);
}

function numberOf(line: string): number {
  const event: unknown = JSON.parse(line);
  const number: unknown = typeof event === 'object' && event !== null ? Reflect.get(event, 'n') : undefined;
  if (typeof number !== 'number') throw new Error('an event of the recording has no number');
  return number;
}
