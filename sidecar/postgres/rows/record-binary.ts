/**
 * Rows in binary (`record_send`): Int32 count, then for each attribute Int32 type, Int32 length (-1 for NULL), its bytes.
 */
import { BinaryReader, int32, lengthAndBytes } from './binary-reader.ts';

export interface BinaryAttribute {
  readonly type: number;
  readonly value: Buffer | null;
}

/** Undefined when the value is no row. */
export function readRecordBinary(value: Buffer): readonly BinaryAttribute[] | undefined {
  const reader = new BinaryReader(value);
  const count = reader.int32();
  if (count === undefined || count < 0 || count > reader.remaining / 8) return undefined;
  const attributes: BinaryAttribute[] = [];
  for (let index = 0; index < count; index++) {
    const type = reader.uint32();
    const attribute = reader.value();
    if (type === undefined || attribute === undefined) return undefined;
    attributes.push({ type, value: attribute });
  }
  return reader.remaining > 0 ? undefined : attributes;
}

export function writeRecordBinary(attributes: readonly BinaryAttribute[]): Buffer {
  return Buffer.concat([
    int32(attributes.length),
    ...attributes.flatMap(({ type, value }) => [int32(type), lengthAndBytes(value)]),
  ]);
}
