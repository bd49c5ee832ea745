/**
 * Files that sidecars handed over while the store was away: on the operator's own disk until the store has them. Each lies at
 * `<namespace>/<connection>/<session>/<recording>/<file>`, whole and synced under that name, so that a restart takes up what is there.
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { link, mkdir, open, readdir, rename, rmdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { FileFacts } from '../../sidecar/record/object-store/bucket.ts';
import { uploadOrder } from '../../sidecar/record/object-store/keys.ts';
import { RecordingsError } from './recordings-error.ts';
import type { RecordingOwner } from './recordings.ts';

export interface SpooledFile {
  readonly owner: RecordingOwner;
  readonly recording: string;
  readonly file: string;
}

const DRAFT = '.draft-';
/** Of a file that the store has with other bytes: kept for a person. */
const CONFLICT = '.conflict';

export class Spool {
  readonly #root: string;
  readonly #capacity: number;
  #bytes = 0;

  /** `capacity` in bytes. */
  constructor(root: string, capacity: number) {
    this.#root = root;
    this.#capacity = capacity;
  }

  /** Bytes on disk, conflicts included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes up what an earlier run left. */
  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    this.#bytes = 0;
    for (const path of await this.#paths()) {
      const name = path.split(sep).at(-1) ?? '';
      if (name.startsWith(DRAFT)) await unlink(join(this.#root, path));
      else this.#bytes += (await stat(join(this.#root, path))).size;
    }
  }

  /** All that waits, each recording's files in the order in which they belong into the store. */
  async files(): Promise<readonly SpooledFile[]> {
    const files = (await this.#paths()).flatMap((path) => {
      const [namespace, connection, session, recording, file, more] = path.split(sep);
      if (!namespace || !connection || !session || !recording || !file || more !== undefined) return [];
      if (file.startsWith(DRAFT) || file.endsWith(CONFLICT)) return [];
      return [{ owner: { namespace, connection, session }, recording, file }];
    });
    const folder = ({ owner, recording }: SpooledFile) =>
      [owner.namespace, owner.connection, owner.session, recording].join('/');
    return files.sort((a, b) => folder(a).localeCompare(folder(b)) || uploadOrder(a.file, b.file));
  }

  /** Resolves when it is on disk. Code `unavailable` when there is no room, `invalid` when it is not what it says it is. */
  async put(file: SpooledFile, facts: FileFacts, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#bytes + facts.bytes > this.#capacity)
      throw new RecordingsError(
        'unavailable',
        'the operator has no more room for recordings: the store is away',
      );
    const path = this.#path(file);
    // Taken before it is written, so that many at once stay under the cap as well.
    this.#bytes += facts.bytes;
    let kept = false;
    try {
      kept = await this.#write(path, facts, content);
    } finally {
      if (!kept) this.#bytes -= facts.bytes;
    }
    // From here on it counts until it is removed, whatever becomes of this.
    if (kept) await syncFolders(dirname(path), this.#root);
  }

  /** Opens the file when it is read. */
  async *read(file: SpooledFile): AsyncGenerator<Uint8Array> {
    // A stream of a file without an encoding gives buffers.
    yield* createReadStream(this.#path(file)) as AsyncIterable<Buffer>;
  }

  async facts(file: SpooledFile): Promise<FileFacts> {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const part of this.read(file)) {
      hash.update(part);
      bytes += part.length;
    }
    return { bytes, digest: hash.digest('base64url') };
  }

  /** The store has it. */
  async remove(file: SpooledFile): Promise<void> {
    const path = this.#path(file);
    const { size } = await stat(path);
    await unlink(path);
    this.#bytes -= size;
    // Folders go when they are empty, up to the root.
    for (let folder = dirname(path); folder !== this.#root; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
    }
  }

  /** The store has another file under this name: kept aside. */
  async setAside(file: SpooledFile): Promise<void> {
    await rename(this.#path(file), `${this.#path(file)}${CONFLICT}`);
  }

  /** Not durable yet. False when the very same file is there already. */
  async #write(path: string, facts: FileFacts, content: AsyncIterable<Uint8Array>): Promise<boolean> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const draft = join(dirname(path), `${DRAFT}${randomBytes(8).toString('hex')}`);
    try {
      const written = await writeDraft(draft, facts.bytes, content);
      if (written.bytes !== facts.bytes || written.digest !== facts.digest)
        throw new RecordingsError('invalid', 'the file is not what its size and digest say');
      await link(draft, path);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      const there = await digestOf(path);
      if (there === facts.digest) return false;
      throw new RecordingsError('invalid', 'another file is kept under this name already', error);
    } finally {
      await unlink(draft).catch(() => undefined);
    }
    return true;
  }

  #path({ owner, recording, file }: SpooledFile): string {
    return join(this.#root, owner.namespace, owner.connection, owner.session, recording, file);
  }

  async #paths(): Promise<readonly string[]> {
    const entries = await readdir(this.#root, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.#root, join(entry.parentPath, entry.name)));
  }
}

async function writeDraft(
  path: string,
  maximum: number,
  content: AsyncIterable<Uint8Array>,
): Promise<FileFacts> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const part of content) {
      bytes += part.length;
      if (bytes > maximum) throw new RecordingsError('invalid', 'the file is longer than it says');
      hash.update(part);
      await file.writeFile(part);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { bytes, digest: hash.digest('base64url') };
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  // As above.
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>) hash.update(part);
  return hash.digest('base64url');
}

/** Names of new folders are on disk only when the folders that hold them are synced. */
async function syncFolders(from: string, root: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === root) return;
  }
}

/** One that is not there any more went with its last file, which the store has by now. */
async function syncFolder(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
