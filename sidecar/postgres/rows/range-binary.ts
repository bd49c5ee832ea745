/**
 * Ranges in binary (`range_send`): Int8 flags, then for each bound that is there Int32 length and its bytes.
 * Multiranges (`multirange_send`): Int32 count, then for each range Int32 length and its bytes.
 */
import { BinaryReader } from './binary-reader.ts';

const EMPTY = 0x01;
const LOWER_INFINITE = 0x08;
const UPPER_INFINITE = 0x10;

/** Bounds of a range; undefined when it is none. */
export function rangeBounds(value: Buffer): readonly Buffer[] | undefined {
  const reader = new BinaryReader(value);
  const flags = reader.uint8();
  if (flags === undefined) return undefined;
  const bounds: Buffer[] = [];
  for (const infinite of [LOWER_INFINITE, UPPER_INFINITE]) {
    if ((flags & (EMPTY | infinite)) !== 0) continue;
    const bound = reader.value();
    if (bound == null) return undefined;
    bounds.push(bound);
  }
  return reader.remaining > 0 ? undefined : bounds;
}

/** Bounds of all ranges of a multirange; undefined when it is none. */
export function multirangeBounds(value: Buffer): readonly Buffer[] | undefined {
  const reader = new BinaryReader(value);
  const count = reader.int32();
  if (count === undefined || count < 0 || count > reader.remaining / 5) return undefined;
  const bounds: Buffer[] = [];
  for (let index = 0; index < count; index++) {
    const range = reader.value();
    const own = range == null ? undefined : rangeBounds(range);
    if (own === undefined) return undefined;
    bounds.push(...own);
  }
  return reader.remaining > 0 ? undefined : bounds;
}
