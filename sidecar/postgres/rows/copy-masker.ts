/** Masks COPY … TO STDOUT. Rows end where the format says, whatever the messages are that they come in. */
import type { DetectorSet } from '../../mask/detectors.ts';
import type { MaskKeys } from '../../mask/keys.ts';
import type { FieldMask } from '../../mask/mask.ts';
import type { CopyOptions } from '../sql/statement.ts';
import { CopyBinary } from './copy-binary.ts';
import { CopyCsv } from './copy-csv.ts';
import { malformed } from './copy-fields.ts';
import type { CopyFormat, RowSearch } from './copy-format.ts';
import { CopyText } from './copy-text.ts';
import type { FrameWriter } from './frame-writer.ts';
import { RowError } from './row-error.ts';
import { compileFields, type FieldPlans, type MaskRefused } from './row-masker.ts';
import type { TypeLookup } from './type-shape.ts';

/** Largest row of COPY, in bytes: as much may be held until it is whole. */
export const COPY_ROW_LIMIT = 64 * 1024 * 1024;

/**
 * Masks for one COPY. `columnTypes` has one type a column, 0 for one that is not known: in text and csv it is masked like
 * text, in binary it is NULL under a mask and refused under detectors. Undefined when no column would ever be changed.
 */
export function compileCopyMasker(
  options: CopyOptions,
  columnTypes: readonly number[],
  masks: readonly FieldMask[] | 'all' | undefined,
  detectors: DetectorSet | undefined,
  types: TypeLookup,
  keys: MaskKeys,
  rowLimit: number = COPY_ROW_LIMIT,
): CopyMasker | MaskRefused | undefined {
  const format = options.format === 'binary' ? 1 : 0;
  const columns = columnTypes.map((typeOid, index) => ({ name: String(index + 1), typeOid, format }));
  const fields = compileFields(columns, masks, {
    types: format === 0 ? withUntyped(types) : types,
    detectors,
    keys,
  });
  if (fields === undefined || 'kind' in fields) return fields;
  const compiled = compileFormat(options, fields);
  return 'kind' in compiled ? compiled : new CopyMasker(compiled, rowLimit);
}

/** No type has the oid 0. */
function withUntyped(types: TypeLookup): TypeLookup {
  return (oid) => (oid === 0 ? { kind: 'untyped' } : types(oid));
}

function compileFormat(options: CopyOptions, fields: FieldPlans): CopyFormat | MaskRefused {
  const nullText = Buffer.from(options.null, 'utf8');
  switch (options.format) {
    case 'binary':
      return new CopyBinary(fields);
    case 'text': {
      const delimiter = mark(options.delimiter);
      // With another backslash in it NULL could not be told from values.
      const ambiguous = options.null.includes('\\') && options.null !== '\\N';
      if (delimiter === undefined || ambiguous || options.null.includes(options.delimiter)) return unclear();
      return new CopyText(fields, delimiter, nullText, options.header);
    }
    case 'csv': {
      const [delimiter, quote, escape] = [options.delimiter, options.quote, options.escape].map(mark);
      if (delimiter === undefined || quote === undefined || escape === undefined || delimiter === quote)
        return unclear();
      if (options.null.includes(options.quote) || options.null.includes(options.delimiter)) return unclear();
      return new CopyCsv(fields, { delimiter, quote, escape, nullText }, options.header);
    }
  }
}

/** One byte that ends no line. */
function mark(text: string): number | undefined {
  const code = text.charCodeAt(0);
  return text.length === 1 && code < 0x80 && code !== 0x0a && code !== 0x0d ? code : undefined;
}

function unclear(): MaskRefused {
  return { kind: 'refused', reason: 'options of COPY under which rows cannot be read with certainty' };
}

export class CopyMasker {
  readonly kind = 'masker';
  readonly #format: CopyFormat;
  readonly #limit: number;
  readonly #search: RowSearch = { offset: 0, quoted: false, escaped: false };
  /** The start of a row whose rest has not come. */
  #carry: Buffer = Buffer.alloc(0);
  #carried = 0;

  constructor(format: CopyFormat, rowLimit: number) {
    this.#format = format;
    this.#limit = rowLimit;
  }

  /**
   * Takes the payload of one CopyData and writes a CopyData frame for each row that is whole. Returns how many values
   * it changed. Throws RowError: `malformed-copy`, `malformed-row`, `row-too-large`; rows before it are in `out`.
   */
  push(buffer: Buffer, start: number, end: number, out: FrameWriter): number {
    if (this.#carried === 0) {
      const rows = this.#rows(buffer, start, end, out);
      this.#keep(buffer, rows.end, end);
      return rows.masked;
    }
    this.#keep(buffer, start, end);
    const rows = this.#rows(this.#carry, 0, this.#carried, out);
    if (rows.end > 0) {
      this.#carry.copyWithin(0, rows.end, this.#carried);
      this.#carried -= rows.end;
    }
    return rows.masked;
  }

  /** At CopyDone. Throws RowError when a row is cut off. */
  end(): void {
    if (this.#carried > 0) throw malformed();
    this.#format.end();
  }

  #rows(
    buffer: Buffer,
    start: number,
    end: number,
    out: FrameWriter,
  ): { readonly end: number; readonly masked: number } {
    const search = this.#search;
    let position = start;
    let masked = 0;
    while (position < end) {
      const next = this.#format.rowEnd(buffer, position, end, search);
      if ((next < 0 ? end : next) - position > this.#limit) throw tooLarge(this.#limit);
      if (next < 0) break;
      masked += this.#format.mask(buffer, position, next, out);
      position = next;
      search.offset = 0;
      search.quoted = false;
      search.escaped = false;
    }
    return { end: position, masked };
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    const needed = this.#carried + end - start;
    if (needed > this.#limit + buffer.length) throw tooLarge(this.#limit);
    if (needed > this.#carry.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#carry.length * 2, this.#limit)));
      this.#carry.copy(larger, 0, 0, this.#carried);
      this.#carry = larger;
    }
    buffer.copy(this.#carry, this.#carried, start, end);
    this.#carried = needed;
  }
}

function tooLarge(limit: number): RowError {
  return new RowError('row-too-large', `a row of COPY with more than ${limit} bytes`);
}
