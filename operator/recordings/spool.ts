/**
 * Files that sidecars handed over while the store was away: on the operator's own disk until the store has them. Each lies at
 * `<namespace>/<connection>/<session>/<recording>/<file>`, whole and synced under that name, so that a restart takes up what is there.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, mkdir, open, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { FileFacts } from '../../sidecar/record/object-store/bucket.ts';
import { uploadOrder } from '../../sidecar/record/object-store/keys.ts';
import { observed } from '../../sidecar/record/parts.ts';
import { syncFolder } from '../../sidecar/record/write-whole.ts';
import { Shares } from '../shares.ts';
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
/** Of the capacity: what one session may have here; and, beside that, what of all sessions is set aside. */
const SHARE = 1 / 8;
/** No session's name. */
const ASIDE = '';

export class Spool {
  readonly #root: string;
  readonly #share: number;
  /** Bytes by session, and those set aside. */
  readonly #held: Shares;

  /** `capacity` in bytes. */
  constructor(root: string, capacity: number) {
    this.#root = root;
    this.#share = capacity * SHARE;
    this.#held = new Shares({ whole: capacity, each: this.#share });
  }

  /** Bytes on disk, conflicts included. */
  get bytes(): number {
    return this.#held.held;
  }

  /** Takes up what an earlier run left. */
  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    for (const path of await this.#paths()) {
      const [namespace = '', connection = '', session = ''] = path.split(sep);
      const name = path.split(sep).at(-1) ?? '';
      if (name.startsWith(DRAFT)) {
        await unlink(join(this.#root, path));
        continue;
      }
      const account = name.endsWith(CONFLICT) ? ASIDE : accountOf({ namespace, connection, session });
      this.#held.add(account, (await stat(join(this.#root, path))).size);
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
    const account = accountOf(file.owner);
    if (!this.#held.fits(account, facts.bytes)) throw noRoom();
    const path = this.#path(file);
    // As it comes: what was only announced takes nobody's place, and many at once stay under the cap as well.
    let taken = 0;
    const take = ({ length }: Uint8Array) => {
      if (!this.#held.take(account, length)) throw noRoom();
      taken += length;
    };
    let kept = false;
    try {
      kept = await this.#write(path, facts, observed(content, take));
    } finally {
      if (!kept) this.#held.give(account, taken);
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
    this.#held.give(accountOf(file.owner), size);
    // Folders go when they are empty, up to the root.
    for (let folder = dirname(path); folder !== this.#root; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
    }
  }

  /**
   * The store has another file under this name: the first such is kept aside as long as there is room for it, and the session has its
   * share back. False when it is removed.
   */
  async setAside(file: SpooledFile): Promise<boolean> {
    const path = this.#path(file);
    const aside = `${path}${CONFLICT}`;
    const { size } = await stat(path);
    if ((await isThere(aside)) || this.#held.of(ASIDE) + size > this.#share) {
      await this.remove(file);
      return false;
    }
    await rename(path, aside);
    this.#held.give(accountOf(file.owner), size);
    this.#held.add(ASIDE, size);
    return true;
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

function accountOf({ namespace, connection, session }: RecordingOwner): string {
  return `${namespace}/${connection}/${session}`;
}

function noRoom(): RecordingsError {
  return new RecordingsError(
    'unavailable',
    'the operator has no more room for recordings of this session: the store is away',
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
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
    // One that is not there any more went with its last file, which the store has by now.
    await syncFolder(folder).catch((error: unknown) => {
      if (!hasCode(error, 'ENOENT')) throw error;
    });
    if (folder === root) return;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
