/**
 * Records one session. `append` takes an event at once and cannot fail; what it took is on its way to disk within
 * the flush interval (`batched`) or when `durable()` resolves (`strict`). After any failure `failed` is true for good,
 * and whoever asks must refuse every later operation.
 */
import { MicrosecondClock } from './clock.ts';
import { MAX_LINE, MAX_LINK } from './chain.ts';
import { HEADER_FILE, MANIFEST_FILE, payloadHash, type Header, type Manifest } from './documents.ts';
import { EventEncoder } from './encode.ts';
import type { Durability, RecordingEvent, SessionEnd, SessionStart } from './event.ts';
import { once } from './parts.ts';
import { RecordingError } from './recording-error.ts';
import { FORMAT, seal } from './sealed.ts';
import { liveName, MAX_SEGMENT, OpenSegment, sealSegment, type SegmentEntry } from './segment.ts';
import type { RecordingSigner } from './signer.ts';
import type { RecordingStore } from './store.ts';
import { Tally } from './tally.ts';

/** Who and what the session is; becomes the first event. */
export interface RecordingHeader extends Omit<SessionStart, 'kind' | 'durability'> {
  /** From `newSessionId()`. */
  readonly session: string;
}

export interface RecordingOptions {
  readonly durability: Durability;
  /** Called once, when the recording can no longer be written. */
  readonly onFailure: (error: Error) => void;
  /** Closes a segment after so many bytes; 8 MiB unless told. */
  readonly segmentBytes?: number;
  /** Closes a segment so many milliseconds after its first event; 10 minutes unless told. */
  readonly segmentAge?: number;
  /** Characters that may wait for the disk before the recording counts as failed; 16 Mi unless told. */
  readonly backlog?: number;
}

export interface SessionRecorder {
  readonly session: string;
  readonly durability: Durability;
  /**
   * True for good after a write failed, the backlog grew over its cap, or the recording was closed: every later
   * operation is to be refused. True in a strict session also as long as its store is full.
   */
  readonly failed: boolean;
  /** Never throws; after a failure it does nothing. */
  append(event: RecordingEvent): void;
  /**
   * `strict`: resolves when everything appended so far is on disk, and rejects when it cannot be. Those who wait at the same
   * time share one fsync. `batched`: nothing to wait for. Undefined when there is nothing to wait for; rejects after a
   * failure with either, so that what `append` could not take goes no further.
   */
  durable(): Promise<void> | undefined;
  /** Ends the session: writes its last event, closes the last segment, signs the manifest. Rejects when it failed. */
  close(reason: string): Promise<{ readonly digest: string }>;
}

/**
 * A killed process loses what came in within these, and behind a disk that does not keep up, what waited for it; a power cut what
 * came since the last fsync.
 */
export const FLUSH_MILLISECONDS = 20;
export const FLUSH_CHARACTERS = 64 * 1024;
export const SYNC_MILLISECONDS = 1000;

export async function openRecording(
  store: RecordingStore,
  header: RecordingHeader,
  signer: RecordingSigner,
  options: RecordingOptions,
): Promise<SessionRecorder> {
  const { session, identity, connection } = header;
  const document: Header = {
    format: FORMAT,
    kind: 'header',
    session,
    startedAt: new Date().toISOString(),
    durability: options.durability,
    who: { issuer: identity.issuer, subject: identity.subject, username: identity.username },
    connection: {
      name: connection.name,
      namespace: connection.namespace,
      protocol: connection.protocol,
      database: connection.database,
    },
  };
  const { payload, bytes } = seal(document, signer);
  await store.put(session, HEADER_FILE, once(bytes));
  const recorder = new Recorder(store, session, signer, options, payloadHash(payload));
  recorder.start({ ...header, kind: 'session-start', durability: options.durability });
  await recorder.durable();
  return recorder;
}

interface Waiter {
  readonly n: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class Recorder implements SessionRecorder {
  readonly session: string;
  readonly #store: RecordingStore;
  readonly #signer: RecordingSigner;
  readonly #options: RecordingOptions;
  readonly #headerHash: string;
  readonly #encoder = new EventEncoder();
  readonly #clock = new MicrosecondClock();
  readonly #tally = new Tally();
  readonly #entries: SegmentEntry[] = [];
  /** Lines not yet chained and written, and how many characters they have. */
  #bodies: string[] = [];
  #buffered = 0;
  #writing: Promise<void> | undefined;
  /** Numbers of the last event appended, written and synced. */
  #appended = 0;
  #written = 0;
  #synced = 0;
  #segment: OpenSegment | undefined;
  #segments = 0;
  /** The last closed segment's last hash. */
  #previous: string;
  #rotationDue = false;
  #sealing: Promise<void> = Promise.resolve();
  #waiters: Waiter[] = [];
  #immediate: NodeJS.Immediate | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #lateSync: Promise<void> | undefined;
  #ageTimer: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #closing: Promise<{ readonly digest: string }> | undefined;

  constructor(
    store: RecordingStore,
    session: string,
    signer: RecordingSigner,
    options: RecordingOptions,
    headerHash: string,
  ) {
    this.#store = store;
    this.session = session;
    this.#signer = signer;
    this.#options = options;
    this.#headerHash = headerHash;
    this.#previous = headerHash;
  }

  get durability(): Durability {
    return this.#options.durability;
  }

  get failed(): boolean {
    return this.#ended || (this.durability === 'strict' && this.#store.full === true);
  }

  get #ended(): boolean {
    return this.#failure !== undefined || this.#closing !== undefined;
  }

  start(event: SessionStart): void {
    this.#take(event);
  }

  append(event: RecordingEvent): void {
    if (this.#ended) return;
    this.#take(event);
    this.#tally.add(event);
  }

  durable(): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#options.durability === 'batched') return undefined;
    if (this.#synced >= this.#appended) return undefined;
    return new Promise((resolve, reject) => {
      this.#waiters.push({ n: this.#appended, resolve, reject });
      this.#flush();
    });
  }

  close(reason: string): Promise<{ readonly digest: string }> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.#failure === undefined) {
      this.#take({ kind: 'session-end', reason, counts: this.#tally.counts() });
    }
    this.#closing = this.#close(reason);
    return this.#closing;
  }

  #take(event: RecordingEvent | SessionStart | SessionEnd): void {
    try {
      const body = this.#encoder.encode(event, this.#appended + 1, this.#clock.now());
      if (tooLong(body)) throw new RecordingError('backlog', `an event is longer than ${MAX_LINE} bytes`);
      this.#appended++;
      this.#bodies.push(body);
      this.#buffered += body.length;
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#buffered >= FLUSH_CHARACTERS) {
      if (this.#buffered > (this.#options.backlog ?? 16 * 1024 * 1024) && this.#writing !== undefined) {
        this.#fail(new RecordingError('backlog', 'the disk does not keep up with the recording'));
      } else {
        this.#flush();
      }
    } else {
      this.#flushSoon();
      this.#chainSoon();
    }
  }

  #flushSoon(): void {
    this.#flushTimer ??= setTimeout(() => this.#flush(), FLUSH_MILLISECONDS);
  }

  /** Writes what is there; while a write is under way, its loop will take what has come since. */
  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    if (this.#writing !== undefined || this.#failure !== undefined) return;
    this.#writing = this.#drain()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#writing = undefined;
        // What has come since the loop's last look.
        if (this.#waiters.length > 0) this.#flush();
        else if (this.#bodies.length > 0 || this.#segment?.pending) this.#flushSoon();
      });
  }

  async #drain(): Promise<void> {
    while (this.#failure === undefined) {
      if (this.#bodies.length > 0 || this.#segment?.pending) await this.#write();
      if (this.#waiters.length > 0) await this.#sync();
      if (this.#rotationDue || (this.#segment?.bytes ?? 0) >= this.#segmentBytes()) await this.#rotate();
      if (this.#waiters.length === 0 && this.#buffered < FLUSH_CHARACTERS) return;
    }
  }

  async #write(): Promise<void> {
    const last = this.#appended;
    const bodies = this.#bodies;
    this.#bodies = [];
    this.#buffered = 0;
    this.#clock.anchor();
    this.#segment ??= await this.#openSegment();
    this.#segment.chain(bodies);
    await this.#segment.write();
    this.#written = last;
    this.#syncTimer ??= setTimeout(() => this.#syncLater(), SYNC_MILLISECONDS).unref();
  }

  /** Hashes while the operation is under way, rather than all at once when the lines are written. */
  #chainSoon(): void {
    if (this.#immediate !== undefined) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      // While a write is under way, its loop takes what has come.
      if (this.#writing !== undefined || this.#segment === undefined || this.#failure !== undefined) return;
      const bodies = this.#bodies;
      this.#bodies = [];
      try {
        this.#segment.chain(bodies);
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  async #openSegment(): Promise<OpenSegment> {
    const number = ++this.#segments;
    const live = await this.#store.create(this.session, liveName(number));
    const age = this.#options.segmentAge ?? 600_000;
    this.#ageTimer = setTimeout(() => {
      this.#rotationDue = true;
      this.#flush();
    }, age).unref();
    return new OpenSegment(live, number, this.#written + 1, this.#previous);
  }

  async #sync(): Promise<void> {
    const reached = this.#written;
    await this.#segment?.sync();
    this.#reached(reached);
  }

  #reached(n: number): void {
    this.#synced = Math.max(this.#synced, n);
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.n > n);
    for (const waiter of waiters) if (waiter.n <= n) waiter.resolve();
  }

  #syncLater(): void {
    this.#syncTimer = undefined;
    const reached = this.#written;
    const segment = this.#segment;
    if (segment === undefined || reached <= this.#synced) return;
    this.#lateSync = segment.sync().then(
      () => this.#reached(reached),
      (error: unknown) => this.#fail(error),
    );
  }

  async #rotate(): Promise<void> {
    clearTimeout(this.#ageTimer);
    this.#rotationDue = false;
    // A failed write is told to one sync and no other.
    await this.#lateSync;
    const segment = this.#segment;
    if (segment === undefined) return;
    this.#segment = undefined;
    const content = await segment.close();
    this.#previous = content.digest;
    this.#reached(content.last);
    this.#sealing = this.#sealing.then(async () => {
      if (this.#failure !== undefined) return;
      const lines = await this.#store.read(this.session, liveName(content.segment), MAX_SEGMENT);
      if (lines === undefined) throw new RecordingError('store', 'the closed segment is gone');
      this.#entries.push(await sealSegment(this.#store, this.session, content, lines, this.#signer));
    });
    this.#sealing = this.#sealing.catch((error: unknown) => this.#fail(error));
  }

  async #close(reason: string): Promise<{ readonly digest: string }> {
    do {
      this.#rotationDue = true;
      this.#flush();
      await this.#writing;
    } while (this.#failure === undefined && (this.#bodies.length > 0 || this.#segment !== undefined));
    await this.#sealing;
    clearTimeout(this.#syncTimer);
    if (this.#failure !== undefined) {
      throw new RecordingError('store', 'the recording could not be completed', this.#failure);
    }
    await this.#store.put(
      this.session,
      MANIFEST_FILE,
      once(seal(this.#manifest(reason), this.#signer).bytes),
    );
    return { digest: this.#previous };
  }

  #manifest(reason: string): Manifest {
    return {
      format: FORMAT,
      kind: 'manifest',
      session: this.session,
      header: this.#headerHash,
      segments: this.#entries,
      events: this.#written,
      digest: this.#previous,
      counts: this.#tally.counts(),
      durability: this.#options.durability,
      end: { kind: 'closed', reason },
      closedAt: new Date().toISOString(),
    };
  }

  #segmentBytes(): number {
    return Math.min(this.#options.segmentBytes ?? 8 * 1024 * 1024, MAX_SEGMENT / 4);
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    const failure = error instanceof Error ? error : new RecordingError('store', String(error));
    this.#failure = failure;
    clearTimeout(this.#flushTimer);
    clearTimeout(this.#syncTimer);
    clearTimeout(this.#ageTimer);
    this.#bodies = [];
    this.#buffered = 0;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(failure);
    // The file's own close may fail as well: there is nothing left to save.
    this.#segment?.abandon().catch(() => undefined);
    this.#segment = undefined;
    this.#options.onFailure(failure);
  }
}

/** Whether its line would be; a character of a string is at most three bytes. */
function tooLong(body: string): boolean {
  const most = MAX_LINE - MAX_LINK;
  return body.length * 3 > most && Buffer.byteLength(body) > most;
}
