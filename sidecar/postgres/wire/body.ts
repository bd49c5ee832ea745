/** Reads a message body field by field; every read is checked against the end of the body, which it must reach exactly. */
import { WireError } from './error.ts';
import type { Frame } from './frame.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Body {
  readonly #buffer: Buffer;
  readonly #end: number;
  readonly #name: string;
  #position: number;

  constructor(name: string, buffer: Buffer, start: number, end: number) {
    this.#name = name;
    this.#buffer = buffer;
    this.#position = start;
    this.#end = end;
  }

  /** The body of a frame, behind its header. */
  static of(name: string, frame: Frame): Body {
    return new Body(name, frame.buffer, frame.start + 5, frame.end);
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  int8(): number {
    this.#take(1);
    return this.#buffer.readInt8(this.#position - 1);
  }

  byte(): number {
    this.#take(1);
    return this.#buffer.readUInt8(this.#position - 1);
  }

  int16(): number {
    this.#take(2);
    return this.#buffer.readInt16BE(this.#position - 2);
  }

  int32(): number {
    this.#take(4);
    return this.#buffer.readInt32BE(this.#position - 4);
  }

  uint32(): number {
    this.#take(4);
    return this.#buffer.readUInt32BE(this.#position - 4);
  }

  /** A count of things that follow, each of at least `size` bytes: a count that cannot fit is refused before any is read. */
  count(size: number): number {
    const count = this.int16();
    if (count < 0 || count * size > this.remaining) this.#fail(`a count of ${count} does not fit`);
    return count;
  }

  bytes(length: number): Buffer {
    if (length < 0) this.#fail('a negative length');
    this.#take(length);
    return this.#buffer.subarray(this.#position - length, this.#position);
  }

  /** A zero-terminated string, which must be valid UTF-8. */
  string(): string {
    const zero = this.#buffer.indexOf(0, this.#position);
    if (zero < 0 || zero >= this.#end) this.#fail('a string without its end');
    const start = this.#position;
    this.#position = zero + 1;
    if (zero === start) return '';
    return this.#decode(start, zero);
  }

  /** The body must be used up. */
  done(): void {
    if (this.#position !== this.#end) this.#fail(`${this.#end - this.#position} bytes too many`);
  }

  #decode(start: number, end: number): string {
    // Short plain ASCII, nearly every name there is, costs less this way than by the decoder.
    if (end - start <= 24) {
      let text = '';
      let index = start;
      for (; index < end; index++) {
        const byte = this.#buffer[index] ?? 0x80;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (index === end) return text;
    }
    try {
      return decoder.decode(this.#buffer.subarray(start, end));
    } catch {
      return this.#fail('text that is not UTF-8');
    }
  }

  #take(length: number): void {
    if (this.#end - this.#position < length) this.#fail('ends too early');
    this.#position += length;
  }

  #fail(what: string): never {
    throw new WireError('invalid-message', `${this.#name}: ${what}`);
  }
}
