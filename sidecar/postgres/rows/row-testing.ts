/** Rows for the tests: written and read by other code than that under test. */
import assert from 'node:assert/strict';
import { compileDetectors } from '../../mask/detectors.ts';
import { createMaskKeys } from '../../mask/keys.ts';
import { DETECTORS, type FieldMask, type Mask } from '../../mask/mask.ts';
import { builtinTypes } from './builtin-types.ts';
import { FrameWriter } from './frame-writer.ts';
import { compileRowMasker } from './row-masker.ts';
import type { TypeLookup } from './type-shape.ts';

export type Value = Buffer | null;

export const keys = createMaskKeys();
export const detectors = compileDetectors(
  DETECTORS.map((detector) => ({ detector, mask: { with: 'Redact' } })),
);
/** 90001 citext-like domain, 90002 composite (text, int4, text[]), 90003 its array, 90004 unknown, 90005 itself within itself */
export const types: TypeLookup = (oid) => {
  if (oid === 90001) return { kind: 'domain', base: 25 };
  if (oid === 90002) return { kind: 'composite', attributes: [25, 23, 1009] };
  if (oid === 90003) return { kind: 'array', element: 90002, delimiter: ',' };
  if (oid === 90005) return { kind: 'composite', attributes: [25, 90006] };
  if (oid === 90006) return { kind: 'array', element: 90005, delimiter: ',' };
  return builtinTypes(oid);
};
export const value = (mask: Mask): FieldMask => ({ kind: 'value', mask });
export const REDACT = value({ with: 'Redact' });
export const CLEAR: FieldMask = { kind: 'clear' };
export const field = (typeOid: number, format = 0) => ({
  name: 'c',
  tableOid: 0,
  columnNumber: 0,
  typeOid,
  typeSize: -1,
  typeModifier: -1,
  format,
});

export function encode(values: readonly Value[]): Buffer {
  const head = Buffer.alloc(2);
  head.writeInt16BE(values.length);
  return Buffer.concat([head, ...values.map(sized)]);
}

export function sized(one: Value): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(one === null ? -1 : one.length);
  return one === null ? length : Buffer.concat([length, one]);
}

/** Independent of the code under test. */
export function decode(frames: Buffer): Value[] {
  assert.equal(frames.toString('latin1', 0, 1), 'D');
  assert.equal(frames.readInt32BE(1), frames.length - 1);
  const values: Value[] = [];
  let at = 7;
  for (let left = frames.readInt16BE(5); left > 0; left--) {
    const length = frames.readInt32BE(at);
    values.push(length === -1 ? null : frames.subarray(at + 4, at + 4 + length));
    at += 4 + Math.max(0, length);
  }
  assert.equal(at, frames.length);
  return values;
}

export function maskOne(
  type: number,
  format: number,
  mask: FieldMask,
  one: Value,
  found = false,
): Value | 'refused' | 'clear' {
  const masker = compileRowMasker(
    [field(25), field(type, format)],
    [CLEAR, mask],
    found ? detectors : undefined,
    types,
    keys,
  );
  if (masker === undefined) return 'clear';
  if (masker.kind === 'refused') return 'refused';
  const out = new FrameWriter();
  const row = encode([Buffer.from('left alone'), one]);
  const padded = Buffer.concat([Buffer.from('xyz'), row, Buffer.from('tail')]);
  masker.mask(padded, 3, 3 + row.length, out);
  const [first, second] = decode(out.take());
  assert.equal(first?.toString(), 'left alone');
  return second ?? null;
}

export const text = (one: string | null): Value => (one === null ? null : Buffer.from(one));
export const hex = (one: string): Buffer => Buffer.from(one.replaceAll(' ', ''), 'hex');
export const arrayOf = (oid: number, elements: readonly Value[]): Buffer => {
  const head = Buffer.alloc(20);
  [1, elements.includes(null) ? 1 : 0, oid, elements.length, 1].forEach((n, i) =>
    head.writeInt32BE(n, i * 4),
  );
  return Buffer.concat([head, ...elements.map(sized)]);
};
export const recordOf = (attributes: readonly (readonly [number, Value])[]): Buffer => {
  const int = (n: number) => {
    const b = Buffer.alloc(4);
    b.writeInt32BE(n);
    return b;
  };
  return Buffer.concat([
    int(attributes.length),
    ...attributes.flatMap(([oid, one]) => [int(oid), sized(one)]),
  ]);
};
export const last2 = value({ with: 'Partial', keepFirst: 0, keepLast: 2 });
export const card = '4111111111111111';
