/**
 * Frames of the PostgreSQL protocol, version 3 (PostgreSQL documentation, "Message Formats"):
 *
 *   byte 0     type
 *   bytes 1–4  length, big endian, of itself and the body
 *   then       body
 *
 * The reader hands out frames as ranges of the buffers that came in, so that what is not changed can be forwarded
 * without a copy.
 */
import { WireError } from './error.ts';

/** One frame: `buffer[start, end)` is the whole of it, header included. Reused by the reader: copy what must last. */
export interface Frame {
  readonly tag: number;
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

const HEADER = 5;

/** Largest body of a frame by its type, in bytes; 0 for a type that is not known. */
export type FrameLimit = (tag: number) => number;

export class FrameReader {
  readonly #limit: FrameLimit;
  readonly #frame: { tag: number; buffer: Buffer; start: number; end: number };
  #chunk: Buffer = EMPTY;
  #position = 0;
  /** The start of a frame whose rest has not come; grows by doubling, so that small chunks cost no more than large ones. */
  #partial: Buffer = EMPTY;
  #partialLength = 0;
  #needed = 0;

  constructor(limit: FrameLimit) {
    this.#limit = limit;
    this.#frame = { tag: 0, buffer: EMPTY, start: 0, end: 0 };
  }

  /** Bytes that came in and were not handed out yet. */
  get buffered(): number {
    return this.#chunk.length - this.#position + this.#partialLength;
  }

  /** Takes the next chunk; all whole frames of the one before must have been read. */
  push(chunk: Buffer): void {
    if (this.#position < this.#chunk.length) throw new RangeError('a chunk before the last one was read');
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** The next whole frame, or undefined until more has come. Throws WireError for a length or type that cannot be. */
  next(): Frame | undefined {
    return this.#partialLength > 0 ? this.#nextFromPartial() : this.#nextFromChunk();
  }

  #nextFromChunk(): Frame | undefined {
    const chunk = this.#chunk;
    const start = this.#position;
    const available = chunk.length - start;
    if (available >= HEADER) {
      const end = start + this.#frameLength(chunk, start);
      if (end <= chunk.length) {
        this.#position = end;
        if (end === chunk.length) this.#releaseChunk();
        return this.#hand(chunk, start, end);
      }
      this.#needed = end - start;
    } else {
      if (available === 0) return undefined;
      this.#needed = HEADER;
    }
    this.#keep();
    return undefined;
  }

  #nextFromPartial(): Frame | undefined {
    this.#keep();
    if (this.#partialLength < this.#needed) return undefined;
    const length = this.#frameLength(this.#partial, 0);
    if (length > this.#needed) {
      this.#needed = length;
      this.#keep();
      if (this.#partialLength < length) return undefined;
    }
    const whole = this.#partial;
    this.#partial = EMPTY;
    this.#partialLength = 0;
    return this.#hand(whole, 0, length);
  }

  /** Moves bytes from the chunk to the partial frame, no more than it needs. */
  #keep(): void {
    const from = this.#position;
    const count = Math.min(this.#needed - this.#partialLength, this.#chunk.length - from);
    if (count <= 0) return;
    const length = this.#partialLength + count;
    if (length > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#needed, Math.max(1024, 2 * length)));
      this.#partial.copy(grown, 0, 0, this.#partialLength);
      this.#partial = grown;
    }
    this.#chunk.copy(this.#partial, this.#partialLength, from, from + count);
    this.#partialLength = length;
    this.#position = from + count;
    if (this.#position === this.#chunk.length) this.#releaseChunk();
  }

  #releaseChunk(): void {
    this.#chunk = EMPTY;
    this.#position = 0;
  }

  /** Length of the whole frame at `start`, whose header is there. */
  #frameLength(buffer: Buffer, start: number): number {
    const tag = buffer[start] ?? 0;
    const length = buffer.readInt32BE(start + 1);
    const limit = this.#limit(tag);
    if (limit === 0) {
      throw new WireError('invalid-message', `unknown message type 0x${tag.toString(16).padStart(2, '0')}`);
    }
    if (length < 4) throw new WireError('invalid-message', `${nameOf(tag)}: length ${length} is below 4`);
    if (length - 4 > limit) {
      throw new WireError(
        'message-too-long',
        `${nameOf(tag)}: ${length - 4} bytes, at most ${limit} are taken`,
      );
    }
    return length + 1;
  }

  #hand(buffer: Buffer, start: number, end: number): Frame {
    const frame = this.#frame;
    frame.tag = buffer[start] ?? 0;
    frame.buffer = buffer;
    frame.start = start;
    frame.end = end;
    return frame;
  }
}

const EMPTY = Buffer.alloc(0);

function nameOf(tag: number): string {
  return `message '${String.fromCharCode(tag)}'`;
}
