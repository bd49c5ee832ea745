/** Rows for the recording: values as text after masking. */
import type { FieldDescription } from '../wire/backend.ts';
import { RowError } from './row-error.ts';
import { shapeOf, type TypeLookup } from './type-shape.ts';

/** SQL NULL, text, or the bytes of a binary value that has no text. */
export type RecordedValue = string | null | { readonly base64: string };

export interface RecordedRow {
  readonly values: readonly RecordedValue[];
  /** Bytes of all values, those that did not fit included. */
  readonly bytes: number;
  /** The budget ended within this row: later values are cut or missing. */
  readonly truncated: boolean;
}

/**
 * Decodes the DataRow body in `[start, end)`, at most `budget` bytes of its values. A value that does not fit is cut (text at
 * a whole character) and ends the row. Throws RowError when the body is no row of these fields.
 */
export function readRow(
  buffer: Buffer,
  start: number,
  end: number,
  fields: readonly Pick<FieldDescription, 'typeOid' | 'format'>[],
  types: TypeLookup,
  budget: number,
): RecordedRow {
  if (end - start < 2 || end > buffer.length || buffer.readUInt16BE(start) !== fields.length)
    throw malformed();
  const values: RecordedValue[] = [];
  let position = start + 2;
  let bytes = 0;
  let truncated = false;
  for (const field of fields) {
    if (position + 4 > end) throw malformed();
    const length = buffer.readInt32BE(position);
    const value = position + 4;
    if (length < -1 || length > end - value) throw malformed();
    position = value + Math.max(length, 0);
    const room = Math.max(0, budget - bytes);
    bytes += Math.max(length, 0);
    if (truncated) continue;
    if (length > room) truncated = true;
    values.push(
      length === -1 ? null : readValue(buffer, value, Math.min(length, room), length > room, field, types),
    );
  }
  if (position !== end) throw malformed();
  return { values, bytes, truncated };
}

function readValue(
  buffer: Buffer,
  start: number,
  length: number,
  cut: boolean,
  field: Pick<FieldDescription, 'typeOid' | 'format'>,
  types: TypeLookup,
): RecordedValue {
  const skipped = field.format === 0 ? 0 : textOffset(field.typeOid, types);
  if (skipped === undefined) return { base64: buffer.toString('base64', start, start + length) };
  let end = start + length;
  // Not within a character: bytes 10xxxxxx continue one.
  if (cut) while (end > start && ((buffer[end] ?? 0) & 0xc0) === 0x80) end--;
  return buffer.toString('utf8', Math.min(start + skipped, end), end);
}

/** Where the text starts in a binary value; undefined when there is none. */
function textOffset(type: number, types: TypeLookup): number | undefined {
  const shape = shapeOf(type, types);
  if (shape.kind === 'text') return 0;
  return shape.kind === 'json' ? (shape.version ? 1 : 0) : undefined;
}

function malformed(): RowError {
  return new RowError('malformed-row', 'a row that is not of the announced layout');
}
