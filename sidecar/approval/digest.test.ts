import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalOperation, operationDigest, type OperationParts } from './digest.ts';

// Few letters, and those that separate things in encodings, so that collisions would be found.
const letters = fc.constantFrom('a', 'b', '"', '\\', ',', '[', ']', '\0', '\n', '\uD800', 'é', '1');
const word = fc.string({ unit: letters, maxLength: 4 });
const parameter = fc.record({
  type: fc.constantFrom(0, 25),
  format: fc.constantFrom('text' as const, 'binary' as const),
  value: fc.option(fc.uint8Array({ maxLength: 3, max: 2 })),
});
type Triple = readonly [number, string, string | null];

const parts: fc.Arbitrary<OperationParts> = fc.record({
  connection: fc.record({ namespace: word, name: word }),
  session: word,
  identity: fc.record({ issuer: word, subject: word }),
  text: word,
  parameters: fc.array(parameter, { maxLength: 3 }),
  role: word,
  searchPath: fc.array(word, { maxLength: 3 }),
  transaction: fc.constantFrom('idle' as const, 'open' as const, 'failed' as const),
});

test('two operations have the same encoding only when all their parts are equal', () => {
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      assert.equal(canonicalOperation(one) === canonicalOperation(other), isDeepStrictEqual(one, other));
    }),
    { numRuns: 2_000 },
  );
});

test('the encoding gives back all parts', () => {
  fc.assert(
    fc.property(parts, (one) => {
      // As the encoder's docstring lays it out; the comparison below checks all of it.
      const back = JSON.parse(canonicalOperation(one)) as [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        Triple[],
        ...unknown[],
      ];
      const [, namespace, name, session, issuer, subject, text, parameters, role, searchPath, transaction] =
        back;
      const values = parameters.map(([type, format, value]) => ({
        type,
        format,
        value: value === null ? null : Uint8Array.from(Buffer.from(value, 'base64')),
      }));
      assert.deepEqual(
        {
          connection: { namespace, name },
          session,
          identity: { issuer, subject },
          text,
          parameters: values,
          role,
          searchPath,
          transaction,
        },
        structuredClone(one),
      );
    }),
    { numRuns: 500 },
  );
});

test('moving a boundary between neighbours changes the digest', () => {
  fc.assert(
    fc.property(
      parts,
      word.filter((text) => text !== ''),
      (one, moved) => {
        const front = { ...one, role: one.role + moved };
        const back = { ...one, searchPath: [moved + (one.searchPath[0] ?? ''), ...one.searchPath.slice(1)] };
        assert.notEqual(operationDigest(front), operationDigest(back));
      },
    ),
    { numRuns: 300 },
  );
});

const base: OperationParts = {
  connection: { namespace: 'n', name: 'c' },
  session: 's',
  identity: { issuer: 'i', subject: 'u' },
  text: 'SELECT $1',
  parameters: [{ type: 25, format: 'text', value: Buffer.from('1') }],
  role: 'app',
  searchPath: ['public'],
  transaction: 'idle',
};

test('the digest is as the kind wants it, and the same for views of the same bytes', () => {
  assert.match(operationDigest(base), /^sha256:[0-9a-f]{64}$/);
  const large = Buffer.from('x1y');
  const view = { ...base, parameters: [{ type: 25, format: 'text', value: large.subarray(1, 2) }] } as const;
  assert.equal(operationDigest(view), operationDigest(base));
});

const changes: readonly (readonly [string, Partial<OperationParts>])[] = [
  ['connection', { connection: { namespace: 'n', name: 'd' } }],
  ['namespace', { connection: { namespace: 'm', name: 'c' } }],
  ['session', { session: 't' }],
  ['subject', { identity: { issuer: 'i', subject: 'v' } }],
  ['text', { text: 'SELECT $1 ' }],
  ['value', { parameters: [{ type: 25, format: 'text', value: Buffer.from('2') }] }],
  ['null is not empty', { parameters: [{ type: 25, format: 'text', value: null }] }],
  ['type', { parameters: [{ type: 23, format: 'text', value: Buffer.from('1') }] }],
  ['format', { parameters: [{ type: 25, format: 'binary', value: Buffer.from('1') }] }],
  ['role', { role: 'admin' }],
  ['search path', { searchPath: ['evil', 'public'] }],
  ['search path by comma', { searchPath: ['public', 'x'] }],
  ['transaction', { transaction: 'open' }],
];
for (const [what, change] of changes) {
  test(`another ${what}, another digest`, () => {
    assert.notEqual(operationDigest({ ...base, ...change }), operationDigest(base));
  });
}
