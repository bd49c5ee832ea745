/** Reads a nested binary value; past its end everything is undefined. */
export class BinaryReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  int32(): number | undefined {
    if (this.remaining < 4) return undefined;
    this.#position += 4;
    return this.#bytes.readInt32BE(this.#position - 4);
  }

  uint32(): number | undefined {
    const value = this.int32();
    return value === undefined ? undefined : value >>> 0;
  }

  uint8(): number | undefined {
    return this.#bytes[this.#position++];
  }

  take(length: number): Buffer | undefined {
    if (length < 0 || length > this.remaining) return undefined;
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  /** A length and as many bytes; null for -1. */
  value(): Buffer | null | undefined {
    const length = this.int32();
    if (length === undefined) return undefined;
    return length === -1 ? null : this.take(length);
  }
}

/** A value as it stands in a nested binary value. */
export function lengthAndBytes(value: Buffer | null): Buffer {
  const length = Buffer.allocUnsafe(4);
  length.writeInt32BE(value === null ? -1 : value.length);
  return value === null ? length : Buffer.concat([length, value]);
}

export function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}
