/**
 * Brings finished files of recordings from the sidecar's folder to the object store, and removes them here when they are there.
 *
 *     recorder ──► SpoolStore ──(finished)──► a queue a recording ──► seal, upload ──► store
 *                     ▲ full?                        ▲ what a crash left
 *
 * A recording's files go one after the other: header, each segment with its head, manifest. Of a recording that goes on, header and
 * heads stay here, so that the next start can seal it after a crash; with its manifest stored, all of it goes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Backoff } from '../../broker/backoff.ts';
import type { DirectoryStore } from '../directory-store.ts';
import { HEADER_FILE, MANIFEST_FILE, MAX_DOCUMENT, readHeader } from '../documents.ts';
import { once } from '../parts.ts';
import { readSegmentLines } from '../read.ts';
import { RecordingError } from '../recording-error.ts';
import { parseJson, parseSealed } from '../sealed.ts';
import { sentName, storedName } from '../segment.ts';
import { tallyLines, writeSent } from '../sent.ts';
import type { TrustedKey } from '../signer.ts';
import { readWhole, type RecordingStore } from '../store.ts';
import { Tally } from '../tally.ts';
import type { Uploads } from '../../uploads.ts';
import type { RecordingBroker } from './recording-broker.ts';
import { sendFile, type Sent } from './sending.ts';
import { Slots } from './slots.ts';
import { SpoolStore } from './spool-store.ts';
import { readyWith, segmentOf, UploadQueue } from './upload-queue.ts';

export interface UploaderOptions {
  readonly folder: DirectoryStore;
  /** The local key's public half. */
  readonly trusted: TrustedKey;
  readonly broker: RecordingBroker;
  readonly log: Logger;
  /** Bytes in the folder from which on strict sessions refuse operations; a quarter more is never exceeded. 256 MiB unless told. */
  readonly capacity?: number;
  /** Files sent at the same time; 4 unless told. */
  readonly concurrency?: number;
  /** Longest wait between two tries, in milliseconds; 10 s unless told. */
  readonly longestWait?: number;
}

/** Of a recording that is in the store as a whole: what is left here only waits to be removed. */
const DONE = 'sent.json';
const CAPACITY = 256 * 1024 * 1024;
const LONGEST_WAIT = 10_000;
/** Milliseconds without any progress after which a PUT is given up: in the normal course, and when the sidecar must end. */
const IDLE = 20_000;
const IDLE_AT_END = 2_000;

export class Uploader implements Uploads {
  /** To record into. */
  readonly store: RecordingStore;
  readonly #options: UploaderOptions;
  readonly #spool: SpoolStore;
  readonly #queues = new Map<string, UploadQueue>();
  readonly #connections = new Map<string, string>();
  /** Recordings whose connection names no store. */
  readonly #kept = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #slots: Slots;
  /** Ends waits between tries: the sidecar is to end. */
  readonly #ending = new AbortController();
  /** Ends everything. */
  readonly #stop = new AbortController();
  /** PUTs that are under way when the end begins, and do not get on. */
  readonly #puts = new AbortController();
  /** Files whose sending began before the end, and goes on. */
  #early = 0;
  /** At the end: the store did not take one, so that files go to the operator at once. */
  #storeAway = false;
  /** At the end: recordings of which no more can be sent. */
  readonly #givenUp = new Set<string>();
  #started = false;

  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#spool = new SpoolStore(options.folder, options.capacity ?? CAPACITY, (session, name) =>
      this.#finished(session, name),
    );
    this.#slots = new Slots(options.concurrency ?? 4);
    this.store = this.#spool;
  }

  /** Strict sessions refuse operations. */
  get full(): boolean {
    return this.#spool.full;
  }

  /** Bytes on disk here. */
  get spoolBytes(): number {
    return this.#spool.usage.total;
  }

  /** How long the oldest finished file has waited for the store, in milliseconds. */
  get lag(): number {
    const times = [...this.#queues.values()].flatMap(({ since }) => (since === undefined ? [] : [since]));
    return times.length === 0 ? 0 : performance.now() - Math.min(...times);
  }

  /** Finished files that are not in the store. */
  get waiting(): number {
    return [...this.#queues.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Nothing to do: a recording's header says which connection it is of. */
  session(): void {
    return undefined;
  }

  /** Takes up what an earlier run left; after `recoverRecordings` on the same folder, before any session. */
  async start(): Promise<void> {
    for (const recording of await this.#spool.sessions()) await this.#takeUp(recording);
    this.#started = true;
    for (const recording of this.#queues.keys()) this.#run(recording);
  }

  /**
   * After all recordings were closed: sends what is left, to the operator where the store does not take it, until the deadline
   * (`performance.now()`); what is left then is in the log, and in `waiting`.
   */
  async close(deadline: number): Promise<void> {
    this.#ending.abort();
    // A store that only hangs must not take the time that handing over needs.
    const patience = setTimeout(
      () => {
        this.#storeAway ||= this.#early > 0;
        this.#puts.abort();
      },
      Math.min(IDLE_AT_END, Math.max(0, deadline - performance.now()) / 3),
    );
    const end = setTimeout(() => this.#stop.abort(), Math.max(0, deadline - performance.now()));
    for (const recording of this.#queues.keys()) this.#run(recording);
    while (this.#running.size > 0) await Promise.all(this.#running.values());
    clearTimeout(patience);
    clearTimeout(end);
    this.#stop.abort();
    if (this.waiting > 0)
      this.#options.log.error({ files: this.waiting }, 'files of recordings are NOT in the store');
  }

  #finished(recording: string, file: string): void {
    const ready = readyWith(file);
    if (ready.length === 0 || this.#kept.has(recording)) return;
    this.#queueOf(recording).add(ready, performance.now());
    if (this.#started) this.#run(recording);
  }

  #queueOf(recording: string): UploadQueue {
    let queue = this.#queues.get(recording);
    if (queue === undefined) this.#queues.set(recording, (queue = new UploadQueue(recording)));
    return queue;
  }

  async #takeUp(recording: string): Promise<void> {
    const names = await this.#spool.list(recording);
    for (const name of names)
      this.#spool.usage.add(recording, name, (await this.#spool.size(recording, name)) ?? 0);
    if (names.includes(DONE)) return this.#removeAll(recording);
    if (!names.includes(HEADER_FILE)) {
      this.#options.log.error({ recording }, 'a recording without header stays where it is');
      return;
    }
    for (const name of names) {
      const segment = segmentOf(name);
      if (segment !== undefined && names.includes(sentName(segment))) {
        if (names.includes(storedName(segment))) await this.#spool.remove(recording, storedName(segment));
      } else this.#queueOf(recording).add(readyWith(name), performance.now());
    }
  }

  #run(recording: string): void {
    if (this.#running.has(recording) || this.#stop.signal.aborted) return;
    const queue = this.#queueOf(recording);
    const run = this.#drain(queue).finally(() => {
      this.#running.delete(recording);
      // What came between the last look and now.
      if (queue.first === undefined) this.#queues.delete(recording);
      else if (!this.#givenUp.has(recording)) this.#run(recording);
    });
    this.#running.set(recording, run);
  }

  async #drain(queue: UploadQueue): Promise<void> {
    const backoff = new Backoff(this.#options.longestWait ?? LONGEST_WAIT);
    for (let file = queue.first; file !== undefined && this.#goesOn(queue); file = queue.first) {
      const sent = await this.#slots.run(() => this.#send(queue.recording, file));
      if (sent.kind === 'safe') {
        backoff.reset();
        if (sent.with === 'operator') this.#storeAway = true;
        await this.#settle(queue, file);
      } else if (sent.kind === 'kept') {
        this.#kept.add(queue.recording);
        queue.clear();
      } else {
        await this.#failed(queue.recording, file, sent, backoff);
      }
    }
  }

  #goesOn({ recording }: UploadQueue): boolean {
    return !this.#stop.signal.aborted && !this.#givenUp.has(recording);
  }

  async #failed(
    recording: string,
    file: string,
    { kind, message }: Extract<Sent, { readonly message: string }>,
    backoff: Backoff,
  ): Promise<void> {
    const { log, longestWait = LONGEST_WAIT } = this.#options;
    if (this.#stop.signal.aborted) return;
    const ending = this.#ending.signal.aborted;
    if (kind === 'refused') {
      log.error({ recording, file, reason: message }, 'a file of a recording cannot be stored');
      if (ending) this.#givenUp.add(recording);
    } else log.warn({ recording, file, reason: message }, 'a file of a recording waits for its store');
    const wait = kind === 'refused' ? longestWait : backoff.next();
    const signal = ending ? this.#stop.signal : this.#ending.signal;
    await sleep(ending ? Math.min(wait, 200) : wait, undefined, { signal, ref: ending }).catch(
      () => undefined,
    );
  }

  /** A file is safe elsewhere: makes room here, in such an order that a crash at any moment loses nothing. */
  async #settle(queue: UploadQueue, file: string): Promise<void> {
    const { recording } = queue;
    const { folder, log } = this.#options;
    try {
      const segment = segmentOf(file);
      if (file === MANIFEST_FILE) {
        await folder.put(recording, DONE, once(Buffer.from('{}')));
        await this.#removeAll(recording);
      } else if (segment !== undefined && !queue.ends) {
        const tally = new Tally();
        await tallyLines(readSegmentLines(this.#spool, recording, segment), tally);
        await writeSent(folder, recording, segment, tally.counts());
        await this.#spool.remove(recording, storedName(segment));
      }
    } catch (error) {
      // It is stored: what stays here is sent again by the next start, and found to be there.
      log.error({ err: error, recording, file }, 'a stored file of a recording cannot be removed here');
    }
    queue.shift();
  }

  async #removeAll(recording: string): Promise<void> {
    for (const name of await this.#spool.list(recording))
      if (name !== DONE) await this.#spool.remove(recording, name);
    await this.#spool.remove(recording, DONE);
    await this.#options.folder.removeEmpty(recording);
    this.#connections.delete(recording);
  }

  /** `namespace/name`, as its header says. */
  async #connectionOf(recording: string): Promise<string> {
    let connection = this.#connections.get(recording);
    if (connection === undefined) {
      const bytes = await readWhole(this.#spool, recording, HEADER_FILE, MAX_DOCUMENT);
      if (bytes === undefined) throw new RecordingError('format', 'the header is gone');
      const header = readHeader(parseJson(parseSealed(bytes, HEADER_FILE).payload, HEADER_FILE), '');
      connection = `${header.connection.namespace}/${header.connection.name}`;
      this.#connections.set(recording, connection);
    }
    return connection;
  }

  async #send(recording: string, file: string): Promise<Sent> {
    const ending = this.#ending.signal.aborted;
    if (!ending) this.#early += 1;
    try {
      const connection = await this.#connectionOf(recording);
      const handOver = this.#storeAway ? 'at-once' : ending ? 'when-store-fails' : 'never';
      const signal = AbortSignal.any([this.#stop.signal, ...(ending ? [] : [this.#puts.signal])]);
      const way = { handOver, idle: ending ? IDLE_AT_END : IDLE, signal } as const;
      const parts = { ...this.#options, store: this.#spool };
      return await sendFile(parts, connection, recording, file, way);
    } catch (error) {
      return { kind: 'refused', message: error instanceof Error ? error.message : 'unknown failure' };
    } finally {
      if (!ending) this.#early -= 1;
    }
  }
}
