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
  #buffer: Buffer = EMPTY;
  #position = 0;
  /** Chunks of a frame that is longer than what has come so far, and how many bytes they must reach together. */
  #parts: Buffer[] = [];
  #partsLength = 0;
  #needed = 0;

  constructor(limit: FrameLimit) {
    this.#limit = limit;
    this.#frame = { tag: 0, buffer: EMPTY, start: 0, end: 0 };
  }

  /** Bytes that came in and were not handed out yet. */
  get buffered(): number {
    return this.#buffer.length - this.#position + this.#partsLength;
  }

  push(chunk: Buffer): void {
    if (this.#position < this.#buffer.length) {
      this.#parts.push(this.#buffer.subarray(this.#position));
      this.#partsLength += this.#buffer.length - this.#position;
      this.#buffer = EMPTY;
      this.#position = 0;
    }
    if (this.#parts.length === 0) {
      this.#buffer = chunk;
      this.#position = 0;
      return;
    }
    this.#parts.push(chunk);
    this.#partsLength += chunk.length;
  }

  /** The next whole frame, or undefined until more has come. Throws WireError for a length or type that cannot be. */
  next(): Frame | undefined {
    if (this.#parts.length > 0) {
      if (this.#partsLength < this.#needed) return undefined;
      this.#buffer = Buffer.concat(this.#parts, this.#partsLength);
      this.#position = 0;
      this.#parts = [];
      this.#partsLength = 0;
      this.#needed = 0;
    }
    const buffer = this.#buffer;
    const start = this.#position;
    const available = buffer.length - start;
    if (available < HEADER) {
      this.#needed = HEADER;
      return undefined;
    }
    const tag = buffer[start] ?? 0;
    const length = buffer.readInt32BE(start + 1);
    const limit = this.#limit(tag);
    if (limit === 0) throw new WireError('invalid-message', `unknown message type 0x${tag.toString(16).padStart(2, '0')}`);
    if (length < 4) throw new WireError('invalid-message', `${nameOf(tag)}: length ${length} is below 4`);
    if (length - 4 > limit) {
      throw new WireError('message-too-long', `${nameOf(tag)}: ${length - 4} bytes, at most ${limit} are taken`);
    }
    if (available < length + 1) {
      this.#needed = length + 1;
      return undefined;
    }
    const frame = this.#frame;
    frame.tag = tag;
    frame.buffer = buffer;
    frame.start = start;
    frame.end = start + length + 1;
    this.#position = frame.end;
    if (this.#position === buffer.length) {
      this.#buffer = EMPTY;
      this.#position = 0;
    }
    return frame;
  }
}

const EMPTY = Buffer.alloc(0);

function nameOf(tag: number): string {
  return `message '${String.fromCharCode(tag)}'`;
}
