import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatPath } from '../../../crds/schema/path.ts';
import { parseObjectStorePlace, parseStoreCredentials } from './place.ts';

const GOOD = {
  endpoint: 'https://s3.internal:9000',
  bucket: 'recordings',
  credentialsSecret: 'recordings-store',
};

test('a place is read with its defaults', () => {
  const parsed = parseObjectStorePlace(new Map(Object.entries(GOOD)));
  assert.deepEqual(parsed, {
    kind: 'parsed',
    value: {
      endpoint: 'https://s3.internal:9000',
      bucket: 'recordings',
      region: 'us-east-1',
      prefix: '',
      lockMode: 'None',
      retention: undefined,
      pathStyle: true,
      ca: undefined,
      credentialsSecret: 'recordings-store',
    },
  });
});

test('a retention locks', () => {
  for (const [given, lockMode] of [
    [{ retention: '90d' }, 'Governance'],
    [{ retention: '90d', lockMode: 'Compliance' }, 'Compliance'],
  ] as const) {
    const parsed = parseObjectStorePlace({ ...GOOD, ...given });
    assert.ok(parsed.kind === 'parsed');
    assert.equal(parsed.value.retention, 90);
    assert.equal(parsed.value.lockMode, lockMode);
  }
});

const REFUSED: readonly [string, Record<string, string>, RegExp][] = [
  ['an unknown key', { buckets: 'x' }, /^buckets: /],
  ['plain text unasked', { endpoint: 'http://s3.internal' }, /^endpoint: .*transport: Plaintext/],
  ['plain text asked, TLS named', { transport: 'Plaintext' }, /^endpoint: /],
  ['a path in the endpoint', { endpoint: 'https://s3.internal/x' }, /^endpoint: /],
  ['a user in the endpoint', { endpoint: 'https://a:b@s3.internal' }, /^endpoint: /],
  ['a port that is none', { endpoint: 'https://s3.internal:99999' }, /^endpoint: /],
  ['a bucket with a slash', { bucket: 'a/b' }, /^bucket: /],
  ['a prefix that climbs', { prefix: '../x' }, /^prefix: /],
  ['a prefix with a slash at its end', { prefix: 'x/' }, /^prefix: /],
  ['a retention of hours', { retention: '90h' }, /^retention: .*90d/],
  ['no retention at all', { retention: '0d' }, /^retention: /],
  ['a lock without retention', { lockMode: 'Compliance' }, /^lockMode: .*need a retention/],
  ['a retention without lock', { lockMode: 'None', retention: '1d' }, /^lockMode: /],
  ['a style that is none', { pathStyle: 'yes' }, /^pathStyle: /],
  ['a CA that is none', { ca: 'x' }, /^ca: .*PEM/],
];

for (const [what, given, expected] of REFUSED) {
  test(`refused: ${what}`, () => {
    const parsed = parseObjectStorePlace({ ...GOOD, ...given });
    assert.ok(parsed.kind === 'invalid');
    const lines = parsed.errors.map(({ path, message }) => `${formatPath(path)}: ${message}`);
    assert.ok(
      lines.some((line) => expected.test(line)),
      lines.join('\n'),
    );
  });
}

test('any other text is refused and never thrown over', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...Object.keys(GOOD), 'ca', 'prefix', 'x'), fc.string()),
      (data) => {
        const { kind } = parseObjectStorePlace(data);
        assert.ok(kind === 'invalid' || Object.keys(GOOD).every((key) => key in data));
      },
    ),
  );
});

test('credentials: a last line feed goes, and no error says a value', () => {
  const parsed = parseStoreCredentials({
    accessKeyId: Buffer.from('AK\n'),
    secretAccessKey: Buffer.from('s3cret'),
  });
  assert.deepEqual(parsed, { kind: 'parsed', value: { accessKeyId: 'AK', secretAccessKey: 's3cret' } });
  const wrong = parseStoreCredentials({
    accessKeyId: Buffer.from('AK'),
    secretAccessKey: Buffer.from('hush hush'),
  });
  assert.ok(wrong.kind === 'invalid');
  assert.doesNotMatch(JSON.stringify(wrong), /hush/);
});
