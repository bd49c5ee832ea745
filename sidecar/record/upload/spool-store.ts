/** The folder that a sidecar records into: a cap on its bytes, and word of each file that is finished. */
import type { DirectoryStore } from '../directory-store.ts';
import { observed } from '../parts.ts';
import { RecordingError } from '../recording-error.ts';
import type { LiveSegment, RecordingStore } from '../store.ts';
import { SpoolUsage } from './spool-usage.ts';

/** Above the cap, strict sessions refuse; this much more is for what is under way, and for batched ones. Then nothing is written. */
const RESERVE = 1.25;

export class SpoolStore implements RecordingStore {
  readonly usage = new SpoolUsage();
  readonly #folder: DirectoryStore;
  readonly #capacity: number;
  readonly #finished: (session: string, name: string) => void;

  /** `capacity` in bytes; `finished` is called when a file is whole and on disk. */
  constructor(folder: DirectoryStore, capacity: number, finished: (session: string, name: string) => void) {
    this.#folder = folder;
    this.#capacity = capacity;
    this.#finished = finished;
  }

  get full(): boolean {
    return this.usage.total >= this.#capacity;
  }

  sessions(): Promise<readonly string[]> {
    return this.#folder.sessions();
  }

  list(session: string): Promise<readonly string[]> {
    return this.#folder.list(session);
  }

  async create(session: string, name: string): Promise<LiveSegment> {
    this.#room(0);
    const live = await this.#folder.create(session, name);
    return {
      write: (bytes) => {
        this.#room(bytes.length);
        this.usage.add(session, name, bytes.length);
        return live.write(bytes);
      },
      sync: () => live.sync(),
      close: () => live.close(),
    };
  }

  async put(session: string, name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    let bytes = 0;
    const counted = (part: Uint8Array) => {
      this.#room(part.length);
      bytes += part.length;
    };
    await this.#folder.put(session, name, observed(content, counted));
    this.usage.add(session, name, bytes);
    this.#finished(session, name);
  }

  read(session: string, name: string, maximum: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#folder.read(session, name, maximum);
  }

  size(session: string, name: string): Promise<number | undefined> {
    return this.#folder.size(session, name);
  }

  async remove(session: string, name: string): Promise<void> {
    await this.#folder.remove(session, name);
    this.usage.remove(session, name);
  }

  #room(bytes: number): void {
    if (this.usage.total + bytes > this.#capacity * RESERVE)
      throw new RecordingError('store', 'there is no room for recordings: the object store is away');
  }
}
