/** Files that are there as a whole or not at all, whenever the process or the machine stops. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RecordingError } from './recording-error.ts';

/** What an interrupted `writeWhole` leaves begins so. */
export const DRAFT = 'draft-';

/** On disk when it resolves, with mode 0600 unless told. Rejects with `EEXIST` when there is one by this name. */
export async function writeWhole(
  path: string,
  content: AsyncIterable<Uint8Array>,
  mode = 0o600,
): Promise<void> {
  const folder = dirname(path);
  // Complete under another name first: what has the right name is whole.
  const draft = join(folder, `${DRAFT}${randomBytes(8).toString('hex')}`);
  try {
    await writeFile(draft, content, mode);
    await link(draft, path);
  } finally {
    await unlink(draft).catch(() => undefined);
  }
  await syncFolder(folder);
}

async function writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    for await (const part of content) await writeAll(file, part);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let from = 0;
  while (from < bytes.length) {
    const { bytesWritten } = await file.write(bytes, from, bytes.length - from, null);
    if (bytesWritten === 0) throw new RecordingError('store', 'nothing more can be written');
    from += bytesWritten;
  }
}

/** Makes the names in it outlast a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
