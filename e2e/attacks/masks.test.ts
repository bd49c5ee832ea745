/**
 * Masks as their users see them: what must go on working and come back right, in every format; what each kind of mask gives;
 * words of errors. The attacks are in non-interference.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { Attacker, type Step, errorOf, rowsOf } from './attacker.ts';
import { PROTECTED } from './twin-schema.ts';
import { type Twin, startTwin, stopTwin } from './twins.ts';

const CARDS = PROTECTED.filter((name) => name.startsWith('public.customers.'));

/** They must run, and come back as the server answers them. */
const UNTOUCHED: readonly string[] = [
  'SELECT id, name, region, note FROM customers ORDER BY id',
  'SELECT count(*) FROM customers',
  'SELECT region, count(*) FROM customers GROUP BY region ORDER BY region',
  'SELECT DISTINCT region FROM customers ORDER BY region',
  'SELECT region, array_agg(name ORDER BY id) FROM customers GROUP BY region HAVING count(*) > 1 ORDER BY region',
  'SELECT c.name, o.item FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.id',
  'SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c ORDER BY id',
  'SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.amount > 20) ORDER BY id',
  'WITH t AS (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY 1) SELECT c.id, t.total FROM customers c JOIN t ON t.customer_id = c.id ORDER BY 1',
  'SELECT id, row_number() OVER (PARTITION BY region ORDER BY id) FROM customers ORDER BY id',
  'SELECT name FROM customers UNION SELECT item FROM orders ORDER BY 1',
  "SELECT name || ' <' || note || '>' FROM customers ORDER BY id",
  'SELECT DISTINCT ON (region) region, id FROM customers ORDER BY region, id',
  'SELECT c.id, l.item FROM customers c, LATERAL (SELECT item FROM orders o WHERE o.customer_id = c.id ORDER BY o.id LIMIT 1) l ORDER BY c.id',
  'SELECT * FROM orders ORDER BY id',
  'SELECT to_jsonb(o) FROM orders o ORDER BY id',
  'SELECT * FROM safe_view ORDER BY id',
  'SELECT * FROM order_sums ORDER BY customer_id',
  "SELECT id, at, kind FROM events WHERE at > '2025-01-01' ORDER BY id",
  'SELECT tableoid::regclass, id FROM people ORDER BY id',
  "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'customers' ORDER BY 1",
  'SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2',
  "INSERT INTO orders (id, customer_id, item) VALUES (500, 1, 'new') RETURNING *",
  "UPDATE customers SET name = 'other' WHERE id = 1 RETURNING id, name",
  "UPDATE customers SET card = '4111', salary = 5, tags = '{a}', loc = ROW('x', 1) WHERE id = 1 RETURNING id",
  "INSERT INTO customers (id, name, score, card, salary) VALUES (50, 'new', 1, '4111', 7) RETURNING id, name",
  "INSERT INTO customers (id, name, score) VALUES (1, 'a', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING name",
  "INSERT INTO events VALUES (99, '2025-02-02', 'k', 'p') RETURNING id",
  'UPDATE orders o SET item = c.name FROM customers c WHERE c.id = o.customer_id RETURNING o.id, o.item',
  'DELETE FROM orders WHERE id = 1 RETURNING *',
  'CREATE TEMP TABLE t AS SELECT id, name FROM customers',
  'ALTER TABLE customers ADD COLUMN extra text',
  'CREATE INDEX i ON customers (name)',
  'CREATE VIEW v AS SELECT id, name FROM customers',
  'EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 1',
  'COPY orders TO STDOUT (FORMAT csv, HEADER)',
  'COPY (SELECT id, name FROM customers ORDER BY id) TO STDOUT',
];

const HIDDEN = '[redacted]';

/** The first row of each, of customer 1: text redacted, other types null. */
const REDACTED: readonly (readonly [string, readonly (string | null)[]])[] = [
  ['SELECT id, card, ssn, salary, born FROM customers ORDER BY id', ['1', HIDDEN, HIDDEN, null, null]],
  ['SELECT id, card FROM customers WHERE card IS NOT DISTINCT FROM card OR true ORDER BY id', []],
  [
    'SELECT id, profile, tags, secret, loc FROM customers ORDER BY id',
    ['1', `"${HIDDEN}"`, `{${HIDDEN}}`, null, null],
  ],
  ['SELECT card AS "Card", name FROM customers AS c ORDER BY 2', [HIDDEN, 'name 1']],
  ['SELECT (c).name, (c).card FROM customers c ORDER BY id', ['name 1', HIDDEN]],
  ['SELECT s.card FROM (SELECT * FROM customers) s ORDER BY s.id', [HIDDEN]],
  ['WITH s AS (SELECT id, card FROM customers) SELECT card, id FROM s ORDER BY id', [HIDDEN, '1']],
  ["SELECT id, coalesce(card, '') FROM customers ORDER BY id", ['1', HIDDEN]],
  ['SELECT id, CASE WHEN region > 9 THEN name ELSE card END FROM customers ORDER BY id', ['1', HIDDEN]],
  ["SELECT json_build_object('id', id, 'card', card) FROM customers ORDER BY id", [`"${HIDDEN}"`]],
  ['SELECT upper(card), left(ssn, 4), card || name FROM customers ORDER BY id', [HIDDEN, HIDDEN, HIDDEN]],
  ['SELECT array_agg(card) FROM customers', [`{${HIDDEN}}`]],
  ['SELECT plastic, loud FROM customer_view ORDER BY id', [HIDDEN, HIDDEN]],
  ['SELECT card FROM customer_copy ORDER BY id', [HIDDEN]],
  ['SELECT payload FROM events ORDER BY id', [HIDDEN]],
  ['SELECT payload FROM events_2025 ORDER BY id', [HIDDEN]],
  ['SELECT pin FROM ONLY people ORDER BY id', [HIDDEN]],
  ['SELECT pin FROM staff ORDER BY id', [HIDDEN]],
  ['SELECT last4, big FROM pans ORDER BY id', [HIDDEN, HIDDEN]],
  ["UPDATE customers SET note = 'x' WHERE id = 1 RETURNING id, card", ['1', HIDDEN]],
  ['SELECT c.id, l.card FROM customers c CROSS JOIN LATERAL (SELECT c.card) l ORDER BY 1', ['1', HIDDEN]],
  ['SELECT id, card FROM customers UNION ALL SELECT id, item FROM orders ORDER BY id', ['1', HIDDEN]],
];

/** What the server says, where its own words would show a row: SQLSTATE and message. */
const WORDS: readonly (readonly [string, string, RegExp])[] = [
  ['UPDATE customers SET name = NULL WHERE id = 1', '23502', /^a constraint is violated/],
  ['UPDATE badges_kid SET level = 0', '23514', /^a constraint is violated/],
  ["UPDATE events_2025 SET at = '2030-01-01' WHERE id = 1", '23514', /^a constraint is violated/],
  ['INSERT INTO orders (id) VALUES (1)', '23505', /Key \(id\)=\(1\) already exists/],
  ['SELECT 1 / (id - 1) FROM orders ORDER BY id', '22012', /^division by zero/],
  ['SELECT * FROM nowhere', '42P01', /nowhere/],
  ['SELECT nothing FROM customers', '42501', /nothing/],
];

describe('masks', () => {
  let twin: Twin;
  const open = async (connection: string) =>
    Attacker.connect({
      host: '127.0.0.1',
      port: twin.sidewarden.ports.get(connection) ?? 0,
      user: 'agent',
      database: 'postgres',
    });

  /** In a transaction that is taken back. */
  async function ask(attacker: Attacker, ...steps: readonly Step[]): Promise<readonly string[]> {
    await attacker.run('BEGIN');
    let answer: readonly string[] = [];
    for (const step of steps) answer = await attacker.run(step);
    await attacker.run('ROLLBACK');
    return answer;
  }

  before(async () => {
    const partial = { columns: CARDS, with: 'Partial', partial: { keepFirst: 0, keepLast: 4 } };
    twin = await startTwin('left', [
      { name: 'redact-db', masks: [{ columns: PROTECTED, with: 'Redact' }] },
      { name: 'null-db', masks: [{ columns: PROTECTED, with: 'Null' }] },
      { name: 'hash-db', masks: [{ columns: CARDS, with: 'Hash' }] },
      { name: 'partial-db', masks: [partial] },
      { name: 'detect-db', masks: [{ detect: ['CreditCard', 'Email'], with: 'Redact' }] },
    ]);
  });
  after(() => stopTwin(twin));

  test('what has nothing to do with protected columns is answered as the server does', async () => {
    const attacker = await open('redact-db');
    const { postgres } = twin;
    const client = new pg.Client({ ...postgres, database: 'postgres' });
    await client.connect();
    for (const text of UNTOUCHED) {
      const lines = await ask(attacker, text);
      assert.equal(errorOf(lines), undefined, text);
      if (text.startsWith('COPY') || text.startsWith('EXPLAIN')) continue;
      await client.query('BEGIN');
      // Rows as text, as the simple protocol gives them.
      const { rows } = await client.query<(string | null)[]>({
        text,
        rowMode: 'array',
        types: { getTypeParser: () => (value: unknown) => value },
      });
      await client.query('ROLLBACK');
      assert.deepEqual(rowsOf(lines), rows, text);
    }
    await client.end();
    attacker.close();
  });

  test('a masked column comes back masked, the others exact', async () => {
    const attacker = await open('redact-db');
    for (const [text, expected] of REDACTED) {
      for (const step of [text, { text, format: 0, rows: 4 }] as const) {
        const lines = await ask(attacker, step);
        if (expected.length === 0) {
          assert.equal(errorOf(lines)?.code, '42501', text);
          continue;
        }
        assert.equal(errorOf(lines), undefined, text);
        assert.deepEqual(rowsOf(lines)[0], expected, text);
      }
      const binary = await ask(attacker, { text, format: 1 });
      assert.doesNotMatch(binary.join('\n'), /4929 1234|900-00-1|left\d|leftone/, text);
    }
    attacker.close();
  });

  test('COPY, cursors, prepared statements', async () => {
    const attacker = await open('redact-db');
    const hidden = `1\t${HIDDEN}\n`;
    const copied = await ask(attacker, 'COPY (SELECT id, card FROM customers ORDER BY id) TO STDOUT');
    assert.equal(copied[1], `d ${hidden}`);
    const csv = await ask(attacker, 'COPY customers (id, card, salary) TO STDOUT (FORMAT csv, HEADER)');
    assert.deepEqual(csv.slice(1, 3), ['d id,card,salary\n', `d 1,${HIDDEN},\n`]);
    const whole = await ask(attacker, 'COPY customers TO STDOUT');
    assert.match(
      whole[1] ?? '',
      /^d 1\tname 1\t1\t\[redacted\]\t\[redacted\]\t\\N\t\\N\t"\[redacted\]"\t\{\[redacted\]\}\t\\N\t\[redacted\]\t\\N\tnote 1\n$/,
    );
    const binary = await ask(attacker, 'COPY customers (id, name, card) TO STDOUT (FORMAT binary)');
    assert.match(binary[2] ?? '', /name 1/);
    assert.doesNotMatch(binary.join(''), /4929/);
    const cursor = ['DECLARE k CURSOR FOR SELECT id, card FROM customers ORDER BY id', 'FETCH 2 FROM k'];
    assert.deepEqual(rowsOf(await ask(attacker, ...cursor))[0], ['1', HIDDEN]);
    const prepared = ['PREPARE p(int) AS SELECT id, card FROM customers WHERE id = $1', 'EXECUTE p(1)'];
    assert.deepEqual(rowsOf(await ask(attacker, ...prepared)), [['1', HIDDEN]]);
    await attacker.run('DEALLOCATE ALL');
    attacker.close();
  });

  test('SQL PREPARE, executed by either protocol, however often and after whatever change', async () => {
    const attacker = await open('redact-db');
    await attacker.run('PREPARE p AS SELECT card FROM customers ORDER BY id');
    const runs: readonly Step[] = [
      'EXECUTE p',
      { text: 'EXECUTE p', values: [] },
      { text: 'EXECUTE p', format: 1 },
    ];
    for (const between of ['SELECT 1', 'DISCARD PLANS', 'CREATE TABLE made ()', 'DROP TABLE made']) {
      await attacker.run(between);
      for (const step of runs) {
        const rows = rowsOf(await attacker.run(step));
        assert.equal(rows.length, 12);
        assert.deepEqual(new Set(rows.flat()), new Set([HIDDEN]), between);
      }
    }
    assert.equal(errorOf(await attacker.run('CREATE TABLE made AS EXECUTE p'))?.code, '42501');
    attacker.close();
  });

  test('the words of errors keep their SQLSTATE, and show no row', async () => {
    const attacker = await open('redact-db');
    for (const [text, code, words] of WORDS) {
      const lines = await ask(attacker, text);
      const error = errorOf(lines);
      assert.equal(error?.code, code, text);
      assert.match(error.text, words, text);
      assert.doesNotMatch(lines.join('\n'), /4929|left\d/, text);
    }
    attacker.close();
  });

  test('Null', async () => {
    const attacker = await open('null-db');
    const lines = await ask(attacker, 'SELECT id, card, salary, tags, loc FROM customers ORDER BY id');
    assert.deepEqual(rowsOf(lines)[0], ['1', null, null, null, null]);
    attacker.close();
  });

  test('Hash: equal within a session, another in the next, and no plain hash', async () => {
    const hashes: string[] = [];
    for (let session = 0; session < 2; session++) {
      const attacker = await open('hash-db');
      const text = 'SELECT card, ssn, card FROM customers WHERE id IN (1, 5) ORDER BY id';
      const [first, absent] = rowsOf(await attacker.run(text));
      const [again] = rowsOf(await attacker.run({ text, format: 1 }));
      const [copied] = (await attacker.run('COPY (SELECT card FROM customers WHERE id = 1) TO STDOUT')).slice(
        1,
      );
      assert.match(first?.[0] ?? '', /^h:[\w-]{22}$/);
      assert.equal(first?.[0], first?.[2]);
      assert.notEqual(first?.[0], first?.[1]);
      assert.equal(again?.[0], first?.[0]);
      assert.equal(copied, `d ${first?.[0] ?? ''}\n`);
      assert.deepEqual(absent, [null, null, null]);
      const oracle = await attacker.run(`SELECT id FROM customers WHERE card = '4929 1234 5678 9001'`);
      assert.equal(errorOf(oracle)?.code, '42501');
      hashes.push(first?.[0] ?? '');
      attacker.close();
    }
    assert.equal(new Set(hashes).size, 2);
  });

  test('Partial: as much as was said, and no length', async () => {
    const attacker = await open('partial-db');
    const lines = await ask(attacker, 'SELECT card, ssn, tags, salary FROM customers WHERE id = 1');
    assert.deepEqual(rowsOf(lines), [['****9001', '****1001', '{****,****two1}', null]]);
    for (const text of [
      'SELECT length(card) FROM customers',
      "SELECT card || 'x' FROM customers",
      'SELECT reverse(card) FROM customers',
      'SELECT left(card, 4) FROM customers',
      'SELECT right(card, 5) FROM customers',
      'SELECT substr(card, 1, 5) FROM customers',
    ]) {
      const answer = await ask(attacker, text);
      assert.doesNotMatch(answer.join('\n'), /D [^[]*(4929|1009|\*\*\*\*)/, text);
      for (const value of rowsOf(answer).flat()) assert.ok(value === null || value === HIDDEN, text);
    }
    attacker.close();
  });

  test('detectors', async () => {
    const attacker = await open('detect-db');
    const found = `SELECT '4111 1111 1111 1111', 'to joe@example.com.', ARRAY['a', '4111111111111111'], ROW(1, 'joe@example.com'),
      json_build_object('a', ARRAY['joe@example.com']), 'x4111111111111112'`;
    const [row] = rowsOf(await attacker.run(found));
    assert.deepEqual(row, [
      HIDDEN,
      `to ${HIDDEN}.`,
      `{a,${HIDDEN}}`,
      `(1,${HIDDEN})`,
      `{"a" : ["${HIDDEN}"]}`,
      'x4111111111111112',
    ]);
    const answer = await attacker.run({ text: found, format: 1 });
    assert.doesNotMatch(answer.join('\n'), /joe@|4111 1111|[^x]41111111/);
    assert.equal(rowsOf(answer).length, 1);
    const copied = await attacker.run("COPY (SELECT 'joe@example.com', 5) TO STDOUT (FORMAT csv)");
    assert.equal(copied[1], `d ${HIDDEN},5\n`);
    assert.equal(errorOf(await attacker.run('SELECT * FROM customers ORDER BY id')), undefined);
    attacker.close();
  });

  test('detectors look at what a row is made of now, however it was changed', async () => {
    const attacker = await open('detect-db');
    await attacker.run("CREATE TABLE made (a int, b text); INSERT INTO made VALUES (1, 'x')");
    assert.deepEqual(rowsOf(await attacker.run('SELECT made FROM made')), [['(1,x)']]);
    const change = "ALTER TABLE made ALTER a TYPE text USING 'joe@example.com'";
    const within = await ask(attacker, change, 'SELECT made FROM made');
    assert.doesNotMatch(within.join('\n'), /joe@/);
    const together = await ask(attacker, `${change}; SELECT made FROM made`);
    assert.doesNotMatch(together.join('\n'), /joe@/);
    await attacker.run(`${change}; SELECT made FROM made`);
    assert.deepEqual(rowsOf(await attacker.run('SELECT made FROM made')), [[`(${HIDDEN},x)`]]);
    await attacker.run("ALTER TABLE made ADD c text DEFAULT 'joe@example.com'");
    assert.deepEqual(rowsOf(await attacker.run('SELECT made FROM made')), [[`(${HIDDEN},x,${HIDDEN})`]]);
    await attacker.run('DROP TABLE made');
    attacker.close();
  });
});
