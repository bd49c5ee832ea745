/**
 * Arrays in binary (`array_send`):
 *
 *   Int32 dimensions (0–6), Int32 flags (1: has NULLs), Int32 element type, dimensions × (Int32 size, Int32 lower bound),
 *   then for each element Int32 length (-1 for NULL) and its bytes
 */
import { BinaryReader, int32, lengthAndBytes } from './binary-reader.ts';

const MOST_DIMENSIONS = 6;

/** Undefined when it is no array of this element type. The same buffer when nothing was changed. */
export function mapArrayBinary(
  value: Buffer,
  elementType: number,
  map: (element: Buffer | null) => Buffer | null,
): Buffer | undefined {
  const reader = new BinaryReader(value);
  const dimensions = reader.int32();
  const flags = reader.int32();
  if (dimensions === undefined || dimensions < 0 || dimensions > MOST_DIMENSIONS) return undefined;
  if ((flags !== 0 && flags !== 1) || reader.uint32() !== elementType) return undefined;
  let count = dimensions === 0 ? 0 : 1;
  const bounds = value.subarray(12, 12 + dimensions * 8);
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const size = reader.int32();
    if (size === undefined || size < 0 || reader.int32() === undefined) return undefined;
    count *= size;
    if (count > value.length) return undefined;
  }
  const parts: Buffer[] = [];
  let changed = false;
  let nulls = false;
  for (let index = 0; index < count; index++) {
    const element = reader.value();
    if (element === undefined) return undefined;
    const mapped = map(element);
    changed ||= mapped !== element;
    nulls ||= mapped === null;
    parts.push(lengthAndBytes(mapped));
  }
  if (reader.remaining > 0) return undefined;
  if (!changed) return value;
  return Buffer.concat([int32(dimensions), int32(nulls ? 1 : 0), int32(elementType), bounds, ...parts]);
}

/** An array of one element. */
export function singleElement(elementType: number, element: Buffer): Buffer {
  return Buffer.concat([...[1, 0, elementType, 1, 1].map(int32), lengthAndBytes(element)]);
}
