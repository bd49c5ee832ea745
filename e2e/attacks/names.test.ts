/**
 * THREATS.md 37 and 43, where a name means one thing to Sidewarden and another to PostgreSQL when the statement runs: another
 * table, another prepared statement, another cursor. Whatever the answer is, no protected value may be in it, and what a rule
 * holds may not run.
 */
import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { after, before, describe as suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { message } from '../../bench/wire.ts';
import type { ManifestRule } from '../manifests.ts';
import { startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import {
  Frontend,
  bind,
  describe,
  describeOf,
  execute,
  flush,
  parse,
  query,
  rowOf,
  run,
  sync,
  type Message,
} from './frontend.ts';

const hold = { approvers: { users: [userInfo().username] }, timeout: '1s' };
const heldOn = (table: string) =>
  `sql.verb in ["DELETE", "TRUNCATE", "TRUNCATE TABLE"] && sql.tables.exists(t, t.name == "public.${table}")`;
const rules: readonly ManifestRule[] = [
  { name: 'held', when: heldOn('t'), action: 'Hold', hold },
  { name: 'refuses', when: heldOn('refuses'), action: 'Hold', hold: { ...hold, inTransaction: 'Refuse' } },
  {
    name: 'never',
    when: 'sql.verb == "DROP TABLE" && sql.tables.exists(t, t.name == "public.t")',
    action: 'Deny',
  },
  { name: 'rest', when: 'true', action: 'Allow' },
];

const SCHEMA = `
CREATE TABLE customers (id int PRIMARY KEY, name text, card text);
INSERT INTO customers VALUES (1, 'n1', 'SECRET-4929-1'), (2, 'n2', 'SECRET-4929-2');
CREATE VIEW seen AS SELECT name AS card FROM customers;
CREATE TABLE refuses (id int); INSERT INTO refuses VALUES (1);
CREATE TABLE gate (id int);
CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (1);
CREATE SCHEMA a; CREATE SCHEMA b;`;

/** What the attacks change. Tables that are still there are kept, as Sidewarden reads new ones only after a while. */
const WORLD = `
DROP TABLE IF EXISTS a.moved, b.moved, b.customers, b.t;
CREATE TABLE IF NOT EXISTS a.customers (id int, name text, card text);
CREATE TABLE IF NOT EXISTS a.t (id int, note text);
CREATE TABLE IF NOT EXISTS public.t (id int, note text);
DELETE FROM a.customers; INSERT INTO a.customers VALUES (1, 'an1', 'harmless');
DELETE FROM a.t;
DELETE FROM public.t; INSERT INTO public.t VALUES (1, 'x');`;

/** Shadowed by a table of its name: in schema a, in schema b, or temporary. */
interface Target {
  readonly of: string;
  readonly text: string;
  /** Reads the table, and nothing that is protected when it is the shadowing one. */
  readonly look: string;
  readonly table: string;
  readonly columns: string;
}

const CARD = 'SELECT card FROM customers';
const NAME = 'SELECT name FROM customers';
const card: Target = {
  of: 'mask',
  text: CARD,
  look: CARD,
  table: 'customers',
  columns: '(id int, name text, card text)',
};
const deletion: Target = {
  of: 'hold',
  text: 'DELETE FROM t',
  look: 'SELECT note FROM t',
  table: 't',
  columns: '(id int, note text)',
};

/** One session with all that came over it. */
interface Player {
  readonly client: Frontend;
  readonly bytes: Buffer[];
  readonly answers: Message[];
}

/** A simple query, or messages that are sent at once: both to the end of the answer. Or whatever two sessions do. */
type Step = string | readonly Buffer[] | ((player: Player, other: Player) => Promise<unknown>);
type Attack = readonly [name: string, ...steps: readonly Step[]];

let postgres: TestPostgres;
let served: Sidewarden;
let admin: pg.Client;
/** Holds the lock of `gate`, for statements that must take a while. */
let keeper: pg.Client;

before(async () => {
  postgres = await startPostgres({ settings: ['autovacuum=off'] });
  admin = new pg.Client({ ...postgres, database: 'postgres' });
  keeper = new pg.Client({ ...postgres, database: 'postgres' });
  await Promise.all([admin.connect(), keeper.connect()]);
  await admin.query("SET lock_timeout = '60s'");
  await admin.query(SCHEMA);
  await admin.query(WORLD);
  const masks = [{ columns: ['public.customers.card'], with: 'Redact' }];
  served = await startSidewarden({ postgres, rules, masks });
  await restore();
});

after(async () => {
  await served.stop();
  await Promise.all([admin.end(), keeper.end()]);
  await postgres.stop();
});

async function until(what: () => string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds()); await sleep(10))
    assert.ok(Date.now() < deadline, `not within 60 s: ${what()}`);
}

/** As before any attack, and known to Sidewarden. */
async function restore(): Promise<void> {
  await admin.query(WORLD);
  const player = await join();
  let answer = '';
  await until(
    () => `Sidewarden knows a.customers and a.t, it answers ${answer}`,
    async () => {
      answer = await take(player, 'SELECT card FROM a.customers');
      answer += await take(player, 'DELETE FROM a.t');
      return /D\(harmless\).*C\(DELETE 0\)/.test(answer);
    },
  );
  await leave(player);
}

async function join(): Promise<Player> {
  const client = await Frontend.connect(served.port);
  const player: Player = { client, bytes: [], answers: [] };
  client.socket.on('data', (chunk: Buffer) => player.bytes.push(chunk));
  return player;
}

/** All that was asked is answered when it returns. */
async function leave({ client }: Player): Promise<void> {
  client.send(sync, query('COMMIT'), query("SELECT 'the end'"));
  await client.until((one) => one.tag === 'D' && rowOf(one)[0] === 'the end');
  client.close();
}

function tagsOf(bytes: Buffer): readonly string[] {
  const tags: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
    tags.push(bytes.toString('latin1', at, at + 1));
  return tags;
}

/** Messages that end with Flush are answered when the last Execute is. */
async function take(player: Player, step: string | readonly Buffer[]): Promise<string> {
  const { client } = player;
  const sent = typeof step === 'string' ? [query(step)] : step;
  const tags = tagsOf(Buffer.concat(sent));
  client.send(...sent);
  const seen: Message[] = [];
  const ends = tags.filter((tag) => tag === 'Q' || tag === 'S').length;
  for (let left = ends; left > 0; left--) seen.push(...(await client.ready()));
  if (tags.at(-1) === 'H')
    for (let left = tags.filter((tag) => tag === 'E').length; left > 0; left--) {
      seen.push(...(await client.until(({ tag }) => tag === 'C' || tag === 'E')));
      if (seen.at(-1)?.tag === 'E') break;
    }
  player.answers.push(...seen);
  return describe(seen);
}

interface Outcome {
  readonly answers: string;
  readonly bytes: string;
  /** Whether somebody was asked for an approval. */
  readonly held: boolean;
}

/** Before the first message of the extended protocol there is nothing to refuse. */
async function play(steps: readonly Step[]): Promise<Outcome> {
  const [player, other] = await Promise.all([join(), join()]);
  try {
    let begun = false;
    for (const [index, step] of steps.entries()) {
      begun ||= typeof step !== 'string' || index === steps.length - 1;
      const answer = typeof step === 'function' ? await step(player, other) : await take(player, step);
      if (!begun) assert.doesNotMatch(String(answer), /\bE\(/, `step ${index}`);
    }
    await Promise.all([leave(player), leave(other)]);
  } finally {
    player.client.close();
    other.client.close();
  }
  const bytes = Buffer.concat([...player.bytes, ...other.bytes]).toString('latin1');
  return { answers: describe(player.answers), bytes, held: bytes.includes('waiting for approval') };
}

/** Rows that are there; `touched` those that a statement deleted, also when that was taken back. */
async function rowsOfT(): Promise<unknown> {
  const { rows } = await admin.query<Record<string, number>>(
    "SELECT count(*)::int AS rows, (count(*) FILTER (WHERE xmax <> '0'))::int AS touched FROM public.t",
  );
  return rows[0];
}

async function assertHarmless({ answers, bytes }: Outcome): Promise<void> {
  assert.ok(!bytes.includes('SECRET-'), `a protected value came: ${answers}`);
  assert.doesNotMatch(answers, /C\((DELETE [1-9]|TRUNCATE)/, 'what a rule holds ran');
  assert.deepEqual(await rowsOfT(), { rows: 1, touched: 0 }, `what a rule holds ran: ${answers}`);
}

function attack(...attacks: readonly Attack[]): void {
  for (const [name, ...steps] of attacks)
    test(name, async () => {
      await restore();
      await assertHarmless(await play(steps));
    });
}

/** What must be answered, or the attacks beside it show nothing. */
function control(name: string, expected: RegExp, ...steps: readonly Step[]): void {
  test(`works: ${name}`, async () => {
    await restore();
    const outcome = await play(steps);
    assert.match(outcome.answers, expected);
    await assertHarmless(outcome);
  });
}

/** Once against the mask, once against the hold. */
function both(name: string, steps: (target: Target) => readonly Step[]): readonly Attack[] {
  return [card, deletion].map((target) => [`${name} (${target.of})`, ...steps(target)]);
}

const close = (kind: 'S' | 'P', name: string) => message('C', Buffer.from(`${kind}${name}\0`));
/** What was prepared, by its name. */
const again = (statement: string) => Buffer.concat([bind('', statement), describeOf('P', ''), execute('')]);
const read = (sql: string) => Buffer.concat([parse('', sql), again('')]);

const temporary = ({ table, columns }: Target, end = '') =>
  `CREATE TEMP TABLE ${table} ${columns} ${end}`.trim();
/** The session has a schema of temporary tables from now on. */
const TEMPORARY = 'CREATE TEMP TABLE other (id int)';
const SHADOW = 'SET search_path = a, public';
/** Redacted, if the mask is of every table that the name may come to mean. */
const SHADOWED = /D\((harmless|\[redacted\])\) C\(SELECT 1\)/;

suite('the world', () => {
  control('the mask', /^T D\(\[redacted\]\) D\(\[redacted\]\) C\(SELECT 2\)/, CARD);
  control(
    'no mask, another table of the name',
    /D\(harmless\) C\(SELECT 1\)/,
    'SELECT card FROM a.customers',
  );
  control('other columns', /D\(n1\) D\(n2\)/, NAME);
  control('no hold, another table of the name', /C\(DELETE 0\)/, 'DELETE FROM a.t');
  control('the denial', /^E\(42501\) Z\(I\)$/, 'DROP TABLE t');
  test('works: the hold', async () => {
    for (const text of ['DELETE FROM t', 'TRUNCATE t']) {
      await restore();
      const outcome = await play([text]);
      assert.match(outcome.answers, /^E\(42501\) Z\(I\)$/);
      assert.ok(outcome.held);
      await assertHarmless(outcome);
    }
  });
});

/** Early, while approvals are not asked for too fast. */
suite('a hold that may not wait inside a transaction', () => {
  const write = "INSERT INTO a.t VALUES (2, 'y')";
  const isRefused = async (steps: readonly Step[]) => {
    await restore();
    const { answers, bytes, held } = await play(steps);
    assert.ok(!held, `an approval was waited for: ${answers}`);
    assert.doesNotMatch(answers, /C\(DELETE/);
    assert.match(bytes, /may not wait for it inside an open transaction/);
    const { rows } = await admin.query("SELECT count(*)::int AS n FROM refuses WHERE xmax = '0'");
    assert.deepEqual(rows, [{ n: 1 }]);
  };
  test('works: held outside of one', async () => {
    await restore();
    const outcome = await play([
      [run(write), sync],
      [run('DELETE FROM refuses'), sync],
    ]);
    assert.ok(outcome.held, outcome.answers);
  });
  test('works: refused after BEGIN', () => isRefused(['BEGIN', 'DELETE FROM refuses']));
  test('a batch that has written', () => isRefused([[run(write), run('DELETE FROM refuses'), sync]]));
  test('a batch that has written, one by one', () =>
    isRefused([
      [run(write), flush],
      [run('DELETE FROM refuses'), sync],
    ]));
  test('BEGIN in the same batch', () => isRefused([[run('BEGIN'), run('DELETE FROM refuses'), sync]]));
});

suite('a prepared statement is not read anew by the server', () => {
  const prepared = [parse('s', CARD), sync];
  control('by the protocol', /D\(\[redacted\]\) D\(\[redacted\]\) C\(SELECT 2\)/, TEMPORARY, prepared, [
    again('s'),
    sync,
  ]);
  control('by SQL', /D\(\[redacted\]\) D\(\[redacted\]\) C\(SELECT 2\)/, `PREPARE s AS ${CARD}`, 'EXECUTE s');
  control('read anew, when the path has changed', SHADOWED, prepared, SHADOW, [again('s'), sync]);
  attack(
    ...both('Parse, then a temporary table of the name', (target) => [
      TEMPORARY,
      [parse('s', target.text), sync],
      temporary(target),
      [again('s'), sync],
    ]),
    ...both('PREPARE, then a temporary table of the name', (target) => [
      TEMPORARY,
      `PREPARE s AS ${target.text}`,
      temporary(target),
      'EXECUTE s',
    ]),
    ...both('Parse, then a table of the name in a schema before', (target) => [
      'SET search_path = b, public',
      [parse('s', target.text), sync],
      `CREATE TABLE b.${target.table} ${target.columns}`,
      [again('s'), sync],
    ]),
    ...both('PREPARE, then a table of the name in a schema before', (target) => [
      'SET search_path = b, public',
      `PREPARE s AS ${target.text}`,
      `CREATE TABLE b.${target.table} ${target.columns}`,
      'EXECUTE s',
    ]),
    ...both('Parse, EXECUTE', (target) => [
      TEMPORARY,
      [parse('s', target.text), sync],
      temporary(target),
      'EXECUTE s',
    ]),
    ...both('PREPARE, Bind', (target) => [
      TEMPORARY,
      `PREPARE s AS ${target.text}`,
      temporary(target),
      [again('s'), sync],
    ]),
    ...both('the table is made by another session', (target) => [
      'SET search_path = b, public',
      [parse('s', target.text), sync],
      (_, other) => take(other, `CREATE TABLE b.${target.table} ${target.columns}`),
      [again('s'), sync],
    ]),
    ...both('the table is moved to where it shadows', (target) => [
      'SET search_path = b, public',
      [parse('s', target.text), sync],
      `ALTER TABLE a.${target.table} SET SCHEMA b`,
      [again('s'), sync],
    ]),
  );
});

suite('names longer than 63 bytes', () => {
  const long = 'x'.repeat(63);
  const statements = (one: string, two: string, text: string): readonly Step[] => [
    [parse(one, NAME), sync],
    [close('S', two), parse(two, text), sync],
    [again(one), sync],
  ];
  const portals = (one: string, two: string): readonly Step[] => [
    'BEGIN',
    [
      ...[parse('n', NAME), parse('m', CARD)],
      ...[bind(one, 'n'), close('P', two), bind(two, 'm'), execute(one), sync],
    ],
  ];
  const executed = (one: string, two: string, text: string): readonly Step[] => [
    [parse(one, NAME), sync],
    [close('S', two), parse(two, text), sync],
    `EXECUTE ${one}`,
  ];
  const fetched = (one: string, two: string): readonly Step[] => [
    'BEGIN',
    `DECLARE ${one} CURSOR FOR ${NAME}`,
    [close('P', two), parse('m', CARD), bind(two, 'm'), sync],
    `FETCH ALL FROM ${one}`,
  ];
  const savepoints = (one: string, two: string): readonly Step[] => [
    'BEGIN',
    'SET search_path = a',
    `SAVEPOINT ${one}`,
    'SET search_path = public',
    `SAVEPOINT ${two}`,
    `ROLLBACK TO ${one}`,
    CARD,
  ];
  control('short statements', /D\(n1\)/, ...statements('xa', 'xb', CARD));
  control('short portals', /D\(n1\)/, ...portals('xa', 'xb'));
  control('short names, EXECUTE', /D\(n1\)/, ...executed('xa', 'xb', CARD));
  control('short names, FETCH', /D\(n1\)/, ...fetched('xa', 'xb'));
  control('short savepoints', SHADOWED, ...savepoints('xa', 'xb'));
  control('names of 63 bytes', /D\(n1\)/, ...statements(long, `${long.slice(1)}y`, CARD));
  attack(
    ...both('statements', ({ text }) => statements(`${long}a`, `${long}b`, text)),
    // é and è differ in their last byte, which is the 64th.
    ...both('statements, cut inside a letter', ({ text }) =>
      statements('é'.repeat(32), `${'é'.repeat(31)}è`, text),
    ),
    ...both('a longer and a whole one', ({ text }) => statements(long, `${long}b`, text)),
    ...both('EXECUTE', ({ text }) => executed(long, `${long}b`, text)),
    ...both('PREPARE and EXECUTE', ({ text }) => [
      `PREPARE ${long}a AS ${NAME}`,
      `DEALLOCATE ${long}b`,
      `PREPARE ${long}b AS ${text}`,
      `EXECUTE ${long}a`,
    ]),
    ...both('PREPARE and Bind', ({ text }) => [
      `PREPARE ${long}a AS ${NAME}`,
      `DEALLOCATE ${long}b`,
      `PREPARE ${long}b AS ${text}`,
      [again(`${long}a`), sync],
    ]),
    ['portals', ...portals(`${long}a`, `${long}b`)],
    ['portals, cut inside a letter', ...portals('é'.repeat(32), `${'é'.repeat(31)}è`)],
    ['FETCH', ...fetched(long, `${long}b`)],
    ['savepoints', ...savepoints(`${long}a`, `${long}b`)],
  );
});

suite('a portal of a statement that looks for its names when it is executed', () => {
  /** Bound while the temporary table of the name is there, executed when it is not. */
  const uncovered = (target: Target, sql: string): readonly Step[] => [
    'BEGIN',
    temporary(target),
    [parse('x', sql), bind('p', 'x'), sync],
    `DROP TABLE pg_temp.${target.table}`,
    [execute('p'), sync],
  ];
  /** Bound while the path begins with schema a. */
  const elsewhere = (sql: string): readonly Step[] => [
    'BEGIN',
    'SET search_path = a',
    [parse('x', sql), bind('p', 'x'), sync],
    'SET search_path = public',
    [execute('p'), sync],
  ];
  control('EXECUTE', /D\(n1\)/, `PREPARE s AS ${NAME}`, [read('EXECUTE s'), sync]);
  control('FETCH', /D\(n1\)/, 'BEGIN', `DECLARE c CURSOR FOR ${NAME}`, [read('FETCH ALL FROM c'), sync]);
  control('COPY', /H d d c C\(COPY 2\)/, [run('COPY customers TO STDOUT'), sync]);
  attack(
    ...both('EXECUTE of another statement of the name', ({ text }) => [
      'BEGIN',
      `PREPARE s AS ${NAME}`,
      [parse('x', 'EXECUTE s'), bind('p', 'x'), sync],
      'DEALLOCATE s',
      `PREPARE s AS ${text}`,
      [execute('p'), sync],
    ]),
    ...both('EXECUTE of another statement of the name, by the protocol', ({ text }) => [
      'BEGIN',
      `PREPARE s AS ${NAME}`,
      [parse('x', 'EXECUTE s'), bind('p', 'x'), sync],
      'DEALLOCATE s',
      [parse('s', text), sync],
      [execute('p'), sync],
    ]),
    ...both('EXECUTE of another statement of the name, in one batch', ({ text }) => [
      `PREPARE s AS ${NAME}`,
      [
        ...[parse('x', 'EXECUTE s'), bind('p', 'x'), run('DEALLOCATE s')],
        ...[parse('s', text), describeOf('P', 'p'), execute('p'), sync],
      ],
    ]),
    [
      'FETCH from another cursor of the name',
      'BEGIN',
      `DECLARE c CURSOR FOR ${NAME}`,
      [parse('x', 'FETCH ALL FROM c'), bind('p', 'x'), sync],
      'CLOSE c',
      `DECLARE c CURSOR FOR ${CARD}`,
      [execute('p'), sync],
    ],
    [
      'FETCH from a portal of the name',
      'BEGIN',
      `DECLARE c CURSOR FOR ${NAME}`,
      [parse('x', 'FETCH ALL FROM c'), bind('p', 'x'), sync],
      'CLOSE c',
      [parse('s', CARD), bind('c', 's'), execute('p'), sync],
    ],
    ['COPY, the temporary table is gone', ...uncovered(card, 'COPY customers TO STDOUT')],
    ['COPY of a query, the temporary table is gone', ...uncovered(card, `COPY (${CARD}) TO STDOUT`)],
    ['COPY, the path is another', ...elsewhere('COPY customers TO STDOUT')],
    ['COPY of a query, the path is another', ...elsewhere(`COPY (${CARD}) TO STDOUT`)],
    [
      'DECLARE, the temporary table is gone',
      ...uncovered(card, `DECLARE d CURSOR FOR ${CARD}`),
      'FETCH ALL FROM d',
    ],
    ['DECLARE, the path is another', ...elsewhere(`DECLARE d CURSOR FOR ${CARD}`), 'FETCH ALL FROM d'],
    [
      'CREATE TABLE AS, the temporary table is gone',
      ...uncovered(card, `CREATE TEMP TABLE d AS ${CARD}`),
      'SELECT * FROM d',
    ],
    [
      'CREATE TABLE AS, the path is another',
      ...elsewhere(`CREATE TEMP TABLE d AS ${CARD}`),
      'SELECT * FROM d',
    ],
    [
      'CREATE TABLE AS EXECUTE, another statement of the name',
      'BEGIN',
      `PREPARE s AS ${NAME}`,
      [parse('x', 'CREATE TEMP TABLE d AS EXECUTE s'), bind('p', 'x'), sync],
      'DEALLOCATE s',
      `PREPARE s AS ${CARD}`,
      [execute('p'), sync],
      'SELECT * FROM d',
    ],
    ['TRUNCATE, the temporary table is gone', ...uncovered(deletion, 'TRUNCATE t')],
    ['TRUNCATE, the path is another', ...elsewhere('TRUNCATE t')],
    [
      'TRUNCATE, the table has another name',
      'BEGIN',
      SHADOW,
      [parse('x', 'TRUNCATE t'), bind('p', 'x'), sync],
      'ALTER TABLE a.t RENAME TO moved',
      [execute('p'), sync],
    ],
    ['DROP TABLE, the temporary table is gone', ...uncovered(deletion, 'DROP TABLE t')],
    ['DROP TABLE, the path is another', ...elsewhere('DROP TABLE t')],
  );
});

suite('pipelined behind the end of a transaction', () => {
  /** Ends with the transaction, and with it what the name means. */
  const local = 'SET LOCAL search_path = a';
  /** The ends that take back a SET of the transaction, and what must be before them. */
  const ends: readonly (readonly [string, readonly string[], string])[] = [
    ['COMMIT after SET LOCAL', [local], 'COMMIT'],
    ['COMMIT AND CHAIN after SET LOCAL', [local], 'COMMIT AND CHAIN'],
    ['ROLLBACK', ['SET search_path = a'], 'ROLLBACK'],
    ['ROLLBACK AND CHAIN', ['SET search_path = a'], 'ROLLBACK AND CHAIN'],
    ['ROLLBACK TO', ['SAVEPOINT s', 'SET search_path = a'], 'ROLLBACK TO s'],
    ['ROLLBACK TO after SET LOCAL', ['SAVEPOINT s', local], 'ROLLBACK TO s'],
    ['a COMMIT that fails', ['SET search_path = a', 'INSERT INTO public.late VALUES (1)'], 'COMMIT'],
  ];
  for (const [name, before, end] of ends) {
    control(name, SHADOWED, 'BEGIN', ...before, CARD);
    attack(
      ...both(`${name}, one by one`, ({ text, look }) => ['BEGIN', ...before, look, [query(end)], text]),
      ...both(`${name}, next batch`, ({ text, look }) => [
        'BEGIN',
        ...before,
        look,
        [run(end), sync, read(text), sync],
      ]),
      ...both(`${name}, same batch`, ({ text, look }) => [
        'BEGIN',
        ...before,
        look,
        [run(end), read(text), sync],
      ]),
      ...both(`${name}, next text`, ({ text, look }) => [
        'BEGIN',
        ...before,
        look,
        [query(end), query(text)],
      ]),
      ...both(`${name}, same text`, ({ text, look }) => ['BEGIN', ...before, look, `${end}; ${text}`]),
    );
  }
  attack(
    ...both('COMMIT drops the temporary table', (target) => [
      'BEGIN',
      temporary(target, 'ON COMMIT DROP'),
      target.look,
      [run('COMMIT'), sync, read(target.text), sync],
    ]),
    ...both('COMMIT drops the temporary table, same text', (target) => [
      'BEGIN',
      temporary(target, 'ON COMMIT DROP'),
      target.look,
      `COMMIT; ${target.text}`,
    ]),
    ...both('SET LOCAL without a transaction', ({ text }) => [local, text]),
    ...both('COMMIT AND CHAIN drops the temporary table', (target) => [
      'BEGIN',
      temporary(target, 'ON COMMIT DROP'),
      target.look,
      [query('COMMIT AND CHAIN')],
      target.text,
    ]),
    ...both('PREPARE TRANSACTION', ({ text, look }) => [
      'BEGIN',
      'SET search_path = a',
      look,
      `PREPARE TRANSACTION 'x'; ${text}`,
    ]),
    ...both('Sync ends SET LOCAL', ({ text, look }) => [
      [run(local), read(look), flush],
      [sync, read(text), sync],
    ]),
    ...both('Sync ends SET LOCAL, sent at once', ({ text, look }) => [
      [run(local), read(look), sync, read(text), sync],
    ]),
    ...both('Sync drops the temporary table', (target) => [
      [run(temporary(target, 'ON COMMIT DROP')), read(target.look), flush],
      [sync, read(target.text), sync],
    ]),
    ...both('Sync drops the temporary table, sent at once', (target) => [
      [run(temporary(target, 'ON COMMIT DROP')), read(target.look), sync, read(target.text), sync],
    ]),
    ...both('an error takes SET back, sent at once', ({ text, look }) => [
      [run('SET search_path = a'), read(look), run('SELECT 1/0'), sync, read(text), sync],
    ]),
    ...both('an error takes SET back', ({ text, look }) => [
      [run('SET search_path = a'), read(look), run('SELECT 1/0'), sync],
      text,
    ]),
    ...both('an error takes SET back, in a text', ({ text }) => [
      [query('SET search_path = a; SELECT 1/0')],
      text,
    ]),
    ...both('an error takes SET back, next text', ({ text }) => [
      [query('SET search_path = a; SELECT 1/0'), query(text)],
    ]),
    ...both('a Sync that fails takes SET back', ({ text, look }) => [
      [run('SET search_path = a'), read(look), run('INSERT INTO public.late VALUES (1)'), sync],
      text,
    ]),
    ...both('a Sync that fails takes SET back, sent at once', ({ text, look }) => [
      [
        run('SET search_path = a'),
        read(look),
        run('INSERT INTO public.late VALUES (1)'),
        sync,
        read(text),
        sync,
      ],
    ]),
    ...both('an error takes the temporary table back, sent at once', (target) => [
      [run(temporary(target)), read(target.look), run('SELECT 1/0'), sync, read(target.text), sync],
    ]),
  );
});

suite('a name that another statement keeps, because the new one fails', () => {
  const prepare = (text: string): readonly Buffer[] => [parse('s', text), sync];
  const instead = parse('s', NAME);
  control(
    'a statement of the name, pipelined',
    /D\(n1\)/,
    [parse('s', CARD), sync],
    [close('S', 's'), instead, sync, again('s'), sync],
    'EXECUTE s',
  );
  attack(
    ...both('EXECUTE', ({ text }) => [prepare(text), [instead, sync, read('EXECUTE s'), sync]]),
    ...both('EXECUTE, in a text', ({ text }) => [prepare(text), [instead, sync, query('EXECUTE s')]]),
    ...both('Bind', ({ text }) => [prepare(text), [instead, sync, again('s'), sync]]),
    ...both('PREPARE and EXECUTE', ({ text }) => [
      `PREPARE s AS ${text}`,
      [run(`PREPARE s AS ${NAME}`), sync, read('EXECUTE s'), sync],
    ]),
    ...both('PREPARE and EXECUTE, in texts', ({ text }) => [
      `PREPARE s AS ${text}`,
      [query(`PREPARE s AS ${NAME}`), query('EXECUTE s')],
    ]),
    ...both('Close and Parse are skipped after an error', ({ text }) => [
      prepare(text),
      [parse('bad', 'SELECT nothing FROM gate'), close('S', 's'), instead, sync, read('EXECUTE s'), sync],
    ]),
    ...both('Close and Parse are skipped after an error, Bind', ({ text }) => [
      prepare(text),
      [parse('bad', 'SELECT nothing FROM gate'), close('S', 's'), instead, sync, again('s'), sync],
    ]),
    ...both('DEALLOCATE is skipped after an error', ({ text }) => [
      prepare(text),
      [run('SELECT 1/0'), run('DEALLOCATE s'), instead, sync, read('EXECUTE s'), sync],
    ]),
    ...both('DEALLOCATE is skipped after an error, in a text', ({ text }) => [
      prepare(text),
      [query(`SELECT 1/0; DEALLOCATE s; PREPARE s AS ${NAME}`), query('EXECUTE s')],
    ]),
    ...both('DEALLOCATE, PREPARE, EXECUTE in one text', ({ text }) => [
      `PREPARE s AS ${NAME}`,
      `DEALLOCATE s; PREPARE s AS ${text}; EXECUTE s`,
    ]),
    [
      'FETCH',
      `DECLARE c CURSOR WITH HOLD FOR ${CARD}`,
      [run(`DECLARE c CURSOR WITH HOLD FOR ${NAME}`), sync, read('FETCH ALL FROM c'), sync],
    ],
    [
      'FETCH, in texts',
      `DECLARE c CURSOR WITH HOLD FOR ${CARD}`,
      [query(`DECLARE c CURSOR WITH HOLD FOR ${NAME}`), query('FETCH ALL FROM c')],
    ],
    [
      'CLOSE is skipped after an error',
      `DECLARE c CURSOR WITH HOLD FOR ${CARD}`,
      [
        ...[run('SELECT 1/0'), run('CLOSE c'), run(`DECLARE c CURSOR WITH HOLD FOR ${NAME}`), sync],
        ...[read('FETCH ALL FROM c'), sync],
      ],
    ],
    [
      'CLOSE, DECLARE, FETCH in one text',
      'BEGIN',
      `DECLARE c CURSOR FOR ${NAME}`,
      `CLOSE c; DECLARE c CURSOR FOR ${CARD}; FETCH ALL FROM c`,
    ],
  );
});

suite('a cursor that went with what was taken back', () => {
  control(
    'a portal',
    /D\(n1\) D\(n2\) C\(FETCH 2\)/,
    'BEGIN',
    [parse('s', NAME), bind('c', 's'), sync],
    'FETCH ALL FROM c',
  );
  control(
    'a cursor that is kept',
    /D\(n1\)/,
    'BEGIN',
    `DECLARE c CURSOR FOR ${NAME}`,
    'SAVEPOINT s',
    'ROLLBACK TO s',
    'FETCH ALL FROM c',
  );
  attack(
    [
      'ROLLBACK TO, then a portal of the name',
      'BEGIN; SAVEPOINT s',
      `DECLARE c CURSOR FOR ${NAME}`,
      'ROLLBACK TO s',
      [parse('s', CARD), bind('c', 's'), sync],
      'FETCH ALL FROM c',
    ],
    [
      'WITH HOLD, ROLLBACK, then a portal of the name',
      'BEGIN',
      `DECLARE c CURSOR WITH HOLD FOR ${NAME}`,
      'ROLLBACK',
      'BEGIN',
      [parse('s', CARD), bind('c', 's'), sync],
      'FETCH ALL FROM c',
    ],
    [
      'a portal, ROLLBACK TO, then a cursor of the name',
      'BEGIN',
      'SAVEPOINT s',
      [parse('s', NAME), bind('p', 's'), sync],
      'ROLLBACK TO s',
      `DECLARE p CURSOR FOR ${CARD}`,
      [execute('p'), sync],
    ],
    [
      'CLOSE is not taken back, then a portal of the name',
      'BEGIN',
      `DECLARE c CURSOR FOR ${NAME}`,
      'SAVEPOINT s',
      'CLOSE c',
      'ROLLBACK TO s',
      [parse('s', CARD), bind('c', 's'), sync],
      'FETCH ALL FROM c',
    ],
    ...both('PREPARE is not taken back', ({ text }) => [
      `PREPARE s AS ${NAME}`,
      'BEGIN',
      'DEALLOCATE s',
      `PREPARE s AS ${text}`,
      'ROLLBACK',
      'EXECUTE s',
    ]),
  );
});

suite('a portal whose prepared statement was read anew', () => {
  attack(
    [
      'FETCH, another path',
      'BEGIN',
      [parse('s', CARD), bind('p', 's'), sync],
      'SET search_path = a',
      [bind('q', 's'), sync],
      'FETCH ALL FROM p',
    ],
    [
      'FETCH, a temporary table',
      'BEGIN',
      [parse('s', CARD), bind('p', 's'), sync],
      temporary(card),
      [bind('q', 's'), sync],
      'FETCH ALL FROM p',
    ],
    ...both('Execute, another path', ({ text }) => [
      'BEGIN',
      [parse('s', text), bind('p', 's'), sync],
      'SET search_path = a',
      [bind('q', 's'), sync],
      [execute('p'), sync],
    ]),
    ...both('Execute, a temporary table', (target) => [
      'BEGIN',
      [parse('s', target.text), bind('p', 's'), sync],
      temporary(target),
      [bind('q', 's'), sync],
      [execute('p'), sync],
    ]),
  );
});

/** Until it is answered, or so many wait for a lock. */
async function answeredOrBlocked(answer: Promise<unknown>, blocked: number): Promise<void> {
  const state = { answered: false };
  const settle = () => {
    state.answered = true;
  };
  answer.then(settle, settle);
  await until(
    () => 'an answer, or a lock that is waited for',
    async () => {
      const { rowCount } = await admin.query('SELECT 1 FROM pg_locks WHERE NOT granted');
      return state.answered || (rowCount ?? 0) >= blocked;
    },
  );
}

/** The other session takes the shadowing table away while the statement waits for that table. */
const lockWait =
  (sent: readonly Buffer[], away: string): Step =>
  async (player, other) => {
    await take(other, 'BEGIN');
    assert.doesNotMatch(await take(other, away), /E\(/);
    const answer = take(player, sent);
    await answeredOrBlocked(answer, 1);
    await take(other, 'COMMIT');
    await answer;
  };

/** The other session does so while what was sent waits at the gate. */
const gated =
  (sent: readonly Buffer[], away: string): Step =>
  async (player, other) => {
    await keeper.query('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
    try {
      const answer = take(player, sent);
      await answeredOrBlocked(answer, 1);
      const gone = take(other, away);
      await answeredOrBlocked(gone, 2);
      await keeper.query('COMMIT');
      await Promise.all([answer, gone]);
    } finally {
      await keeper.query('ROLLBACK');
    }
  };

const AT_THE_GATE = 'SELECT id FROM gate';

suite('another session takes the shadowing table away', () => {
  const ways = ({ table }: Target): readonly (readonly [string, string])[] => [
    ['drops', `DROP TABLE a.${table}`],
    ['renames', `ALTER TABLE a.${table} RENAME TO moved`],
  ];
  control('a text of two', SHADOWED, SHADOW, `${AT_THE_GATE}; ${CARD}`);
  control('behind the gate', SHADOWED, SHADOW, gated([run(AT_THE_GATE), read(CARD), sync], 'SELECT 1'));
  for (const target of [card, deletion])
    for (const [verb, away] of ways(target)) {
      const { of, text, look } = target;
      attack(
        [`${verb} it: the lock is waited for (${of})`, SHADOW, look, lockWait([query(text)], away)],
        [
          `${verb} it: the lock is waited for, extended protocol (${of})`,
          SHADOW,
          look,
          lockWait([read(text), sync], away),
        ],
        [
          `${verb} it: the lock is waited for, prepared (${of})`,
          SHADOW,
          [parse('s', text), sync],
          lockWait([again('s'), sync], away),
        ],
        [
          `${verb} it: a text in flight (${of})`,
          SHADOW,
          look,
          gated([query(`${AT_THE_GATE}; ${text}`)], away),
        ],
        [
          `${verb} it: a batch in flight (${of})`,
          SHADOW,
          look,
          gated([run(AT_THE_GATE), read(text), sync], away),
        ],
        [`${verb} it: texts in flight (${of})`, SHADOW, look, gated([query(AT_THE_GATE), query(text)], away)],
      );
    }
  attack(
    ...both('in a text that goes on after its COMMIT', ({ text, look, table }) => [
      SHADOW,
      look,
      async (player, other) => {
        await keeper.query('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
        const gone = take(other, `BEGIN; DROP TABLE a.${table}; COMMIT; ${AT_THE_GATE}`);
        await answeredOrBlocked(gone, 1);
        await take(player, text);
        await keeper.query('COMMIT');
        await gone;
      },
    ]),
    ...both('by a COMMIT without Sync', ({ text, look, table }) => [
      SHADOW,
      look,
      async (player, other) => {
        await take(other, [run('BEGIN'), run(`DROP TABLE a.${table}`), flush]);
        await take(other, [run('COMMIT'), flush]);
        await take(player, text);
      },
    ]),
    [
      'a view gets a masked column, the lock is waited for',
      'SELECT card FROM seen',
      async (player, other) => {
        await take(other, 'BEGIN');
        await take(other, `CREATE OR REPLACE VIEW seen AS ${CARD}`);
        const answer = take(player, 'SELECT card FROM seen');
        await answeredOrBlocked(answer, 1);
        await take(other, 'COMMIT');
        await answer;
      },
    ],
  );
});

suite('a Bind that waits for the type of a binary parameter', () => {
  const one = Buffer.from([0, 0, 0, 1]);
  const asked = [bind('', 'z', [one]), describeOf('P', ''), execute('')];
  const condition = 'WHERE $1::int4 > 0';
  control(
    'nothing in front of it',
    SHADOWED,
    SHADOW,
    [parse('z', `${CARD} ${condition}`), sync],
    [...asked, sync],
  );
  attack(
    ...both('another session drops the table', ({ text, look, table }) => [
      SHADOW,
      look,
      [parse('z', `${text} ${condition}`), sync],
      gated([run(AT_THE_GATE), ...asked, sync], `DROP TABLE a.${table}`),
    ]),
    ...both('another session drops the table, parsed in the same batch', ({ text, look, table }) => [
      SHADOW,
      look,
      gated([run(AT_THE_GATE), parse('z', `${text} ${condition}`), ...asked, sync], `DROP TABLE a.${table}`),
    ]),
  );
});
