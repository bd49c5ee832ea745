import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Mask } from '../../mask/mask.ts';
import { FrameWriter } from './frame-writer.ts';
import { readRow } from './read-row.ts';
import { RowError } from './row-error.ts';
import { compileRowMasker } from './row-masker.ts';
import {
  keys,
  detectors,
  types,
  value,
  REDACT,
  CLEAR,
  field,
  encode,
  decode,
  maskOne,
  text,
  hex,
  recordOf,
  card,
} from './row-testing.ts';

test('under Redact and Null the bytes do not depend on the value', () => {
  const mask = fc.constantFrom<Mask>({ with: 'Redact' }, { with: 'Null' });
  const type = fc.constantFrom(25, 1042, 23, 114, 3802, 1009, 1007, 2249, 90002, 90003, 17, 3926, 90004);
  const any = fc.option(
    fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(text('{a,b}'), text('(a,1,)'), text(card))),
  );
  fc.assert(
    fc.property(type, fc.constantFrom<0 | 1>(0, 1), mask, any, any, (oid, format, with_, one, other) => {
      const run = (bytes: Uint8Array | null) =>
        maskOne(oid, format, value(with_), bytes && Buffer.from(bytes));
      assert.deepEqual(run(one), run(other));
    }),
    { numRuns: 800 },
  );
});

test('any row of any types: what is clear is byte-identical, what is masked is masked', () => {
  const kinds = fc.array(
    fc.record({
      oid: fc.constantFrom(25, 23, 114, 1009, 2249, 90002, 90004),
      format: fc.constantFrom(0, 1),
      masked: fc.boolean(),
      bytes: fc.option(fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes))),
    }),
    { maxLength: 6 },
  );
  const out = new FrameWriter();
  fc.assert(
    fc.property(kinds, (columns) => {
      const masks = columns.map(({ masked }) => (masked ? REDACT : CLEAR));
      const masker = compileRowMasker(
        columns.map(({ oid, format }) => field(oid, format)),
        masks,
        undefined,
        types,
        keys,
      );
      if (masker === undefined) return;
      if (masker.kind !== 'masker') throw new Error(masker.reason);
      const row = encode(columns.map(({ bytes }) => bytes));
      masker.mask(row, 0, row.length, out);
      decode(out.take()).forEach((one, index) => {
        const column = columns[index];
        if (column?.masked === false) assert.deepEqual(one, column.bytes);
        else if (column?.bytes && column.bytes.length > 12) assert.notDeepEqual(one, column.bytes);
      });
    }),
    { numRuns: 800 },
  );
});

test('bytes that are no row give a RowError and leave nothing behind', () => {
  const fields = [field(25), field(23), field(2249, 1)];
  const masker = compileRowMasker(fields, [REDACT, CLEAR, CLEAR], detectors, types, keys);
  if (masker?.kind !== 'masker') throw new Error(masker?.reason ?? 'nothing to mask');
  const valid = encode([text('a'), null, recordOf([[25, text('b')]])]);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((random) => Buffer.from(random)),
    fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => {
      const copy = Buffer.from(valid);
      copy[at] = byte;
      return copy;
    }),
    fc.nat(valid.length).map((length) => valid.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 4 }).map((tail) => Buffer.concat([valid, tail])),
  );
  const out = new FrameWriter();
  fc.assert(
    fc.property(bytes, (row) => {
      try {
        masker.mask(row, 0, row.length, out);
        assert.equal(decode(out.take()).length, 3);
      } catch (error) {
        if (!(error instanceof RowError)) throw error;
        assert.equal(error.code, 'malformed-row');
        assert.equal(out.pending, 0);
      }
      try {
        readRow(row, 0, row.length, fields, types, 10);
      } catch (error) {
        if (!(error instanceof RowError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

test('literals of any bytes never throw, and what detectors must hide does not come through', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '"',
    '\\',
    ',',
    '(',
    ')',
    'NULL',
    'a@b.io',
    ' ',
    '[1:2]=',
    'x',
    ';',
    '""',
    '\\"',
    ':',
  );
  const literal = fc.array(piece, { maxLength: 12 }).map((pieces) => text(pieces.join('')));
  fc.assert(
    fc.property(fc.constantFrom(114, 1009, 2249, 90002, 90003, 90005, 17, 3614), literal, (oid, one) => {
      const masked = maskOne(oid, 0, CLEAR, one, true);
      assert.ok(masked !== 'refused' && masked !== 'clear');
      assert.ok(
        masked === null || !/(^|[^\\"])a@b\.io/.test(masked.toString()) || oid === 17,
        `${one?.toString() ?? ''} ${masked?.toString() ?? ''}`,
      );
    }),
    { numRuns: 3000 },
  );
});

test('what was taken from a writer is never written again', () => {
  const masker = compileRowMasker([field(25), field(25)], [REDACT, CLEAR], undefined, types, keys);
  if (masker?.kind !== 'masker') throw new Error('no masker');
  const out = new FrameWriter();
  const taken: { readonly frames: Buffer; readonly copy: Buffer }[] = [];
  for (let index = 0; index < 3000; index++) {
    const row = encode([text('s'), Buffer.alloc(index % 7 === 0 ? index * 40 : 20, index)]);
    masker.mask(row, 0, row.length, out);
    if (index % 3 === 0) {
      const frames = out.take();
      taken.push({ frames, copy: Buffer.from(frames) });
    }
  }
  for (const { frames, copy } of taken.slice(-200)) assert.ok(frames.equals(copy));
  assert.ok(taken.every(({ frames }) => frames.length > 0));
});

test('rows for the recording', () => {
  const fields = [field(25), field(25, 1), field(23, 1), field(3802, 1), field(25)];
  const row = encode([text('a'), text('é'), hex('00000001'), text('\x01{}'), null]);
  assert.deepEqual(readRow(row, 0, row.length, fields, types, 100), {
    values: ['a', 'é', { base64: 'AAAAAQ==' }, '{}', null],
    bytes: 10,
    truncated: false,
  });
  assert.deepEqual(readRow(row, 0, row.length, fields, types, 2), {
    values: ['a', ''],
    bytes: 10,
    truncated: true,
  });
});
