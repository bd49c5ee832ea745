import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { loadModule, scanSync } from 'libpg-query';
import { redactSecrets } from './redact.ts';
import { lex } from './sql-lexer.ts';
import { tokensOf } from './sql-token.ts';

before(loadModule);

const SECRETS: readonly string[] = [
  `ALTER ROLE app PASSWORD 'hunter2'`,
  `alter user app with encrypted password E'hunter2' valid until '2030-01-01'`,
  `CREATE ROLE é LOGIN PASSWORD $x$hunter2$x$`,
  `CREATE USER app PASSWORD U&'hunter2' IN ROLE other`,
  `ALTER ROLE app /* c */ PASSWORD -- now\n 'hunter2'`,
  `ALTER ROLE app PASSWORD 'a' 'hunter2'`,
  `ALTER ROLE app PASSWORD 'hunter2`,
  `SELECT 1; ALTER ROLE app PASSWORD 'hunter2'; SELECT 2`,
  `CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'app', password 'hunter2')`,
  `ALTER USER MAPPING FOR app SERVER s OPTIONS (SET "password" 'hunter2')`,
  `CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'db', api_token 'hunter2')`,
  `ALTER SERVER s OPTIONS (ADD sslpassword 'hunter2')`,
  `CREATE SUBSCRIPTION s CONNECTION 'host=db password=hunter2' PUBLICATION p`,
  `ALTER SUBSCRIPTION s CONNECTION 'postgresql://u:hunter2@db/x'`,
  `SELECT * FROM dblink('host=db user=u password=hunter2', 'select 1') t(a int)`,
  `SELECT dblink_connect('c', 'hunter2 = 1')`,
  `SELECT public."dblink_connect_u"('host=db' || ' password' || '=hunter2')`,
  `SELECT U&"\\0064blink_connect"('x=hunter2')`,
  `SET app.password = 'hunter2'`,
  `SET LOCAL app.api_key TO hunter2`,
  `ALTER ROLE app SET my.secret = 'hunter2'`,
  `SELECT set_config('app.password', 'hunter2', false)`,
  `SELECT set_config('app.' || 'password', 'hunter2', false)`,
  `DO $$ BEGIN EXECUTE 'ALTER ROLE app PASSWORD ''hunter2'''; END $$`,
  `DO $$ BEGIN EXECUTE format('ALTER ROLE app PASSWORD %L', 'hunter2'); END $$`,
  `DO $$ BEGIN ALTER ROLE app PASSWORD 'hunter2'; END $$`,
  `SELECT crypt('hunter2', gen_salt('bf'))`,
  `SELECT pgp_sym_decrypt(data, 'hunter2') FROM t`,
  `SELECT 'postgres://app:hunter2@db/orders'`,
  `COPY t FROM PROGRAM 'curl https://u:hunter2@host/x'`,
];

for (const text of SECRETS) {
  test(`takes the secret out of ${JSON.stringify(text)}`, () => {
    const redacted = redactSecrets(text);
    assert.ok(redacted.secret);
    assert.doesNotMatch(redacted.text, /hunter2/);
    assert.match(redacted.text, /\[redacted/);
  });
}

/** Whatever comes before it, a statement with a secret in it is found in a text of any size. */
for (const text of SECRETS) {
  test(`the same in a large text: ${JSON.stringify(text)}`, () => {
    const redacted = redactSecrets(`SELECT ${'1, '.repeat(3000)} 1; ${text}`);
    assert.ok(redacted.secret);
    assert.doesNotMatch(redacted.text, /hunter2/);
  });
}

test('a large text takes no time to speak of', () => {
  const rows = Array.from({ length: 50_000 }, (_, index) => `(${index}, 'abc${index}')`).join(',');
  const start = performance.now();
  assert.ok(!redactSecrets(`INSERT INTO users (id, password) VALUES ${rows}`).secret);
  assert.ok(performance.now() - start < 10_000);
});

for (const piece of [
  'crypt(',
  'f(1),',
  'set password = ',
  "password 'a' ",
  "E''''",
  'dblink(',
  '$a$',
  "''",
  '/*',
  'options(',
  'U&"a"(',
]) {
  test(`a text made of ${piece} is not slow to look at`, () => {
    // Of this process alone: others may have the processor.
    const start = process.cpuUsage();
    redactSecrets(`password ${piece.repeat(1_000_000 / piece.length)}`);
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 10_000_000, `${(user + system) / 1000} ms`);
  });
}

test('bodies nested in bodies are not slow to look at', () => {
  const tags = Array.from({ length: 50_000 }, (_, index) => `$a${index}$`);
  const start = performance.now();
  const { text } = redactSecrets(`password ${tags.join(' ')} 'hunter2' ${tags.toReversed().join(' ')}`);
  assert.doesNotMatch(text, /hunter2/);
  assert.ok(performance.now() - start < 10_000);
});

test('the lexer for large texts sees what the scanner sees', () => {
  const piece = fc.constantFrom(
    "'a''b'",
    "E'a\\'b'",
    "e'\\\\'",
    "U&'x'",
    "B'01'",
    "N'x'",
    '"a""b"',
    'U&"x"',
    '$$a$b$$',
    '$t$ $$ $t$',
    '-- c\n',
    '/* a /* b */ c */',
    'word',
    'wörd$1',
    '$12',
    '12.5e3',
    '1x',
    '(',
    ')',
    ',',
    ';',
    '=',
    '::',
    ' ',
    '\n',
    'é',
    'e',
    'u',
    '&',
    '.',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join(' ');
      let scanned;
      try {
        scanned = tokensOf(text, scanSync(text).tokens);
      } catch {
        return; // What the scanner refuses, the parser does too.
      }
      const kinds = ['literal', 'identifier', 'word', 'parameter'];
      const ours = lex(text).filter(({ kind }) => kinds.includes(kind));
      // The scanner joins literals that only a line break parts, and takes N for a word of its own.
      if (
        ours.some(
          ({ text: written }, index) =>
            /^n'/i.test(written) || (index > 0 && /'$/.test(ours[index - 1]?.text ?? '')),
        )
      )
        return;
      assert.deepEqual(
        ours,
        scanned.filter(({ kind }) => kinds.includes(kind)),
      );
    }),
    { numRuns: 500 },
  );
});

const KEPT: readonly string[] = [
  `SELECT id, password FROM users WHERE name = 'bob'`,
  `SELECT * FROM customers WHERE note LIKE '%password%'`,
  `ALTER ROLE app PASSWORD NULL`,
  `ALTER ROLE app CONNECTION LIMIT 3 VALID UNTIL '2030-01-01'`,
  `SET password_encryption = 'scram-sha-256'`,
  `SELECT 'https://example.com/a?b=c'`,
  `CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db', port '5432')`,
  `SELECT * FROM server_versions WHERE server = 'x'`,
  `UPDATE t SET a = 'x' WHERE subscription = 'y'`,
];

for (const text of KEPT) {
  test(`keeps ${JSON.stringify(text)}`, () => assert.deepEqual(redactSecrets(text), { text, secret: false }));
}

test('redacts only what is secret', () => {
  const { text } = redactSecrets(
    `SELECT 'é', 1; ALTER ROLE é PASSWORD 'x' VALID UNTIL '2030-01-01'; SELECT 'y'`,
  );
  assert.equal(
    text,
    `SELECT 'é', 1; ALTER ROLE é PASSWORD '[redacted]' VALID UNTIL '2030-01-01'; SELECT 'y'`,
  );
});

test('tells of parameters in secret places', () => {
  assert.ok(redactSecrets(`SELECT dblink_connect($1)`).secret);
  assert.ok(redactSecrets(`SELECT set_config('app.password', $1, true)`).secret);
  assert.ok(!redactSecrets(`SELECT set_config('app.user', $1, true)`).secret);
});

test('redacts every literal when told that the statement leads to dblink', () => {
  assert.equal(redactSecrets(`EXECUTE c('x', 3)`, true).text, `EXECUTE c('[redacted]', 3)`);
});

test('never throws, and takes out any quoted password', () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ unit: 'binary' }), (secret, around) => {
      redactSecrets(`password ${around}`);
      const quoted = `'${secret.replaceAll('\0', '').replaceAll("'", "''")}'`;
      const { text } = redactSecrets(`ALTER ROLE "a" PASSWORD ${quoted}`);
      assert.ok(text === `ALTER ROLE "a" PASSWORD '[redacted]'` || text.startsWith('[redacted: '), text);
    }),
    { numRuns: 300 },
  );
});
