/**
 * COPY's binary format:
 *
 *   "PGCOPY\n", FF, "\r\n", 00; Int32 flags; Int32 length of an extension and as many bytes
 *   rows: Int16 fields, then for each Int32 length (-1 for NULL) and its bytes
 *   Int16 -1
 */
import { COPY_DATA, type CopyFormat } from './copy-format.ts';
import { malformed } from './copy-fields.ts';
import type { FrameWriter } from './frame-writer.ts';
import { type FieldPlans, FieldsMasker } from './row-masker.ts';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const FIXED_HEADER = SIGNATURE.length + 8;
/** There is none yet: what comes in it could be anything. */
const LONGEST_EXTENSION = 0;

export class CopyBinary implements CopyFormat {
  readonly #masker: FieldsMasker;
  readonly #columns: number;
  #state: 'header' | 'rows' | 'trailer' | 'ended' = 'header';

  constructor(fields: FieldPlans) {
    this.#masker = new FieldsMasker(COPY_DATA, fields.plans, fields.context);
    this.#columns = fields.plans.length;
  }

  rowEnd(buffer: Buffer, start: number, end: number): number {
    switch (this.#state) {
      case 'header':
        return headerEnd(buffer, start, end);
      case 'rows':
        return this.#tupleEnd(buffer, start, end);
      case 'trailer':
      case 'ended':
        throw malformed();
    }
  }

  #tupleEnd(buffer: Buffer, start: number, end: number): number {
    if (end - start < 2) return -1;
    const count = buffer.readInt16BE(start);
    if (count === -1) {
      this.#state = 'trailer';
      return start + 2;
    }
    if (count !== this.#columns) throw malformed();
    let position = start + 2;
    for (let index = 0; index < count; index++) {
      if (position + 4 > end) return -1;
      const length = buffer.readInt32BE(position);
      if (length < -1) throw malformed();
      position += 4 + Math.max(length, 0);
    }
    return position > end ? -1 : position;
  }

  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number {
    if (this.#state === 'rows') return this.#masker.mask(buffer, start, end, out);
    this.#state = this.#state === 'header' ? 'rows' : 'ended';
    out.begin(COPY_DATA);
    out.copy(buffer, start, end);
    out.finish();
    return 0;
  }

  end(): void {
    if (this.#state !== 'ended') throw malformed();
  }
}

function headerEnd(buffer: Buffer, start: number, end: number): number {
  if (end - start < FIXED_HEADER) return -1;
  const flags = start + SIGNATURE.length;
  if (buffer.compare(SIGNATURE, 0, SIGNATURE.length, start, flags) !== 0) throw malformed();
  if (buffer.readInt32BE(flags) !== 0 || buffer.readInt32BE(flags + 4) !== LONGEST_EXTENSION)
    throw malformed();
  return start + FIXED_HEADER;
}
