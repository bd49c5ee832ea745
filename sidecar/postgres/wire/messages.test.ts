import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  encodeBackendKeyData,
  encodeErrorFields,
  encodeParameterStatus,
  readBackendKeyData,
  readErrorFields,
  readParameterDescription,
  readParameterStatus,
  readReadyForQuery,
  readRowDescription,
  readTextRow,
} from './backend.ts';
import { WireError } from './error.ts';
import type { Frame } from './frame.ts';
import {
  type Bind,
  encodeBind,
  encodeParse,
  encodeQuery,
  readBind,
  readEmpty,
  readExecute,
  readParse,
  readPassword,
  readQuery,
  readTarget,
} from './frontend.ts';
import { encodeStartup, readStartupPacket } from './startup.ts';

function frameOf(bytes: Buffer): Frame {
  return { tag: bytes[0] ?? 0, buffer: bytes, start: 0, end: bytes.length };
}

/** A frame of any body, whatever its type. */
function framed(body: Uint8Array): Frame {
  return frameOf(Buffer.concat([Buffer.from([0x3f, 0, 0, 0, 0]), body]));
}

const decoders: readonly [string, (frame: Frame) => unknown][] = [
  ['Query', readQuery],
  ['Parse', readParse],
  ['Bind', readBind],
  ['Describe', (frame) => readTarget('Describe', frame)],
  ['Execute', readExecute],
  ['PasswordMessage', readPassword],
  ['Sync', (frame) => readEmpty('Sync', frame)],
  ['RowDescription', readRowDescription],
  ['ParameterDescription', readParameterDescription],
  ['ErrorResponse', readErrorFields],
  ['ParameterStatus', readParameterStatus],
  ['BackendKeyData', readBackendKeyData],
  ['ReadyForQuery', readReadyForQuery],
  ['DataRow', readTextRow],
];

for (const [name, decode] of decoders) {
  void test(`${name}: any bytes are read or refused with WireError, and nothing is read beyond them`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (body) => {
        try {
          decode(framed(body));
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 300 },
    );
  });
}

const name = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !text.includes('\0'));

void test('Parse and Query come back as they were written', () => {
  fc.assert(
    fc.property(name, name, fc.array(fc.integer({ min: 0, max: 0xffffffff })), (statement, text, types) => {
      assert.deepEqual(readParse(frameOf(encodeParse(statement, text, types))), {
        name: statement,
        text,
        types,
      });
      assert.equal(readQuery(frameOf(encodeQuery(text))), text);
    }),
  );
});

void test('Bind comes back as it was written', () => {
  const value = fc.option(fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)));
  fc.assert(
    fc.property(
      name,
      name,
      fc.array(value, { maxLength: 20 }),
      fc.constantFrom(0, 1),
      (portal, statement, values, format) => {
        const bind: Bind = { portal, statement, formats: [format], values, resultFormats: [format, 0] };
        assert.deepEqual(readBind(frameOf(encodeBind(bind, statement))), bind);
      },
    ),
  );
});

void test('messages that are cut short or too long', () => {
  const whole = [
    [encodeQuery('SELECT 1'), readQuery],
    [encodeParse('s', 'SELECT $1', [23]), readParse],
    [
      encodeBind(
        { portal: '', statement: 's', formats: [1], values: [Buffer.from('x'), null], resultFormats: [] },
        's',
      ),
      readBind,
    ],
  ] as const;
  for (const [bytes, decode] of whole) {
    for (let cut = 5; cut < bytes.length; cut++) {
      assert.throws(() => decode(frameOf(bytes.subarray(0, cut))), WireError);
    }
    assert.throws(() => decode(frameOf(Buffer.concat([bytes, Buffer.from([0])]))), WireError);
  }
});

void test('a zero within a text, and text that is not UTF-8', () => {
  assert.throws(() => readQuery(framed(Buffer.from('SELECT 1\0; DROP TABLE x\0'))), WireError);
  assert.throws(() => readQuery(framed(Buffer.from([0xc0, 0xaf, 0]))), WireError);
  assert.throws(() => readQuery(framed(Buffer.from([0xed, 0xa0, 0x80, 0]))), WireError);
});

void test('lengths that wrap or point beyond the message', () => {
  const bind = (length: number) => {
    const body = Buffer.alloc(2 + 2 + 2 + 4 + 1);
    body.writeInt16BE(1, 4);
    body.writeInt32BE(length | 0, 6);
    return framed(body);
  };
  for (const length of [-2, -0x80000000, 0x7fffffff, 2])
    assert.throws(() => readBind(bind(length)), WireError);
});

void test('start-up packets', () => {
  const parameters = new Map([
    ['user', 'agent'],
    ['database', 'orders'],
  ]);
  const read = readStartupPacket(encodeStartup(parameters));
  assert.deepEqual(read?.packet, { kind: 'startup', minor: 0, parameters });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        readStartupPacket(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
  );
  const twice = Buffer.concat([encodeStartup(parameters).subarray(0, -1), Buffer.from('user\0root\0\0')]);
  twice.writeInt32BE(twice.length, 0);
  assert.throws(() => readStartupPacket(twice), WireError);
});

void test('errors and statuses come back, without zero characters', () => {
  const fields = new Map([
    ['S', 'ERROR'],
    ['M', 'a\0b'],
  ]);
  assert.deepEqual(
    readErrorFields(frameOf(encodeErrorFields('error', fields))),
    new Map([
      ['S', 'ERROR'],
      ['M', 'ab'],
    ]),
  );
  assert.deepEqual(readParameterStatus(frameOf(encodeParameterStatus('a', 'b'))), { name: 'a', value: 'b' });
  const key = readBackendKeyData(frameOf(encodeBackendKeyData(7, Buffer.alloc(32, 1))));
  assert.deepEqual(key, { processId: 7, secret: Buffer.alloc(32, 1) });
});
