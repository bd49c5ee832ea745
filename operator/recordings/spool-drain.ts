/** Brings what lies in the spool into the store, again and again until all is there. */
import type { Logger } from 'pino';
import type { Bucket } from '../../sidecar/record/object-store/bucket.ts';
import { StoreError } from '../../sidecar/record/object-store/store-error.ts';
import { RecordingsError } from './recordings-error.ts';
import type { Spool, SpooledFile } from './spool.ts';

/** Milliseconds between rounds while the store is away, doubled from the first to the last. */
const FIRST_WAIT = 1_000;
const LAST_WAIT = 30_000;

type Target = (file: SpooledFile) => Promise<{ readonly bucket: Bucket; readonly key: string }>;

export class SpoolDrain {
  readonly #spool: Spool;
  readonly #target: Target;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #again = false;
  #wait = FIRST_WAIT;

  constructor(spool: Spool, target: Target, log: Logger) {
    this.#spool = spool;
    this.#target = target;
    this.#log = log;
  }

  /** There may be something to bring; while a wait is on, nothing happens before its end. */
  wake(): void {
    if (this.#stop.signal.aborted || this.#timer !== undefined) return;
    this.#again = true;
    this.#round ??= this.#rounds().finally(() => {
      this.#round = undefined;
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#round;
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false;
      if (await this.#bringAll()) {
        this.#wait = FIRST_WAIT;
        continue;
      }
      this.#later();
      return;
    }
  }

  #later(): void {
    if (this.#stop.signal.aborted) return;
    const wait = this.#wait * (0.5 + Math.random() / 2);
    this.#wait = Math.min(this.#wait * 2, LAST_WAIT);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.wake();
    }, wait).unref();
  }

  /** Whether nothing is left. One store that is away does not keep files from others. */
  async #bringAll(): Promise<boolean> {
    const away = new Set<Bucket | string>();
    let failures = 0;
    const files = await this.#files();
    if (files === undefined) return false;
    for (const file of files) {
      if (this.#stop.signal.aborted) return true;
      failures += (await this.#bring(file, away)) ? 0 : 1;
    }
    return failures === 0;
  }

  /** Undefined when they cannot be told. */
  async #files(): Promise<readonly SpooledFile[] | undefined> {
    try {
      return await this.#spool.files();
    } catch (error) {
      this.#log.error({ err: error }, 'the spool of recordings cannot be read');
      return undefined;
    }
  }

  async #bring(file: SpooledFile, away: Set<Bucket | string>): Promise<boolean> {
    const connection = `${file.owner.namespace}/${file.owner.connection}`;
    if (away.has(connection)) return false;
    try {
      const { bucket, key } = await this.#target(file);
      if (away.has(bucket)) return false;
      await this.#put(file, bucket, key, away);
      return true;
    } catch (error) {
      away.add(connection);
      const told = error instanceof RecordingsError || error instanceof StoreError;
      if (told) this.#log.warn({ connection, reason: error.message }, 'a recording waits for its store');
      else this.#log.error({ err: error, connection }, 'a recording cannot be brought to its store');
      return false;
    }
  }

  async #put(file: SpooledFile, bucket: Bucket, key: string, away: Set<Bucket | string>): Promise<void> {
    const facts = await this.#spool.facts(file);
    try {
      const outcome = await bucket.put(key, facts, this.#spool.read(file), this.#stop.signal);
      if (outcome === 'exists' && (await bucket.holds(key, facts)) !== true) {
        const ours = (await this.#spool.setAside(file))
          ? 'is set aside in the spool'
          : 'is removed: one of this name is set aside already, or too much is';
        this.#log.error(
          { key, ...facts },
          `the store has ANOTHER file where a recording belongs; ours ${ours}`,
        );
        return;
      }
    } catch (error) {
      away.add(bucket);
      throw error;
    }
    await this.#spool.remove(file);
  }
}
