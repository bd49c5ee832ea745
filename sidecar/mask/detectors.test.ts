import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileDetectors } from './detectors.ts';
import { createMaskKeys } from './keys.ts';
import { type Detector, DETECTORS } from './mask.ts';

const keys = createMaskKeys();
const jwt =
  'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U';
const pem = '-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----';

/** What must be found: the text, and exactly what of it. */
const FOUND: Readonly<Record<Detector, readonly (readonly [text: string, find: string])[]>> = {
  CreditCard: [
    ['4111111111111111', '4111111111111111'],
    ['card: 4111-1111-1111-1111.', '4111-1111-1111-1111'],
    ['pay 4111 1111 1111 1111 123 now', '4111 1111 1111 1111'],
    ['4111\u00a01111\u00a01111\u00a01111', '4111\u00a01111\u00a01111\u00a01111'],
    ['4111\u20131111\u20131111\u20131111', '4111\u20131111\u20131111\u20131111'],
    ['4111.1111.1111.1111', '4111.1111.1111.1111'],
    ['5500005555555559 12/25', '5500005555555559'],
    ['2223003122003222', '2223003122003222'],
    ['3782 822463 10005', '3782 822463 10005'],
    ['371449635398431', '371449635398431'],
    ['6011111111111117', '6011111111111117'],
    ['30569309025904', '30569309025904'],
    ['3056 930902 5904', '3056 930902 5904'],
    ['3530111333300000', '3530111333300000'],
    ['6200000000000005', '6200000000000005'],
    ['2200000000000004', '2200000000000004'],
    ['卡4111111111111111号', '4111111111111111'],
    ['pan_4111111111111111', '4111111111111111'],
    ['2024 4111 1111 1111 1111', '4111 1111 1111 1111'],
    ['order-4111111111111111', '4111111111111111'],
    ['41111111 11111111', '41111111 11111111'],
    ['["4111111111111111"]', '4111111111111111'],
  ],
  Email: [
    ['a@example.com', 'a@example.com'],
    ['To: <john.doe+tag@mail.example.co.uk>, x', 'john.doe+tag@mail.example.co.uk'],
    ["o'brien@example.ie", "o'brien@example.ie"],
    ["'bob@example.com'", "bob@example.com'".slice(0, -1)],
    ['jürgen@münchen.de', 'jürgen@münchen.de'],
    ['bob@example.com.', 'bob@example.com'],
    ['x=bob@example.com&y', 'bob@example.com'],
    ['mailto:BOB@EXAMPLE.ORG?x', 'BOB@EXAMPLE.ORG'],
    ['u_1-2@sub-domain.example.museum', 'u_1-2@sub-domain.example.museum'],
    ['я@пример.рф', 'я@пример.рф'],
    ['a@b.xn--p1ai', 'a@b.xn--p1ai'],
    ['4@9.io', '4@9.io'],
  ],
  PhoneNumber: [
    ['+49 30 123456', '+49 30 123456'],
    ['+49 (0)30 1234567', '+49 (0)30 1234567'],
    ['call +1 (555) 123-4567!', '+1 (555) 123-4567'],
    ['+14155552671', '+14155552671'],
    ['+44-20-7946-0958', '+44-20-7946-0958'],
    ['0049 30 123456', '0049 30 123456'],
    ['555-123-4567', '555-123-4567'],
    ['(555) 123-4567', '(555) 123-4567'],
    ['(555)123-4567', '(555)123-4567'],
    ['555.123.4567', '555.123.4567'],
    ['1-800-555-0199', '1-800-555-0199'],
    ['1 (800) 555-0199', '1 (800) 555-0199'],
    ['415 555 2671', '415 555 2671'],
    ['030 1234567', '030 1234567'],
    ['030/1234567', '030/1234567'],
    ['0171-1234567', '0171-1234567'],
    ['020 7946 0958', '020 7946 0958'],
    ['06 12 34 56 78', '06 12 34 56 78'],
    ['06.12.34.56.78', '06.12.34.56.78'],
    ['tel:+33612345678', '+33612345678'],
  ],
  IBAN: [
    ['DE89370400440532013000', 'DE89370400440532013000'],
    ['iban DE89 3704 0044 0532 0130 00.', 'DE89 3704 0044 0532 0130 00'],
    ['GB82 WEST 1234 5698 7654 32', 'GB82 WEST 1234 5698 7654 32'],
    ['de89370400440532013000', 'de89370400440532013000'],
    ['FR1420041010050500013M02606', 'FR1420041010050500013M02606'],
    ['NL91ABNA0417164300', 'NL91ABNA0417164300'],
    ['CH93-0076-2011-6238-5295-7', 'CH93-0076-2011-6238-5295-7'],
    ['NO9386011117947', 'NO9386011117947'],
    ['MT84MALT011000012345MTLCAST001S', 'MT84MALT011000012345MTLCAST001S'],
    ['ES9121000418450200051332', 'ES9121000418450200051332'],
  ],
  USSocialSecurityNumber: [
    ['123-45-6789', '123-45-6789'],
    ['ssn 123 45 6789', '123 45 6789'],
    ['(899-99-9999)', '899-99-9999'],
    ['078-05-1120,', '078-05-1120'],
    ['123\u201145\u20116789', '123\u201145\u20116789'],
    ['ssn:219-09-9999.', '219-09-9999'],
  ],
  IPAddress: [
    ['10.0.0.1', '10.0.0.1'],
    ['from 192.168.1.254:8080', '192.168.1.254'],
    ['10.1.2.0/24', '10.1.2.0'],
    ['http://8.8.8.8/x', '8.8.8.8'],
    ['At 8.8.4.4.', '8.8.4.4'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['fe80::1', 'fe80::1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['[2001:db8::8a2e:370:7334]:443', '2001:db8::8a2e:370:7334'],
    ['2001:0db8:85a3:0000:0000:8a2e:0370:7334', '2001:0db8:85a3:0000:0000:8a2e:0370:7334'],
    ['::ffff:192.0.2.128', '::ffff:192.0.2.128'],
    ['::1', '::1'],
    ['2001:db8::', '2001:db8::'],
  ],
  AWSAccessKey: [
    ['AKIAIOSFODNN7EXAMPLE', 'AKIAIOSFODNN7EXAMPLE'],
    ['key=ASIAIOSFODNN7EXAMPLE;', 'ASIAIOSFODNN7EXAMPLE'],
    [
      'aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    ],
    [
      '"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
      'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    ],
    ['AWS_SECRET_KEY:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'],
  ],
  PrivateKey: [
    [pem, pem],
    [`x ${pem} y`, `${pem} `],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl'],
    [
      '-----BEGIN PRIVATE KEY-----\\nMII\\n-----END PRIVATE KEY-----',
      '-----BEGIN PRIVATE KEY-----\\nMII\\n-----END PRIVATE KEY-----',
    ],
    ['-----BEGIN PGP PRIVATE KEY BLOCK-----\nx', '-----BEGIN PGP PRIVATE KEY BLOCK-----\nx'],
    ['-----BEGIN ENCRYPTED PRIVATE KEY-----x', '-----BEGIN ENCRYPTED PRIVATE KEY-----x'],
  ],
  JWT: [
    [jwt, jwt],
    [`Bearer ${jwt}`, jwt],
    [`token="${jwt}"`, jwt],
    [`prefix_${jwt}`, jwt],
    ['eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.'],
    [
      'eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y3Q.dGFn',
      'eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y3Q.dGFn',
    ],
  ],
};

/** What no detector may find anything in. */
const CLEAR: readonly string[] = [
  '',
  '4111111111111112', // fails Luhn
  '1234567890123456',
  '4222222222222', // an EAN
  '25b5aa2d-f258-482e-be24-1b881824ba83',
  'be24-1b88-1824-ba83',
  '00777453-3094-4476-a430-cd86686fe30e',
  '24fb8a0a-0435-4471-9930-f2d934ee8fa8',
  '0000000000000000',
  '9999999999999995', // no issuer
  'ab4111111111111111',
  '4111111111111111a',
  '0.4111111111111111',
  '4111111111111111.25',
  '41111111111111111111', // too long
  '1234-4111-1111-1111-1111',
  '4111-1111-1111-1111-1234',
  '550e8400-e29b-41d4-a716-446655440000',
  '41111111-1111-1111-1111-111111111111',
  '2024-11-21 12:34:56.789012+00',
  '2024-11-21T12:34:56Z',
  '2024-11-21T12:34:56+01:00',
  '20241121112816',
  '1732190896123456789',
  '1732190896123',
  '2024112111281600',
  '12:34:56',
  '01.02.2024 10:00',
  '21.11.2026',
  'foo@bar',
  'user@localhost',
  '@example.com',
  'a@',
  'lodash@4.17.21',
  '@scope/name@1.2.3',
  'icon@2x.png',
  'git@host:repo',
  'x@.com',
  'a@b.c',
  '1+12345678',
  '+0123456789',
  '+1234567',
  'UTC+0100',
  '5551234567',
  '123-4567',
  '2024-123-4567',
  '100 200 3000',
  '00123-45678',
  '$1,234,567.89',
  'DE88370400440532013000',
  'DE8937040044053201300',
  'XX89370400440532013000',
  'ADE89370400440532013000',
  '000-12-3456',
  '666-12-3456',
  '900-12-3456',
  '123-00-4567',
  '123-45-0000',
  '123-45-67890',
  '1123-45-6789',
  '12-123-45-6789',
  '123456789',
  '1.2.3',
  '1.2.3.4.5',
  'v1.2.3.4',
  'version 1.2.3.4',
  'Version: "1.2.3.4"'.replace('"', ''),
  'Chrome/120.0.6099.109',
  'Foo/1.2.3.4',
  '256.1.1.1',
  '1.2.3.4-beta',
  '01.2.3.4',
  '4.0.0.0',
  '1.3.6.1.4.1.311',
  'std::vector',
  'abc::date',
  'dead::beef',
  'x::y',
  '::',
  'a::b',
  '00:1a:2b:3c:4d:5e',
  '00:1a:2b:ff:fe:3c:4d:5e',
  '1:2:3:4:5:6:7',
  'AKIAIOSFODNN7EXAMPL',
  'AKIAIOSFODNN7EXAMPLEX',
  'XAKIAIOSFODNN7EXAMPLE',
  'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  'secret key of the treasure',
  '-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----',
  '-----BEGIN CERTIFICATE-----',
  '---------------------------',
  'eyJub3QiOiJhIn0',
  'eyJub3RoaW5nIjoiYSJ9.eyJzdWIiOiJ4In0.c2ln',
  'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0',
  'd41d8cd98f00b204e9800998ecf8427e',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'The quick brown fox - 1,000 times; 50% @ home',
  '3.141592653589793',
  '-1.5e-10',
  '{"a":1,"b":[2,3]}',
];

const all = compileDetectors(DETECTORS.map((detector) => ({ detector, mask: { with: 'Redact' } })));
assert.ok(all);

for (const detector of DETECTORS) {
  test(`${detector} finds exactly what it is for`, () => {
    const set = compileDetectors([{ detector, mask: { with: 'Redact' } }]);
    for (const [text, find] of FOUND[detector]) {
      const spans = set?.find(text) ?? [];
      assert.deepEqual(
        spans.map((span) => text.slice(span.start, span.end)),
        [find],
        text,
      );
    }
  });
}

test('what only looks alike is left alone', () => {
  for (const text of CLEAR) assert.deepEqual(all.find(text), [], text);
});

test('each find is replaced and nothing else', () => {
  const text = `é ${jwt}, a@b.io; 4111 1111 1111 1111 10.0.0.1`;
  assert.deepEqual(all.apply(text, keys), {
    value: 'é [redacted], [redacted]; [redacted] [redacted]',
    hits: 4,
  });
  const partial = compileDetectors([
    { detector: 'CreditCard', mask: { with: 'Partial', keepFirst: 0, keepLast: 4 } },
  ]);
  assert.deepEqual(partial?.apply('pay 4111111111111111!', keys), { value: 'pay ****1111!', hits: 1 });
  const none = compileDetectors([{ detector: 'Email', mask: { with: 'Null' } }]);
  assert.deepEqual(none?.apply('mail a@b.io and c@d.io', keys), { value: null, hits: 2 });
  assert.deepEqual(none.apply('mail', keys), { value: 'mail', hits: 0 });
  assert.equal(compileDetectors([]), undefined);
});

test('overlaps are resolved: the outer find, or both as one', () => {
  const set = compileDetectors([
    { detector: 'CreditCard', mask: { with: 'Partial', keepFirst: 0, keepLast: 4 } },
    { detector: 'Email', mask: { with: 'Hash', scope: 'Session' } },
  ]);
  assert.match(set?.apply('4111111111111111@example.com', keys).value ?? '', /^h:[\w-]{22}$/);
  const twice = compileDetectors([
    { detector: 'Email', mask: { with: 'Hash', scope: 'Session' } },
    { detector: 'Email', mask: { with: 'Null' } },
  ]);
  assert.equal(twice?.apply('a@b.io', keys).value, null);
});

test('a range of bytes is a text of its own', () => {
  const bytes = Buffer.from('94111111111111111x');
  assert.deepEqual(all.scan(bytes, 0, bytes.length), []);
  assert.deepEqual(
    all.scan(bytes, 1, bytes.length - 1).map(({ detector, start, end }) => ({ detector, start, end })),
    [{ detector: 'CreditCard', start: 1, end: 17 }],
  );
});

test('any text: spans are ordered, apart and within; what is found stays found between blanks', () => {
  const parts = [...Object.values(FOUND).flat(), ...CLEAR.map((text) => [text, ''] as const)].map(
    ([text]) => text,
  );
  const piece = fc.oneof(
    fc.constantFrom(...parts),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(' ', '-', '.', '@', ':', '"'),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join('');
      let last = 0;
      for (const { start, end } of all.find(text)) {
        assert.ok(start >= last && end > start && end <= text.length);
        last = end;
      }
    }),
    { numRuns: 1500 },
  );
});

test('time is linear in hostile texts', () => {
  const hostile = [
    'eyJ',
    'e',
    '@',
    'a@',
    '1.',
    '1:',
    ':',
    '-----BEGIN ',
    '4111 ',
    '+1',
    '(',
    'secret',
    'DE89',
    '1-',
    'a.',
    '0',
  ];
  for (const unit of hostile) {
    const bytes = Buffer.from(unit.repeat(Math.ceil(300_000 / unit.length)));
    const begun = process.cpuUsage().user;
    all.scan(bytes, 0, bytes.length);
    const milliseconds = (process.cpuUsage().user - begun) / 1000;
    assert.ok(milliseconds < 1500, `${JSON.stringify(unit)}: ${milliseconds.toFixed(0)} ms`);
  }
});
