/**
 * COPY's text format (PostgreSQL documentation, "COPY", "File Formats"): a line a row, a delimiter between fields, `\N` or
 * another string for NULL, and backslashes before what would be taken for one of these.
 */
import type { CopyFormat, RowSearch } from './copy-format.ts';
import { CopyFields, type FieldSyntax, malformed } from './copy-fields.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { FieldPlans } from './row-masker.ts';

const BACKSLASH = 0x5c;
const LINE_FEED = 0x0a;

/** Letter after the backslash, and the byte that it means. */
const LETTERS: readonly (readonly [letter: number, byte: number])[] = [
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
  [0x76, 0x0b],
];

export class CopyText implements CopyFormat {
  readonly #fields: CopyFields;

  constructor(fields: FieldPlans, delimiter: number, nullText: Buffer, header: boolean) {
    this.#fields = new CopyFields(textSyntax(delimiter, nullText), fields, header);
  }

  /** Line feeds within values are written `\n`: each one ends a row. */
  rowEnd(buffer: Buffer, start: number, end: number, search: RowSearch): number {
    const found = buffer.indexOf(LINE_FEED, start + search.offset);
    if (found >= 0 && found < end) return found + 1;
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

function textSyntax(delimiter: number, nullText: Buffer): FieldSyntax {
  const meanings = new Map<number, number>([...LETTERS, [BACKSLASH, BACKSLASH], [delimiter, delimiter]]);
  const letters = new Map<number, number>([
    [BACKSLASH, BACKSLASH],
    [delimiter, delimiter],
    ...LETTERS.map(([letter, byte]) => [byte, letter] as const),
  ]);
  return {
    delimiter,
    read(buffer, start, end, field) {
      let position = start;
      let bare = true;
      for (; position < end && buffer[position] !== delimiter; position++) {
        if (buffer[position] !== BACKSLASH) continue;
        bare = false;
        position++;
      }
      if (position > end) throw malformed();
      field.end = position;
      field.bare = bare;
      field.isNull = equals(buffer, start, position, nullText);
    },
    decode(buffer, start, end) {
      const value = Buffer.allocUnsafe(end - start);
      let length = 0;
      for (let position = start; position < end; position++) {
        let byte = buffer[position];
        if (byte === BACKSLASH) {
          byte = meanings.get(buffer[++position] ?? 0);
          if (byte === undefined) throw malformed();
        }
        value[length++] = byte ?? 0;
      }
      return value.subarray(0, length);
    },
    encode(value) {
      if (value === null) return nullText;
      const bytes: number[] = [];
      for (const byte of value) {
        const letter = letters.get(byte);
        if (letter !== undefined) bytes.push(BACKSLASH);
        bytes.push(letter ?? byte);
      }
      return Buffer.from(bytes);
    },
  };
}

export function equals(buffer: Buffer, start: number, end: number, other: Buffer): boolean {
  if (end - start !== other.length) return false;
  for (let index = 0; index < other.length; index++) if (buffer[start + index] !== other[index]) return false;
  return true;
}
