/** Builds messages. One growing buffer, patched with the length at the end. */
export class MessageBuilder {
  #buffer: Buffer;
  #length: number;

  /** `tag` is the type byte, or '' for messages without one (start-up). */
  constructor(tag: string, size = 64) {
    this.#buffer = Buffer.allocUnsafe(size);
    this.#length = 0;
    if (tag !== '') {
      this.#buffer[0] = tag.charCodeAt(0);
      this.#length = 1;
    }
    this.#lengthAt = this.#length;
    this.#length += 4;
  }

  readonly #lengthAt: number;

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
    return this;
  }

  /** Zero-terminated; a zero inside would end it early, so it may hold none. */
  string(text: string): this {
    if (text.includes('\0')) throw new RangeError('a zero character in a protocol string');
    const size = Buffer.byteLength(text);
    this.#reserve(size + 1);
    this.#buffer.write(text, this.#length);
    this.#buffer[this.#length + size] = 0;
    this.#length += size + 1;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  end(): Buffer {
    this.#buffer.writeInt32BE(this.#length - this.#lengthAt, this.#lengthAt);
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + size));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}
