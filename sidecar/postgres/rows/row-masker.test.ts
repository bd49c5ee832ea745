import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FieldMask } from '../../mask/mask.ts';
import { FrameWriter } from './frame-writer.ts';
import { compileRowMasker } from './row-masker.ts';
import {
  type Value,
  keys,
  detectors,
  types,
  value,
  REDACT,
  CLEAR,
  field,
  encode,
  sized,
  decode,
  maskOne,
  text,
  hex,
  arrayOf,
  recordOf,
  last2,
  card,
} from './row-testing.ts';

const COLUMN_CASES: readonly (readonly [name: string, number, 0 | 1, FieldMask, Value, Value])[] = [
  ['text', 25, 0, REDACT, text('secret'), text('[redacted]')],
  ['text null', 25, 0, REDACT, null, text('[redacted]')],
  ['text null mask', 25, 0, value({ with: 'Null' }), text('secret'), null],
  ['varchar binary', 1043, 1, REDACT, text('secret'), text('[redacted]')],
  ['domain', 90001, 0, REDACT, text('secret'), text('[redacted]')],
  ['partial', 25, 1, last2, text('abcdef'), text('****ef')],
  ['partial null', 25, 1, last2, null, null],
  ['char(n) is not longer by its blanks', 1042, 0, last2, text('ab      '), text('****')],
  ['int4', 23, 0, REDACT, text('42'), null],
  ['int4 binary partial', 23, 1, last2, hex('0000002a'), null],
  ['unknown type', 90004, 1, REDACT, hex('00'), null],
  [
    'uuid hash',
    2950,
    0,
    value({ with: 'Hash', scope: 'Session' }),
    text('550e8400-e29b-41d4-a716-446655440000'),
    null,
  ],
  ['json', 114, 0, REDACT, text('{"a":1}'), text('"[redacted]"')],
  ['jsonb binary', 3802, 1, REDACT, text('\x01{"a":1}'), text('\x01"[redacted]"')],
  ['jsonb partial', 3802, 0, last2, text('{"a":1}'), text('"[redacted]"')],
  ['text[]', 1009, 0, REDACT, text('{a,b,c}'), text('{[redacted]}')],
  ['text[] null', 1009, 0, REDACT, null, text('{[redacted]}')],
  ['text[] binary', 1009, 1, REDACT, arrayOf(25, [text('a'), null]), arrayOf(25, [text('[redacted]')])],
  ['json[]', 199, 0, REDACT, text('{}'), text('{"\\"[redacted]\\""}')],
  ['int4[]', 1007, 0, REDACT, text('{1,2}'), null],
  [
    'text[] partial',
    1009,
    0,
    last2,
    text('[0:2]={abcd,NULL,"x y z w"}'),
    text('[0:2]={****cd,NULL,"**** w"}'),
  ],
  [
    'text[] partial binary',
    1009,
    1,
    last2,
    arrayOf(25, [text('abcd'), null]),
    arrayOf(25, [text('****cd'), null]),
  ],
  ['text[] broken', 1009, 0, last2, text('{abcd'), null],
  [
    'elements',
    1009,
    0,
    { kind: 'array', element: REDACT },
    text('{{a,NULL},{c,d}}'),
    text('{{[redacted],[redacted]},{[redacted],[redacted]}}'),
  ],
  [
    'elements int',
    1007,
    1,
    { kind: 'array', element: REDACT },
    arrayOf(23, [hex('00000001')]),
    arrayOf(23, [null]),
  ],
  ['elements of another type', 1007, 1, { kind: 'array', element: REDACT }, arrayOf(25, [text('a')]), null],
  ['composite', 90002, 0, REDACT, text('(a,1,{x})'), null],
  [
    'attributes',
    90002,
    0,
    { kind: 'composite', fields: [REDACT, CLEAR, last2] },
    text('("a,b",1,"{abcd,""x y z""}")'),
    text('([redacted],1,"{****cd,""**** z""}")'),
  ],
  [
    'attributes null',
    90002,
    0,
    { kind: 'composite', fields: [REDACT, REDACT, CLEAR] },
    text('(,1,)'),
    text('([redacted],,)'),
  ],
  [
    'attributes binary',
    90002,
    1,
    { kind: 'composite', fields: [REDACT, REDACT, CLEAR] },
    recordOf([
      [25, text('a')],
      [23, hex('00000001')],
      [1009, null],
    ]),
    recordOf([
      [25, text('[redacted]')],
      [23, null],
      [1009, null],
    ]),
  ],
  ['attributes miscounted', 90002, 0, { kind: 'composite', fields: [CLEAR, CLEAR] }, text('(a,1,)'), null],
  [
    'array of rows',
    90003,
    0,
    { kind: 'array', element: { kind: 'composite', fields: [REDACT, CLEAR, CLEAR] } },
    text('{"(a,1,)","(\\"b \\\\\\\\ c\\",2,)"}'),
    text('{"([redacted],1,)","([redacted],2,)"}'),
  ],
  ['record', 2249, 0, { kind: 'composite', fields: [CLEAR, REDACT] }, text('(a,5)'), text('(a,[redacted])')],
  [
    'record binary',
    2249,
    1,
    { kind: 'composite', fields: [CLEAR, REDACT] },
    recordOf([
      [25, text('a')],
      [23, hex('00000005')],
    ]),
    recordOf([
      [25, text('a')],
      [23, null],
    ]),
  ],
  ['mask of another shape', 25, 0, { kind: 'composite', fields: [REDACT] }, text('(a)'), text('[redacted]')],
  [
    'row in itself',
    90005,
    0,
    { kind: 'composite', fields: [REDACT, CLEAR] },
    text('(a,"{""(b,)""}")'),
    text('([redacted],"{""(b,)""}")'),
  ],
];

test('a column mask, by type and format', () => {
  for (const [name, type, format, mask, one, expected] of COLUMN_CASES) {
    const masked = maskOne(type, format, mask, one);
    assert.ok(masked !== 'refused' && masked !== 'clear', name);
    assert.equal(masked?.toString('latin1'), expected?.toString('latin1'), name);
  }
});

const DETECTOR_CASES: readonly (readonly [
  name: string,
  number,
  0 | 1,
  Value,
  Value | 'same' | 'refused' | 'clear',
])[] = [
  ['text', 25, 0, text(`pay ${card} now`), text('pay [redacted] now')],
  ['text clear', 25, 1, text('nothing'), 'same'],
  ['text null', 25, 0, null, null],
  ['date', 1082, 0, text('2024-01-01'), 'clear'],
  ['uuid', 2950, 1, hex('550e8400e29b41d4a716446655440000'), 'clear'],
  ['int8', 20, 0, text(card), null],
  [
    'int8 binary',
    20,
    1,
    hex('000e9b0e11ecf1c7'.replace(/.*/, BigInt(card).toString(16).padStart(16, '0'))),
    null,
  ],
  ['int8 small', 20, 1, hex('00000000000000ff'), 'same'],
  ['numeric', 1700, 0, text(card), null],
  ['numeric binary', 1700, 1, hex('0004 0003 0000 0000 100f 0457 0457 0457'), null],
  ['numeric binary small', 1700, 1, hex('0001 0000 0000 0002 0001'), 'same'],
  ['float8', 701, 0, text('4.111111111111111e+15'), null],
  [
    'float8 binary',
    701,
    1,
    (() => {
      const b = Buffer.alloc(8);
      b.writeDoubleBE(Number(card));
      return b;
    })(),
    null,
  ],
  ['inet', 869, 0, text('10.0.0.1/24'), null],
  ['inet binary', 869, 1, hex('02 20 00 04 0a000001'), null],
  ['inet binary v6', 869, 1, hex('03 80 00 10 20010db8000000000000000000000001'), null],
  ['bytea', 17, 0, text(`\\x${Buffer.from('a@b.io').toString('hex')}`), null],
  ['bytea escape', 17, 0, text('\\000a@b.io'), null],
  ['bytea clear', 17, 0, text('\\x00ff'), 'same'],
  ['bytea binary', 17, 1, text('a@b.io'), null],
  ['tsvector', 3614, 0, text("'a@b.io':1"), null],
  [
    'json',
    114,
    0,
    text('{"mail": "a@b.io", "n":[1, 2.5e3,true]}'),
    text('{"mail": "[redacted]", "n":[1, 2.5e3,true]}'),
  ],
  ['json escape', 114, 0, text('{"m":"a\\u0040b.io"}'), text('{"m":"[redacted]"}')],
  ['json key', 114, 0, text('{"a@b.io" : 1}'), text('{"[redacted]" : 1}')],
  ['json number', 3802, 0, text(`[${card}, -1]`), text('["[redacted]", -1]')],
  ['json quotes', 114, 0, text('["\\"a@b.io\\\\\\""]'), text('["\\"[redacted]\\\\\\""]')],
  [
    'json named secret',
    114,
    0,
    text('{"secret_key":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}'),
    text('{"secret_key":"[redacted]"}'),
  ],
  ['json broken', 114, 0, text('{"a@b.io'), text('"[redacted]"')],
  ['jsonb binary', 3802, 1, text('\x01["a@b.io"]'), text('\x01["[redacted]"]')],
  ['jsonb binary version', 3802, 1, text('\x02["a"]'), null],
  ['text[]', 1009, 0, text('{"a@b.io x",NULL,"q\\"q"}'), text('{"[redacted] x",NULL,"q\\"q"}')],
  ['text[] clear', 1009, 0, text('{a,NULL,"b c"}'), 'same'],
  ['text[] binary', 1009, 1, arrayOf(25, [text('a@b.io'), null]), arrayOf(25, [text('[redacted]'), null])],
  ['int4[]', 1007, 0, text('{1}'), 'clear'],
  ['record', 2249, 0, text('(1,"a@b.io ""x""",)'), text('(1,"[redacted] ""x""",)')],
  [
    'record binary',
    2249,
    1,
    recordOf([
      [25, text('a@b.io')],
      [23, hex('00000001')],
    ]),
    recordOf([
      [25, text('[redacted]')],
      [23, hex('00000001')],
    ]),
  ],
  ['record binary with unknown', 2249, 1, recordOf([[90004, text('x')]]), null],
  ['int8range', 3926, 0, text(`[1,${card})`), null],
  [
    'int8range binary',
    3926,
    1,
    Buffer.concat([hex('02'), sized(hex('0000000000000001')), sized(hex('0000000000000002'))]),
    'same',
  ],
  [
    'int8range binary card',
    3926,
    1,
    Buffer.concat([hex('12'), sized(hex(BigInt(card).toString(16).padStart(16, '0')))]).fill(0x12, 0, 1),
    null,
  ],
  ['daterange', 3912, 1, hex('01'), 'clear'],
  ['unknown', 90004, 0, text('x a@b.io'), null],
  ['unknown clear', 90004, 0, text('x'), 'same'],
  ['unknown binary', 90004, 1, text('x'), 'refused'],
];

test('detectors, by type and format', () => {
  for (const [name, type, format, one, expected] of DETECTOR_CASES) {
    const masker = compileRowMasker([field(type, format)], undefined, detectors, types, keys);
    if (masker === undefined || masker.kind === 'refused') {
      assert.equal(masker?.kind ?? 'clear', expected, name);
      continue;
    }
    const out = new FrameWriter();
    const row = encode([one]);
    const hits = masker.mask(row, 0, row.length, out);
    const wanted = expected === 'same' ? one : expected;
    assert.ok(wanted !== 'refused' && wanted !== 'clear', name);
    assert.equal(decode(out.take())[0]?.toString('latin1'), wanted?.toString('latin1'), name);
    const undecodable = /version|unknown$/.test(name);
    assert.ok(hits > 0 || expected === 'same' || one === null || undecodable, name);
  }
});

test('nothing to do, and what cannot be done', () => {
  assert.equal(compileRowMasker([field(25)], [CLEAR], undefined, types, keys), undefined);
  assert.equal(compileRowMasker([field(25)], undefined, undefined, types, keys), undefined);
  assert.equal(compileRowMasker([field(25)], [], undefined, types, keys)?.kind, 'refused');
  assert.equal(compileRowMasker([field(25, 2)], [REDACT], undefined, types, keys)?.kind, 'refused');
  const all = compileRowMasker([field(25), field(23, 1)], 'all', undefined, types, keys);
  assert.equal(all?.kind, 'masker');
});
