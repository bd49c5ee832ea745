/** Cuts a stream of bytes into lines of at most `maximum` bytes. Pure. */
import { BrokerRequestError } from './broker-error.ts';

const NEWLINE = 0x0a;

export class LineReader {
  readonly #maximum: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** The lines that are whole by now, without their ends; empty ones are left out. Throws with code `protocol`. */
  push(chunk: Buffer): readonly string[] {
    const lines: string[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#take(chunk.subarray(from, at));
      if (this.#length > 0) lines.push(decode(Buffer.concat(this.#parts, this.#length)));
      this.#parts = [];
      this.#length = 0;
      from = at + 1;
    }
    this.#take(chunk.subarray(from));
    return lines;
  }

  /** Bytes of a line that is not whole yet. */
  get pending(): number {
    return this.#length;
  }

  #take(part: Buffer): void {
    if (part.length === 0) return;
    this.#length += part.length;
    if (this.#length > this.#maximum)
      throw new BrokerRequestError('protocol', `an event of the broker has more than ${this.#maximum} bytes`);
    this.#parts.push(part);
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new BrokerRequestError('protocol', 'an event of the broker is not UTF-8');
  }
}
