/** One segment: lines chained and written to the live file, then compressed, signed and written once. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress } from 'node:zlib';
import { chainedLine, lineHash, TAG_LENGTH } from './chain.ts';
import { MAX_DOCUMENT, payloadHash, segmentName, type Head, type Manifest } from './documents.ts';
import { observed, once } from './parts.ts';
import { RecordingError } from './recording-error.ts';
import { FORMAT, seal } from './sealed.ts';
import type { RecordingSigner } from './signer.ts';
import type { LiveSegment, RecordingStore } from './store.ts';

/** What of a segment goes into its head. */
export type SegmentContent = Pick<
  Head,
  'segment' | 'first' | 'last' | 'previous' | 'digest' | 'bytes' | 'tags'
>;

export type SegmentEntry = Manifest['segments'][number];

/** Bytes that the compressor gives at once: each time costs the main thread a turn. */
const COMPRESSED_CHUNK = 512 * 1024;

/** Caps on a segment, for readers: what its lines and its file may have at most. */
export const MAX_SEGMENT = 512 * 1024 * 1024;

export function liveName(segment: number): string {
  return `${segmentName(segment)}.jsonl`;
}

export function storedName(segment: number): string {
  return `${segmentName(segment)}.jsonl.zst`;
}

export function headName(segment: number): string {
  return `${segmentName(segment)}.head.json`;
}

/** Of a segment that lies in the object store and here no more: what was counted in it. */
export function sentName(segment: number): string {
  return `${segmentName(segment)}.sent.json`;
}

export class OpenSegment {
  readonly #live: LiveSegment;
  readonly #segment: number;
  readonly #first: number;
  readonly #previous: string;
  readonly #tags = new Tags();
  #next: number;
  #digest: string;
  #pending = '';
  #bytes = 0;

  /** `first` is the number of its first event, `previous` the hash that it chains to. */
  constructor(live: LiveSegment, segment: number, first: number, previous: string) {
    this.#live = live;
    this.#segment = segment;
    this.#first = first;
    this.#next = first;
    this.#previous = previous;
    this.#digest = previous;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Lines that are chained and not written yet. */
  get pending(): boolean {
    return this.#pending !== '';
  }

  /** Chains lines to those before them; `write` then writes them. */
  chain(bodies: readonly string[]): void {
    for (const body of bodies) {
      const line = chainedLine(this.#next, this.#digest, body);
      this.#digest = lineHash(line);
      this.#tags.add(this.#digest);
      this.#next++;
      this.#pending += `${line}\n`;
    }
  }

  async write(): Promise<void> {
    const bytes = Buffer.from(this.#pending);
    this.#pending = '';
    this.#bytes += bytes.length;
    await this.#live.write(bytes);
  }

  sync(): Promise<void> {
    return this.#live.sync();
  }

  async close(): Promise<SegmentContent> {
    try {
      await this.#live.sync();
    } finally {
      await this.#live.close();
    }
    return {
      segment: this.#segment,
      first: this.#first,
      last: this.#next - 1,
      previous: this.#previous,
      digest: this.#digest,
      bytes: this.#bytes,
      tags: this.#tags.text(),
    };
  }

  async abandon(): Promise<void> {
    await this.#live.close();
  }
}

/** A few characters of each line's hash, in little memory. */
export class Tags {
  #buffer = Buffer.alloc(TAG_LENGTH * 64);
  #length = 0;

  add(digest: string): void {
    if (this.#length + TAG_LENGTH > this.#buffer.length) {
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(this.#buffer.length)]);
    }
    this.#length += this.#buffer.write(digest.slice(0, TAG_LENGTH), this.#length, 'latin1');
  }

  text(): string {
    return this.#buffer.toString('latin1', 0, this.#length);
  }
}

/** Compresses a closed segment, signs its head, and removes the live file. `lines` are its exact bytes. */
export async function sealSegment(
  store: RecordingStore,
  session: string,
  content: SegmentContent,
  lines: AsyncIterable<Uint8Array>,
  signer: RecordingSigner,
): Promise<SegmentEntry> {
  const file = storedName(content.segment);
  const digest = createHash('sha256');
  let bytes = 0;
  let fileBytes = 0;
  const counted = observed(lines, (part) => (bytes += part.length));
  await pipeline(
    Readable.from(counted, { objectMode: false }),
    createZstdCompress({ chunkSize: COMPRESSED_CHUNK }),
    (compressed: AsyncIterable<Buffer>) =>
      store.put(
        session,
        file,
        observed(compressed, (part) => {
          digest.update(part);
          fileBytes += part.length;
        }),
      ),
  );
  if (bytes !== content.bytes)
    throw new RecordingError('store', `the segment has ${bytes} bytes, and ${content.bytes} were written`);
  const head: Head = {
    format: FORMAT,
    kind: 'head',
    session,
    ...content,
    file,
    fileBytes,
    fileDigest: digest.digest('base64url'),
    closedAt: new Date().toISOString(),
  };
  const sealed = seal(head, signer);
  if (sealed.bytes.length > MAX_DOCUMENT) throw new RecordingError('format', 'the head is over its cap');
  await store.put(session, headName(content.segment), once(sealed.bytes));
  await store.remove(session, liveName(content.segment));
  return entryOf(head, sealed.payload);
}

export function entryOf(head: Head, payload: string): SegmentEntry {
  const { segment, first, last, digest } = head;
  return { segment, first, last, head: payloadHash(payload), digest };
}
