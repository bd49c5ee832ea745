/** COPY's csv format: fields in quotes or not, quotes and escapes within quotes escaped, line feeds within quotes allowed. */
import type { CopyFormat, RowSearch } from './copy-format.ts';
import { CopyFields, type FieldSyntax, malformed } from './copy-fields.ts';
import { equals } from './copy-text.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { FieldPlans } from './row-masker.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const END_MARK = Buffer.from('\\.');

export interface CsvMarks {
  readonly delimiter: number;
  readonly quote: number;
  readonly escape: number;
  readonly nullText: Buffer;
}

export class CopyCsv implements CopyFormat {
  readonly #fields: CopyFields;
  readonly #marks: CsvMarks;

  constructor(fields: FieldPlans, marks: CsvMarks, header: boolean) {
    this.#fields = new CopyFields(csvSyntax(marks), fields, header);
    this.#marks = marks;
  }

  rowEnd(buffer: Buffer, start: number, end: number, search: RowSearch): number {
    const { quote, escape } = this.#marks;
    for (let position = start + search.offset; position < end; position++) {
      const byte = buffer[position];
      if (search.escaped) {
        search.escaped = false;
        if (byte === quote || byte === escape) continue;
      }
      if (byte === quote) search.quoted = !search.quoted;
      else if (search.quoted && byte === escape) search.escaped = true;
      else if (byte === LINE_FEED && !search.quoted) return position + 1;
    }
    search.offset = end - start;
    return -1;
  }

  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number {
    return this.#fields.mask(buffer, start, end, out);
  }

  end(): void {
    // A row that is cut off is refused by who holds it.
  }
}

function csvSyntax({ delimiter, quote, escape, nullText }: CsvMarks): FieldSyntax {
  /** Position of the quote that closes the value at `start`. */
  const closing = (buffer: Buffer, start: number, end: number): number => {
    for (let position = start; position < end; position++) {
      const byte = buffer[position];
      const next = position + 1 < end ? buffer[position + 1] : undefined;
      if (byte === escape && (next === quote || next === escape)) position++;
      else if (byte === quote) return position;
    }
    throw malformed();
  };
  return {
    delimiter,
    read(buffer, start, end, field) {
      field.quoted = start < end && buffer[start] === quote;
      field.bare = !field.quoted;
      if (field.quoted) {
        field.end = closing(buffer, start + 1, end) + 1;
        field.isNull = false;
        return;
      }
      let position = start;
      for (; position < end && buffer[position] !== delimiter; position++)
        if (buffer[position] === quote) throw malformed();
      field.end = position;
      field.isNull = equals(buffer, start, position, nullText);
    },
    decode(buffer, start, end) {
      const bytes: number[] = [];
      for (let position = start + 1; position < end - 1; position++) {
        const next = buffer[position + 1];
        const escaped =
          buffer[position] === escape && position + 1 < end - 1 && (next === quote || next === escape);
        if (escaped) position++;
        bytes.push(buffer[position] ?? 0);
      }
      return Buffer.from(bytes);
    },
    encode(value, quoted) {
      if (value === null) return nullText;
      const marked = [delimiter, quote, LINE_FEED, CARRIAGE_RETURN].some((byte) => value.includes(byte));
      if (!quoted && !marked && !value.equals(nullText) && !value.equals(END_MARK)) return value;
      const bytes = [quote];
      for (const byte of value) {
        if (byte === quote || byte === escape) bytes.push(escape);
        bytes.push(byte);
      }
      bytes.push(quote);
      return Buffer.from(bytes);
    },
  };
}
