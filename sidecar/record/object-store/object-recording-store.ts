/** Recordings in a bucket, for reading: every recording below a prefix, wherever its session's folder is. */
import { RecordingError } from '../recording-error.ts';
import type { LiveSegment, RecordingStore } from '../store.ts';
import type { Bucket } from './bucket.ts';
import { parseRecordingKey, SESSION_FILE } from './keys.ts';
import { StoreError } from './store-error.ts';

interface Place {
  /** The session's folder, with a slash at its end. */
  readonly folder: string;
  /** Bytes by file. */
  readonly files: Map<string, number>;
}

/** Failures are `RecordingError`s, code `store`. What is in the bucket is listed when it is opened, and what seems wrong once more. */
export class ObjectRecordingStore implements RecordingStore {
  readonly #bucket: Bucket;
  readonly #recordings = new Map<string, Place>();
  /** Folders of sessions whose list is there. */
  readonly #lists = new Set<string>();

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** `prefix` without a slash at its end; `seen` is told now and then how many objects were listed. */
  static async open(
    bucket: Bucket,
    prefix: string,
    seen?: (objects: number) => void,
  ): Promise<ObjectRecordingStore> {
    const store = new ObjectRecordingStore(bucket);
    await store.#take(prefix === '' ? '' : `${prefix}/`, seen);
    return store;
  }

  /**
   * Takes up what came since the recording was listed: a listing has many pages, and what arrives meanwhile may stand on one that is
   * past, and what was stored after it on one that is to come. What was seen once stays: if it is gone now, that is found.
   */
  async relist(recording: string): Promise<void> {
    const folder = this.folderOf(recording);
    if (folder !== undefined) await this.#take(`${folder}${recording}/`);
  }

  /** The same of all of a session's recordings. */
  async relistFolder(folder: string): Promise<void> {
    await this.#take(folder);
  }

  sessions(): Promise<readonly string[]> {
    return Promise.resolve([...this.#recordings.keys()].sort());
  }

  list(recording: string): Promise<readonly string[]> {
    return Promise.resolve([...(this.#recordings.get(recording)?.files.keys() ?? [])].sort());
  }

  size(recording: string, name: string): Promise<number | undefined> {
    return Promise.resolve(this.#recordings.get(recording)?.files.get(name));
  }

  async read(
    recording: string,
    name: string,
    maximum: number,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const place = this.#recordings.get(recording);
    if (place?.files.has(name) !== true) return undefined;
    const content = await guarded(() => this.#bucket.read(`${place.folder}${recording}/${name}`));
    return content && capped(content, name, maximum);
  }

  /** The session's folder that a recording lies in. */
  folderOf(recording: string): string | undefined {
    return this.#recordings.get(recording)?.folder;
  }

  /** Folders of all sessions, and which recordings lie in each. */
  folders(): ReadonlyMap<string, readonly string[]> {
    const folders = new Map<string, string[]>([...this.#lists].map((folder) => [folder, []]));
    for (const [recording, { folder }] of this.#recordings) {
      const known = folders.get(folder);
      if (known === undefined) folders.set(folder, [recording]);
      else known.push(recording);
    }
    return folders;
  }

  /** The signed list of a session's recordings; undefined when there is none yet. */
  async readList(folder: string, maximum: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (!this.#lists.has(folder)) return undefined;
    const content = await guarded(() => this.#bucket.read(`${folder}${SESSION_FILE}`));
    return content && capped(content, SESSION_FILE, maximum);
  }

  /** An object of a session that has an earlier version, or was deleted; undefined when there is none or the store keeps none. */
  async rewritten(folder: string): Promise<string | undefined> {
    const seen = new Set<string>();
    try {
      for await (const { key, kind } of this.#bucket.versions(folder)) {
        if (kind === 'deletion' || seen.has(key)) return key.slice(folder.length);
        seen.add(key);
      }
      return undefined;
    } catch (error) {
      // Who may only read, or a store without versions: the rest of the check stands without this.
      if (error instanceof StoreError && error.code === 'misconfigured') return undefined;
      throw asRecordingError(error);
    }
  }

  async #take(prefix: string, seen?: (objects: number) => void): Promise<void> {
    let objects = 0;
    await guarded(async () => {
      for await (const { key, bytes } of this.#bucket.list(prefix)) {
        objects++;
        if (objects % 1000 === 0) seen?.(objects);
        if (key.endsWith(`/${SESSION_FILE}`)) this.#lists.add(key.slice(0, -SESSION_FILE.length));
        take(this.#recordings, key, bytes);
      }
    });
  }

  create(): Promise<LiveSegment> {
    return Promise.reject(readOnly());
  }

  put(): Promise<void> {
    return Promise.reject(readOnly());
  }

  remove(): Promise<void> {
    return Promise.reject(readOnly());
  }
}

function take(recordings: Map<string, Place>, key: string, bytes: number): void {
  const parsed = parseRecordingKey(key);
  if (parsed === undefined) return;
  const { folder, recording, file } = parsed;
  let place = recordings.get(recording);
  if (place === undefined) recordings.set(recording, (place = { folder, files: new Map<string, number>() }));
  // Ids are not guessed: one in two sessions was copied there.
  if (place.folder !== folder)
    throw new RecordingError(
      'format',
      `recording ${recording} lies in two sessions: ${place.folder} and ${folder}`,
    );
  place.files.set(file, bytes);
}

async function* capped(
  content: AsyncIterable<Uint8Array>,
  name: string,
  maximum: number,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  const parts = content[Symbol.asyncIterator]();
  try {
    for (;;) {
      const part = await guarded(() => parts.next());
      if (part.done === true) return;
      total += part.value.length;
      if (total > maximum) throw new RecordingError('format', `${name} is larger than ${maximum} bytes`);
      yield part.value;
    }
  } finally {
    await parts.return?.();
  }
}

async function guarded<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw asRecordingError(error);
  }
}

function asRecordingError(error: unknown): unknown {
  return error instanceof StoreError ? new RecordingError('store', error.message, error) : error;
}

function readOnly(): RecordingError {
  return new RecordingError('store', 'recordings in a bucket are only read');
}
