/** postgres.js: pipelines everything, prepares by default, cursors are portals in parts. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import type { Check, Client, Target } from './client.ts';
import { assertSameText } from './same-text.ts';

function check(
  name: string,
  work: (sql: postgres.Sql) => Promise<void>,
  options: postgres.Options<Record<string, never>> = {},
): Check {
  const run = async ({ main }: Target) => {
    const { user: username, ...rest } = main;
    const sql = postgres({ ...rest, username, max: 1, onnotice: () => undefined, ...options });
    try {
      await work(sql);
    } finally {
      await sql.end({ timeout: 2 });
    }
  };
  return { name, run };
}

const types = check('types, NULL, unicode and arrays', async (sql) => {
  const [row] =
    await sql`select ${42}::int as i, ${'9007199254740993'}::int8 as big, ${null}::text as nothing,
    ${'žluťoučký 🐎'} as u, ${[1, 2, 3]}::int[] as a, ${sql.json({ k: [1, null] })}::jsonb as j,
    ${Buffer.from('deadbeef', 'hex')}::bytea as bytes, '2026-11-21'::date as d, 1.50::numeric as n`;
  assert.equal(row?.['i'], 42);
  assert.equal(row['big'], '9007199254740993');
  assert.equal(row['nothing'], null);
  assert.equal(row['u'], 'žluťoučký 🐎');
  assert.deepEqual(row['a'], [1, 2, 3]);
  assert.deepEqual(row['j'], { k: [1, null] });
  assert.deepEqual(row['bytes'], Buffer.from('deadbeef', 'hex'));
  assert.deepEqual(row['d'], new Date('2026-11-21'));
  assert.equal(row['n'], '1.50');
});

const pipelined = check('prepared and pipelined', async (sql) => {
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => sql`select ${i}::int * 2 as twice`),
  );
  assert.deepEqual(
    answers.map(([row]): unknown => row?.['twice']),
    Array.from({ length: 200 }, (_, i) => i * 2),
  );
});

const mixed = check('an error in the middle of a pipeline', async (sql) => {
  const outcomes = await Promise.allSettled([
    sql`select ${1}::int as a`,
    sql`select 1 / ${0}::int as b`,
    sql`select ${3}::int as c`,
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  await assert.rejects(sql`select * from no_such_table_at_all`, { code: '42P01' });
});

const unprepared = check(
  'without prepared statements',
  async (sql) => {
    const answers = await Promise.all([1, 2, 3].map((i) => sql`select ${i}::int as i`));
    assert.deepEqual(
      answers.map(([row]): unknown => row?.['i']),
      [1, 2, 3],
    );
  },
  { prepare: false },
);

const simple = check('simple queries of several statements', async (sql) => {
  const results = await sql`select 1 as a; select 2 as b`.simple();
  // postgres.js answers several statements with an array of results, which its types do not know.
  const [first, second] = results as unknown as { a?: number; b?: number }[][];
  assert.equal(first?.[0]?.a, 1);
  assert.equal(second?.[0]?.b, 2);
});

const transactions = check('transactions and savepoints', async (sql) => {
  await sql`create temp table postgres_js_accounts (id int primary key, balance int not null)`;
  await sql.begin(async (tx) => {
    await tx`insert into postgres_js_accounts ${tx([
      { id: 1, balance: 10 },
      { id: 2, balance: 20 },
    ])}`;
    await tx
      .savepoint(async (inner) => {
        await inner`insert into postgres_js_accounts values (1, 0)`;
      })
      .catch((error: unknown) => assert.equal((error as { code?: string }).code, '23505')); // any error carries its code
  });
  const failed = sql.begin(async (tx) => {
    await tx`delete from postgres_js_accounts where id > 0`;
    throw new Error('changed my mind');
  });
  await assert.rejects(failed, /changed my mind/);
  const [row] = await sql`select count(*)::int as n, sum(balance)::int as total from postgres_js_accounts`;
  assert.deepEqual({ ...row }, { n: 2, total: 30 });
});

const cursors = check('cursors', async (sql) => {
  const seen: number[] = [];
  await sql`select g from generate_series(1, 250) g`.cursor(100, (rows) => {
    seen.push(...rows.map((row) => Number(row['g'])));
  });
  assert.equal(seen.length, 250);
  let parts = 0;
  for await (const rows of sql`select g from generate_series(1, 1000) g`.cursor(10)) {
    assert.equal(rows.length, 10);
    if (++parts === 3) break;
  }
  const [row] = await sql`select 1 as one`;
  assert.equal(row?.['one'], 1);
});

const copying = check('COPY streams', async (sql) => {
  await sql`create temp table postgres_js_copy (id int, label text)`;
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i}\tč${i}\n`);
  await pipeline(Readable.from(lines), await sql`copy postgres_js_copy from stdin`.writable());
  let text = '';
  const out = await sql`copy (select id, label from postgres_js_copy order by id) to stdout`.readable();
  out.setEncoding('utf8');
  for await (const chunk of out) text += String(chunk);
  assertSameText(text, lines.join(''));
});

const notifications = check('LISTEN and NOTIFY', async (sql) => {
  let hear: (payload: string) => void = () => undefined;
  const heard = new Promise<string>((done) => (hear = done));
  const listening = await sql.listen('postgres_js_channel', (payload) => hear(payload));
  await sql.notify('postgres_js_channel', 'hello č');
  assert.equal(await heard, 'hello č');
  await listening.unlisten();
});

const cancel = check(
  'cancel of a running query',
  async (sql) => {
    const sleeping = sql`select pg_sleep(30)`.execute();
    const refused = assert.rejects(sleeping, { code: '57014' });
    // A cancel that comes before its query is lost, with PostgreSQL itself too.
    const running = () => sql`
    select 1 from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(30)'`;
    while ((await running()).length === 0) await sleep(20);
    sleeping.cancel();
    await refused;
    const [row] = await sql`select 1 as one`;
    assert.equal(row?.['one'], 1);
  },
  { max: 2 },
);

const describe = check('describe', async (sql) => {
  const described =
    await sql`select id, label from (values (1, 'x')) v(id, label) where id = ${1}`.describe();
  assert.deepEqual(
    described.columns.map(({ name }) => name),
    ['id', 'label'],
  );
  assert.equal(described.types.length, 1);
});

const many = check(
  'many connections at once',
  async (sql) => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => sql`select ${i}::int as i, pg_sleep(0.01)`),
    );
    assert.equal(
      answers.reduce((sum, [row]) => sum + Number(row?.['i']), 0),
      780,
    );
  },
  { max: 8 },
);

export const postgresJs: Client = {
  name: 'postgres.js',
  server: 'current',
  prepare: async () => [
    types,
    pipelined,
    mixed,
    unprepared,
    simple,
    transactions,
    cursors,
    copying,
    notifications,
    cancel,
    describe,
    many,
  ],
};
