import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileDetectors } from '../../mask/detectors.ts';
import { createMaskKeys } from '../../mask/keys.ts';
import { DETECTORS, type FieldMask } from '../../mask/mask.ts';
import type { CopyOptions } from '../sql/statement.ts';
import { builtinTypes } from './builtin-types.ts';
import { compileCopyMasker } from './copy-masker.ts';
import { FrameWriter } from './frame-writer.ts';
import { RowError } from './row-error.ts';

const keys = createMaskKeys();
const detectors = compileDetectors(DETECTORS.map((detector) => ({ detector, mask: { with: 'Redact' } })));
const REDACT: FieldMask = { kind: 'value', mask: { with: 'Redact' } };
const LAST: FieldMask = { kind: 'value', mask: { with: 'Partial', keepFirst: 0, keepLast: 1 } };
const CLEAR: FieldMask = { kind: 'clear' };

const TEXT: CopyOptions = {
  format: 'text',
  delimiter: '\t',
  null: '\\N',
  quote: '"',
  escape: '"',
  header: false,
};
const CSV: CopyOptions = { ...TEXT, format: 'csv', delimiter: ',', null: '' };
const BINARY: CopyOptions = { ...TEXT, format: 'binary' };

/** All rows, each of which came in a CopyData frame of its own. */
function run(
  options: CopyOptions,
  masks: readonly FieldMask[] | undefined,
  input: Buffer,
  cuts: readonly number[],
): Buffer[] {
  const columns = masks?.length ?? 2;
  const found = masks === undefined ? detectors : undefined;
  const types = Array.from({ length: columns }, () => 25);
  const masker = compileCopyMasker(options, types, masks, found, builtinTypes, keys, 10_000);
  if (masker?.kind !== 'masker') throw new Error(masker?.reason ?? 'nothing to mask');
  const out = new FrameWriter();
  let from = 0;
  for (const cut of [...cuts, input.length]) {
    masker.push(input, from, cut, out);
    from = cut;
  }
  masker.end();
  const frames = out.take();
  const rows: Buffer[] = [];
  for (let at = 0; at < frames.length;) {
    assert.equal(frames[at], 0x64);
    const end = at + 1 + frames.readInt32BE(at + 1);
    rows.push(frames.subarray(at + 5, end));
    at = end;
  }
  return rows;
}

/** Options, masks (undefined: detectors), what the server sends, and what the client gets. */
const CASES: readonly (readonly [
  string,
  CopyOptions,
  readonly FieldMask[] | undefined,
  string,
  readonly string[],
])[] = [
  ['text', TEXT, [REDACT, CLEAR], 'a\tb\n\\N\t\\N\n', ['[redacted]\tb\n', '[redacted]\t\\N\n']],
  ['text escapes', TEXT, [LAST, CLEAR], 'a\\\\\\t\\n\tb\\\\\\tc\n', ['****\\n\tb\\\\\\tc\n']],
  ['text null stays', TEXT, [LAST, CLEAR], '\\N\tb\n', ['\\N\tb\n']],
  ['text delimiter', { ...TEXT, delimiter: '|' }, [CLEAR, LAST], 'a\\|b|cd\\|\n', ['a\\|b|****\\|\n']],
  ['text delimiter in a mask', { ...TEXT, delimiter: '[' }, [REDACT, CLEAR], 'a[b\n', ['\\[redacted][b\n']],
  [
    'text null string',
    { ...TEXT, null: 'NIL' },
    [{ kind: 'value', mask: { with: 'Null' } }, LAST],
    'a\tNIL\n',
    ['NIL\tNIL\n'],
  ],
  [
    'text header',
    { ...TEXT, header: true },
    [REDACT, CLEAR],
    'one\ttwo\na\tb\n',
    ['one\ttwo\n', '[redacted]\tb\n'],
  ],
  ['text detectors', TEXT, undefined, 'x a@b.io\tok\nnone\t\\N\n', ['x [redacted]\tok\n', 'none\t\\N\n']],
  [
    'text detectors behind escapes',
    { ...TEXT, delimiter: '@' },
    undefined,
    'a\\@b.io@x\n',
    ['[redacted]@x\n'],
  ],
  ['csv', CSV, [REDACT, CLEAR], 'a,b\n,\n', ['[redacted],b\n', '[redacted],\n']],
  ['csv quotes', CSV, [LAST, CLEAR], '"a ""x"", \n y","b\n""c"""\n', ['"****y","b\n""c"""\n']],
  ['csv a quote masked', CSV, [LAST, CLEAR], '"ab""",b\n', ['"****""",b\n']],
  ['csv empty is not null', CSV, [LAST, CLEAR], '"",""\n,\n', ['"****",""\n', ',\n']],
  [
    'csv escape',
    { ...CSV, escape: '\\' },
    [LAST, CLEAR],
    '"a\\"b\\\\","\\""\n"a\nx",y\n',
    ['"****\\\\","\\""\n', '"****x",y\n'],
  ],
  [
    'csv marks',
    { ...CSV, delimiter: ';', quote: "'", escape: "'" },
    [CLEAR, REDACT],
    "'a;''b';c\n",
    ["'a;''b';[redacted]\n"],
  ],
  ['csv a delimiter in a mask', { ...CSV, delimiter: '[' }, [REDACT, CLEAR], 'a[b\n', ['"[redacted]"[b\n']],
  [
    'csv header',
    { ...CSV, header: true },
    [REDACT, CLEAR],
    '"o\nne",two\na,b\n',
    ['"o\nne",two\n', '[redacted],b\n'],
  ],
  ['csv detectors', CSV, undefined, '"a@b.io, x",b\n', ['"[redacted], x",b\n']],
];

test('rows of COPY, whole and cut at every byte', () => {
  for (const [name, options, masks, input, expected] of CASES) {
    const bytes = Buffer.from(input);
    const all = Array.from({ length: bytes.length }, (_, index) => index);
    for (const cuts of [[], all, ...all.map((cut) => [cut])]) {
      assert.deepEqual(run(options, masks, bytes, cuts).map(String), expected, `${name} ${cuts.join()}`);
    }
  }
});

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const tuple = Buffer.from('0002 00000001 61 ffffffff'.replaceAll(' ', ''), 'hex');
const TRAILER = Buffer.from('ffff', 'hex');

test('columns of unknown types: text where text may stand, hidden or refused where not', () => {
  const push = (options: CopyOptions, masks: readonly FieldMask[] | undefined, input: string): string => {
    const found = masks === undefined ? detectors : undefined;
    const masker = compileCopyMasker(options, [0, 0], masks, found, builtinTypes, keys);
    if (masker?.kind !== 'masker') return masker?.kind ?? 'clear';
    const out = new FrameWriter();
    masker.push(Buffer.from(input, 'latin1'), 0, input.length, out);
    return out.take().toString('latin1', 5);
  };
  assert.equal(push(TEXT, [REDACT, LAST], '1\tabc\n'), '[redacted]\t****c\n');
  assert.equal(push(CSV, undefined, '"{""m"":""a@b.io""}",ok\n'), '"{""m"":""[redacted]""}",ok\n');
  const hex = Buffer.from('a@b.io').toString('hex');
  assert.equal(push(TEXT, undefined, `\\\\x${hex}\t["a\\\\u0040b.io"]\n`), '\\N\t\\N\n');
  assert.equal(push(TEXT, undefined, '\\\\x00\tC:\\\\users\n'), '\\\\x00\tC:\\\\users\n');
  assert.equal(push(BINARY, undefined, ''), 'refused');
});

test('rows of COPY in binary', () => {
  const input = Buffer.concat([HEADER, tuple, tuple, TRAILER]);
  const masked = Buffer.concat([
    Buffer.from('00020000000a', 'hex'),
    Buffer.from('[redacted]'),
    Buffer.from('ffffffff', 'hex'),
  ]);
  for (let cut = 0; cut < input.length; cut++) {
    assert.deepEqual(run(BINARY, [REDACT, CLEAR], input, [cut]), [HEADER, masked, masked, TRAILER]);
  }
});

const BROKEN: readonly (readonly [string, CopyOptions, Buffer])[] = [
  ['cut off', TEXT, Buffer.from('a\tb')],
  ['a field too few', TEXT, Buffer.from('a\n')],
  ['a field too many', TEXT, Buffer.from('a\tb\tc\n')],
  ['a backslash at the end', TEXT, Buffer.from('a\tb\\\n')],
  ['an escape that no server writes', TEXT, Buffer.from('a\\x41\tb\n')],
  ['an open quote', CSV, Buffer.from('"a,b\n')],
  ['a quote in the middle', CSV, Buffer.from('a"b",c\n')],
  ['something behind a quote', CSV, Buffer.from('"a"b,c\n')],
  ['no signature', BINARY, Buffer.concat([Buffer.alloc(19), TRAILER])],
  ['no trailer', BINARY, Buffer.concat([HEADER, tuple])],
  ['only a header', BINARY, HEADER.subarray(0, 12)],
  ['behind the trailer', BINARY, Buffer.concat([HEADER, TRAILER, TRAILER])],
  ['flags', BINARY, Buffer.concat([HEADER.subarray(0, 11), Buffer.from('0001000000000000', 'hex')])],
  ['a length that wraps', BINARY, Buffer.concat([HEADER, Buffer.from('000280000000', 'hex'), tuple])],
  ['another count', BINARY, Buffer.concat([HEADER, Buffer.from('0001ffffffff', 'hex'), TRAILER])],
  ['too long a row', TEXT, Buffer.from(`${'a'.repeat(10_001)}\tb\n`)],
];

test('what is no COPY data is refused', () => {
  for (const [name, options, input] of BROKEN) {
    for (const cuts of [[], [1], [5, 9]]) {
      assert.throws(
        () =>
          run(
            options,
            [LAST, CLEAR],
            input,
            cuts.filter((cut) => cut < input.length),
          ),
        RowError,
        name,
      );
    }
  }
});

test('options that leave doubt are refused', () => {
  const odd: readonly Partial<CopyOptions>[] = [
    { delimiter: 'é' },
    { delimiter: '' },
    { delimiter: ',,' },
    { null: 'a\\' },
    { null: 'a\tb' },
  ];
  for (const options of odd) {
    const masker = compileCopyMasker({ ...TEXT, ...options }, [25], [REDACT], undefined, builtinTypes, keys);
    assert.equal(masker?.kind, 'refused', JSON.stringify(options));
  }
  assert.equal(
    compileCopyMasker({ ...CSV, quote: ',' }, [25], [REDACT], undefined, builtinTypes, keys)?.kind,
    'refused',
  );
  assert.equal(
    compileCopyMasker(TEXT, [25], [REDACT, CLEAR], undefined, builtinTypes, keys)?.kind,
    'refused',
  );
  assert.equal(compileCopyMasker(BINARY, [0], undefined, detectors, builtinTypes, keys)?.kind, 'refused');
  assert.equal(compileCopyMasker(TEXT, [25], [CLEAR], undefined, builtinTypes, keys), undefined);
});

test('any bytes: only a RowError comes out', () => {
  const piece = fc.constantFrom('a', '"', '\\', ',', '\t', '\n', '\\N', '\r', 'a@b.io', '\0');
  const input = fc.oneof(
    fc.array(piece, { maxLength: 15 }).map((pieces) => Buffer.from(pieces.join(''))),
    fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.concat([HEADER, bytes])),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(TEXT, CSV, { ...CSV, escape: '\\' }, BINARY),
      input,
      fc.nat(30),
      (options, bytes, cut) => {
        for (const masks of [[LAST, CLEAR], undefined]) {
          let whole: Buffer[] | undefined;
          try {
            whole = run(options, masks, bytes, []);
          } catch (error) {
            if (!(error instanceof RowError)) throw error;
          }
          // Where messages are cut makes no difference.
          if (whole === undefined)
            assert.throws(() => run(options, masks, bytes, [Math.min(cut, bytes.length)]), RowError);
          else assert.deepEqual(run(options, masks, bytes, [Math.min(cut, bytes.length)]), whole);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
