/** Names that come to mean something else by what is taken back, dropped without being named, or made by others. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe as suite, test } from 'node:test';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import { Frontend, bind, describe, describeOf, execute, flush, parse, query, run, sync } from './frontend.ts';

const WORLD = `
  DROP SCHEMA IF EXISTS a CASCADE; DROP SCHEMA IF EXISTS b CASCADE;
  DROP TABLE IF EXISTS public.customers, public.t, public.mails CASCADE;
  CREATE TABLE public.customers (id int PRIMARY KEY, name text, card text);
  INSERT INTO public.customers VALUES (1, 'n1', 'SECRET-1');
  CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1);
  CREATE TABLE public.mails (id int, note text); INSERT INTO public.mails VALUES (1, 'SECRET@example.com');
  CREATE SCHEMA a;
  CREATE TABLE a.customers (id int, name text, card text); INSERT INTO a.customers VALUES (1, 'an1', 'harmless');
  CREATE TABLE a.t (id int);`;

let postgres: TestPostgres;
let served: Sidewarden;
let admin: pg.Client;

before(async () => {
  postgres = await startPostgres();
  admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  await admin.query(WORLD);
  served = await startSidewarden({
    postgres,
    masks: [
      { columns: ['public.customers.card', 'b.customers.card'], with: 'Redact' },
      { detect: ['Email'], with: 'Redact' },
    ],
    rules: [
      {
        name: 'kept',
        when: 'sql.verb in ["DELETE", "TRUNCATE TABLE"] && sql.tables.exists(t, t.name == "public.t")',
        action: 'Deny',
      },
      { name: 'rest', when: 'true', action: 'Allow' },
    ],
  });
});
after(async () => {
  await served.stop();
  await admin.end();
  await postgres.stop();
});
beforeEach(() => admin.query(WORLD));

type Act = string | readonly Buffer[];

/** One after the other: texts, or messages of one batch that end with as many Syncs and Queries as answers are waited for. */
async function play(acts: readonly Act[]): Promise<string> {
  const client = await Frontend.connect(served.port);
  const bytes: Buffer[] = [];
  client.socket.on('data', (chunk: Buffer) => bytes.push(chunk));
  const answers: string[] = [];
  try {
    for (const act of acts) {
      const messages = typeof act === 'string' ? [query(act)] : act;
      client.send(...messages);
      for (const message of messages)
        if (['S', 'Q'].includes(message.toString('latin1', 0, 1)))
          answers.push(describe(await client.ready()));
    }
  } finally {
    client.close();
  }
  assert.doesNotMatch(Buffer.concat(bytes).toString('latin1'), /SECRET/, answers.join('\n'));
  const { rows } = await admin.query('SELECT id FROM public.t');
  assert.equal(rows.length, 1, answers.join('\n'));
  return answers.join('\n');
}

const CARD = 'SELECT card FROM customers';
const DELETE = 'DELETE FROM t';
const TEMP = 'CREATE TEMP TABLE customers (id int, name text, card text)';
const TEMP_T = 'CREATE TEMP TABLE t (id int)';
const read = (text: string) => [parse('', text), bind('', ''), describeOf('P', ''), execute('')];

const attacks: Readonly<Record<string, readonly Act[]>> = {
  'ROLLBACK TO': ['CREATE TEMP TABLE d ()', 'BEGIN; SAVEPOINT s', TEMP, CARD, 'ROLLBACK TO s', CARD],
  'ROLLBACK TO, a delete': [
    'CREATE TEMP TABLE d ()',
    'BEGIN; SAVEPOINT s',
    TEMP_T,
    DELETE,
    'ROLLBACK TO s',
    DELETE,
  ],
  'ROLLBACK AND CHAIN': ['CREATE TEMP TABLE d ()', 'BEGIN', TEMP, CARD, 'ROLLBACK AND CHAIN', CARD],
  'ROLLBACK in a batch': [
    'CREATE TEMP TABLE d ()',
    'BEGIN',
    TEMP,
    CARD,
    [run('ROLLBACK'), ...read(CARD), sync],
  ],
  'a column comes back': [
    'BEGIN; SAVEPOINT s',
    'ALTER TABLE customers DROP COLUMN card',
    'SELECT c::text FROM customers c',
    'ROLLBACK TO s',
    'SELECT c::text FROM customers c',
  ],
  'a column comes back, one text': [
    'BEGIN',
    'ALTER TABLE public.customers DROP COLUMN card',
    'ROLLBACK; SELECT * FROM public.customers',
  ],
  'a table comes back, one text': [
    'BEGIN',
    'DROP TABLE public.customers',
    'ROLLBACK; SELECT card FROM public.customers',
  ],
  'a table comes back, a delete': ['BEGIN', 'DROP TABLE public.t', 'ROLLBACK; DELETE FROM public.t'],
  'a failed COMMIT, one text': [
    'BEGIN',
    'ALTER TABLE public.customers DROP COLUMN card',
    'SELECT 1/0',
    'COMMIT; SELECT * FROM public.customers',
  ],
  'DISCARD TEMP': [TEMP, `DISCARD TEMP; ${CARD}`],
  'DISCARD TEMP, a delete': [TEMP_T, `DISCARD TEMP; ${DELETE}`],
  'CASCADE by inheritance': [
    'CREATE TABLE a.z (id int, name text, card text)',
    'CREATE TEMP TABLE customers () INHERITS (a.z)',
    `DROP TABLE a.z CASCADE; ${CARD}`,
  ],
  'CASCADE by a type': [
    'CREATE TYPE a.tt AS (id int, name text, card text)',
    'CREATE TEMP TABLE customers OF a.tt',
    `DROP TYPE a.tt CASCADE; ${CARD}`,
  ],
  'a parent loses a column': [
    'CREATE TABLE a.z (card text)',
    'CREATE TABLE a.kid () INHERITS (a.z)',
    'INSERT INTO a.kid VALUES (1)',
    'ALTER TABLE a.z DROP COLUMN card; SELECT (SELECT card FROM a.kid LIMIT 1) FROM customers',
  ],
  'a portal that never began': [
    'BEGIN',
    TEMP,
    [parse('x', 'COPY customers TO STDOUT'), bind('p', 'x'), sync],
    'SAVEPOINT s',
    'SELECT 1/0',
    [execute('p'), sync],
    'ROLLBACK TO s',
    'DROP TABLE pg_temp.customers',
    [execute('p'), sync],
  ],
  'a portal that never began, TRUNCATE': [
    'BEGIN',
    TEMP_T,
    [parse('x', 'TRUNCATE t'), bind('p', 'x'), sync],
    'SAVEPOINT s',
    [run('SELECT 1/0'), execute('p'), sync],
    'ROLLBACK TO s',
    'DROP TABLE pg_temp.t',
    [execute('p'), sync],
    'COMMIT',
  ],
  'EXECUTE of EXECUTE': [
    'SET search_path = a',
    `PREPARE t AS ${CARD}`,
    [parse('s', 'EXECUTE t'), sync],
    'EXECUTE s',
    'SET search_path = public',
    'EXECUTE s',
  ],
  'EXECUTE of EXECUTE, a delete': [
    'SET search_path = a',
    `PREPARE t AS ${DELETE}`,
    [parse('s', 'EXECUTE t'), sync],
    'EXECUTE s',
    'SET search_path = public',
    'EXECUTE s',
  ],
  'EXECUTE of itself': [[parse('s', 'EXECUTE s'), sync], 'EXECUTE s', 'SELECT 1'],
  'a refused text in a batch': [
    [run('SET search_path = a'), ...read(CARD), query('foo bar'), ...read(CARD), sync],
  ],
  'a type that was described before': [
    'CREATE TEMP TABLE mails (id int, note int)',
    [parse('s', 'SELECT * FROM mails'), describeOf('S', 's'), sync],
    'DROP TABLE pg_temp.mails',
    'EXECUTE s',
    [bind('', 's'), execute(''), sync],
  ],
};

suite('nothing protected comes out', () => {
  for (const [name, acts] of Object.entries(attacks)) test(name, () => play(acts).then(() => undefined));

  test('a batch that waits, then a refused text', async () => {
    const client = await Frontend.connect(served.port);
    client.send(run('SET search_path = a'), run(CARD), flush);
    await client.until(({ tag }) => tag === 'D' || tag === 'E');
    client.send(query('foo bar'), ...read(CARD), sync);
    const seen = `${describe(await client.ready())} ${describe(await client.ready())}`;
    client.close();
    assert.doesNotMatch(seen, /SECRET/);
  });

  test('a schema of the path that is made later', async () => {
    const client = await Frontend.connect(served.port);
    await client.query('SET search_path = b, a');
    assert.equal(describe(await client.query(CARD)), 'T D(harmless) C(SELECT 1) Z(I)');
    const other = await Frontend.connect(served.port);
    await other.query('CREATE SCHEMA b');
    await other.query('CREATE TABLE b.customers (id int, name text, card text)');
    await admin.query("INSERT INTO b.customers VALUES (1, 'b', 'SECRET-b')");
    const seen = describe(await client.query(CARD));
    for (const one of [client, other]) one.close();
    assert.match(seen, /redacted/);
  });
});

suite('what is prepared goes on', () => {
  const again: Readonly<Record<string, readonly Act[]>> = {
    'dropped, made anew': [
      'CREATE TABLE a.r (id int)',
      [parse('s', 'SELECT id FROM a.r'), sync],
      'DROP TABLE a.r',
      [bind('', 's'), execute(''), sync],
      'CREATE TABLE a.r (id int)',
      [bind('', 's'), execute(''), sync],
    ],
    'dropped, made anew, SQL': [
      'CREATE TABLE a.r (id int)',
      'PREPARE s AS SELECT id FROM a.r',
      'DROP TABLE a.r',
      'EXECUTE s',
      'CREATE TABLE a.r (id int)',
      'EXECUTE s',
    ],
    'a shadow that is taken back': [
      [parse('s', 'SELECT name FROM customers'), sync],
      'BEGIN',
      'CREATE TEMP TABLE customers (name text)',
      [bind('', 's'), execute(''), sync],
      'ROLLBACK',
      [bind('', 's'), execute(''), sync],
    ],
  };
  for (const [name, acts] of Object.entries(again))
    test(name, async () => {
      const answers = (await play([...acts, "SELECT 'the end'"])).split('\n');
      assert.match(answers.at(-2) ?? '', /C\(SELECT \d\) Z\(I\)$/);
      assert.equal(answers.at(-1), 'T D(the end) C(SELECT 1) Z(I)');
    });
});
