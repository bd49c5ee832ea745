/**
 * Recordings in a directory: one folder a session. Names are made exclusively and never written again; what is read is
 * a plain file and never a link or a device, since a folder to verify may come from anywhere.
 */
import { constants, type Dirent } from 'node:fs';
import { mkdir, open, readdir, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { HEADER_FILE } from './documents.ts';
import { RecordingError } from './recording-error.ts';
import { isSessionId } from './session-id.ts';
import type { LiveSegment, RecordingStore } from './store.ts';
import { syncFolder, writeAll, writeWhole } from './write-whole.ts';

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CHUNK = 256 * 1024;
const FILE_NAME = /^[a-z0-9][a-z0-9.-]{0,63}$/;

export class DirectoryStore implements RecordingStore {
  readonly #root: string;

  /** `root` is made when the first session is. */
  constructor(root: string) {
    this.#root = root;
  }

  async sessions(): Promise<readonly string[]> {
    const found = await entries(this.#root);
    const names = found.filter((entry) => entry.isDirectory() && isSessionId(entry.name));
    return names.map((entry) => entry.name).sort();
  }

  async list(session: string): Promise<readonly string[]> {
    const found = await entries(this.#folder(session));
    return found.map((entry) => entry.name).sort();
  }

  async create(session: string, name: string): Promise<LiveSegment> {
    const path = this.#path(session, name);
    return guarded(`cannot make ${name}`, async () => {
      // To its end, wherever that is: what somebody cuts is then too short for good.
      return new LiveFile(await open(path, 'ax', 0o600), [this.#folder(session), this.#root]);
    });
  }

  async put(session: string, name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const path = this.#path(session, name);
    const folder = this.#folder(session);
    await guarded(`cannot write ${name}`, async () => {
      // Only by what comes first: a session whose files are gone does not go on in a new folder.
      if (name === HEADER_FILE) await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeWhole(path, content);
    });
  }

  async read(session: string, name: string, maximum: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    const file = await this.#open(session, name);
    return file === undefined ? undefined : chunks(file, name, maximum);
  }

  async size(session: string, name: string): Promise<number | undefined> {
    const file = await this.#open(session, name);
    if (file === undefined) return undefined;
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }

  async remove(session: string, name: string): Promise<void> {
    await guarded(`cannot remove ${name}`, () => unlink(join(this.#folder(session), safe(name))));
  }

  /** Removes the folder of a session that has nothing in it any more. */
  async removeEmpty(session: string): Promise<void> {
    await guarded('cannot remove the folder', () => rmdir(this.#folder(session)));
  }

  async #open(session: string, name: string): Promise<FileHandle | undefined> {
    return guarded(`cannot read ${name}`, async () => {
      let file: FileHandle;
      try {
        file = await open(this.#path(session, name), READ_FLAGS);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        if (codeOf(error) === 'ELOOP') throw new RecordingError('format', `${name} is a link`);
        throw error;
      }
      if ((await file.stat()).isFile()) return file;
      await file.close();
      throw new RecordingError('format', `${name} is not a plain file`);
    });
  }

  #folder(session: string): string {
    if (!isSessionId(session)) throw new RecordingError('format', 'not a session id');
    return join(this.#root, session);
  }

  #path(session: string, name: string): string {
    return join(this.#folder(session), safe(name));
  }
}

class LiveFile implements LiveSegment {
  readonly #file: FileHandle;
  #bytes = 0;
  #unsyncedFolders: readonly string[];

  constructor(file: FileHandle, folders: readonly string[]) {
    this.#file = file;
    this.#unsyncedFolders = folders;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await guarded('cannot write the segment', () => writeAll(this.#file, bytes));
    this.#bytes += bytes.length;
  }

  async sync(): Promise<void> {
    await guarded('cannot sync the segment', async () => {
      const bytes = this.#bytes;
      // At the same time: what is synced and has no name any more, or was cut, is as good as lost.
      const [{ nlink, size }] = await Promise.all([this.#file.stat(), this.#file.datasync()]);
      if (size < bytes) throw new RecordingError('store', 'the segment was cut');
      if (nlink === 0) throw new RecordingError('store', 'the segment was deleted');
      const folders = this.#unsyncedFolders;
      for (const folder of folders) await syncFolder(folder);
      this.#unsyncedFolders = [];
    });
  }

  async close(): Promise<void> {
    await guarded('cannot close the segment', () => this.#file.close());
  }
}

async function* chunks(file: FileHandle, name: string, maximum: number): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    while (true) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null);
      if (bytesRead === 0) return;
      total += bytesRead;
      if (total > maximum) throw new RecordingError('format', `${name} is larger than ${maximum} bytes`);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function entries(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw new RecordingError('store', `cannot read ${folder}`, error);
  }
}

function safe(name: string): string {
  if (!FILE_NAME.test(name)) throw new RecordingError('format', 'not a name of a recording’s file');
  return name;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** Errors of the system become ours. */
async function guarded<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof RecordingError) throw error;
    if (codeOf(error) === 'EEXIST') throw new RecordingError('exists', `${what}: it is there already`, error);
    throw new RecordingError(
      'store',
      `${what}: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}
