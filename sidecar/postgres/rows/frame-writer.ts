/** Builds frames in one growing buffer. What was taken is the taker's: it is never written again. */

const CHUNK = 65_536;
const HEADER = 5;
/** Shorter than this a loop is faster than the call. */
const SHORT = 24;

export class FrameWriter {
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK);
  /** Where that starts which was not taken yet, where the frame in work starts, and where the next byte goes. */
  #taken = 0;
  #frame = 0;
  #position = 0;

  /** Bytes of whole frames that wait to be taken. */
  get pending(): number {
    return this.#frame - this.#taken;
  }

  /** The last `size` bytes of whole frames, to be looked at before anything more is written. */
  last(size: number): Buffer {
    return this.#chunk.subarray(this.#frame - size, this.#frame);
  }

  /** All whole frames so far, handed over; the writer goes on behind them or in a fresh buffer. */
  take(): Buffer {
    const frames = this.#chunk.subarray(this.#taken, this.#frame);
    this.#taken = this.#frame;
    if (this.#position === this.#frame && this.#chunk.length - this.#frame < CHUNK / 8) {
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK);
      this.#taken = this.#frame = this.#position = 0;
    }
    return frames;
  }

  /** Starts a frame; its length is filled in by `finish`. What an abandoned frame wrote is dropped. */
  begin(tag: number): void {
    this.#position = this.#frame;
    this.#ensure(HEADER);
    this.#chunk[this.#position] = tag;
    this.#position += HEADER;
  }

  finish(): void {
    const length = this.#position - this.#frame - 1;
    this.#int32At(this.#frame + 1, length);
    this.#frame = this.#position;
  }

  int16(value: number): void {
    this.#ensure(2);
    const chunk = this.#chunk;
    chunk[this.#position] = value >>> 8;
    chunk[this.#position + 1] = value;
    this.#position += 2;
  }

  int32(value: number): void {
    this.#ensure(4);
    this.#int32At(this.#position, value);
    this.#position += 4;
  }

  copy(source: Buffer, start: number, end: number): void {
    const length = end - start;
    this.#ensure(length);
    const chunk = this.#chunk;
    let position = this.#position;
    if (length < SHORT) for (let at = start; at < end; at++) chunk[position++] = source[at] ?? 0;
    else source.copy(chunk, position, start, end);
    this.#position += length;
  }

  /** A value as rows have it: its length (-1 for NULL) and its bytes. */
  value(value: Buffer | null): void {
    this.int32(value === null ? -1 : value.length);
    if (value !== null) this.copy(value, 0, value.length);
  }

  #int32At(position: number, value: number): void {
    const chunk = this.#chunk;
    chunk[position] = value >>> 24;
    chunk[position + 1] = value >>> 16;
    chunk[position + 2] = value >>> 8;
    chunk[position + 3] = value;
  }

  #ensure(length: number): void {
    if (this.#position + length <= this.#chunk.length) return;
    const kept = this.#position - this.#taken;
    let size = CHUNK;
    while (size < (kept + length) * 2) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    this.#chunk.copy(larger, 0, this.#taken, this.#position);
    this.#chunk = larger;
    this.#frame -= this.#taken;
    this.#position -= this.#taken;
    this.#taken = 0;
  }
}
