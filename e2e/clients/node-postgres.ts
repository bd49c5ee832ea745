/** node-postgres (`pg`), with pg-cursor and pg-copy-streams. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import type { Check, Client, Endpoint, Target } from './client.ts';
import { assertSameText } from './same-text.ts';

const pipelined = Object.freeze({ pipeline: true });

async function using<T>(
  endpoint: Endpoint,
  work: (client: pg.Client) => Promise<T>,
  options: object = {},
): Promise<T> {
  const client = new pg.Client({ ...endpoint, ...options });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function check(
  name: string,
  work: (client: pg.Client, target: Target) => Promise<void>,
  options: object = {},
): Check {
  return { name, run: (target) => using(target.main, (client) => work(client, target), options) };
}

const types = check('types, NULL and unicode', async (client) => {
  const text = `select 42::int4 as i, 9007199254740993::int8 as big, 1.50::numeric(6,2) as n, true as b,
    null::text as nothing, 'žluťoučký 🐎'::text as u, array[1,2,null]::int[] as a, '{"k": [1, null]}'::jsonb as j,
    '\\xdeadbeef'::bytea as bytes, '2026-11-21 10:11:12+00'::timestamptz as at, 'NaN'::float8 as nan`;
  const { rows, fields } = await client.query(text);
  const [row] = rows;
  assert.equal(row.i, 42);
  assert.equal(row.big, '9007199254740993');
  assert.equal(row.n, '1.50');
  assert.equal(row.b, true);
  assert.equal(row.nothing, null);
  assert.equal(row.u, 'žluťoučký 🐎');
  assert.deepEqual(row.a, [1, 2, null]);
  assert.deepEqual(row.j, { k: [1, null] });
  assert.deepEqual(row.bytes, Buffer.from('deadbeef', 'hex'));
  assert.deepEqual(row.at, new Date('2026-11-21T10:11:12Z'));
  assert.ok(Number.isNaN(row.nan));
  assert.equal(fields.length, 11);
});

const parameters = check('parameters', async (client) => {
  const values = [7, null, "it's; -- 'quoted' $1", ['a', null, 'č"'], { x: 1 }, Buffer.from([0, 255])];
  const text =
    'select $1::int as i, $2::text as n, $3::text as t, $4::text[] as a, $5::json as j, $6::bytea as b';
  const { rows } = await client.query(text, values);
  assert.deepEqual(rows, [{ i: 7, n: null, t: values[2], a: values[3], j: values[4], b: values[5] }]);
});

const prepared = check('named prepared statements', async (client) => {
  for (let i = 0; i < 5; i++) {
    const { rows } = await client.query({ name: 'twice', text: 'select $1::int * 2 as twice', values: [i] });
    assert.equal(rows[0].twice, i * 2);
  }
});

const several = check('several statements in one message', async (client) => {
  // node-postgres answers a text of several statements with an array, which its types do not know.
  const results = (await client.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
  assert.deepEqual(
    results.map((result): unknown[] => result.rows),
    [[{ a: 1 }], [{ b: 2 }]],
  );
});

const large = check('large values and many rows', async (client) => {
  const sent = 'x'.repeat(3_000_000);
  const { rows } = await client.query('select $1::text as value, length($1::text) as length', [sent]);
  assert.equal(rows[0].length, 3_000_000);
  assertSameText(String(rows[0].value), sent);
  const many = await client.query("select g, 'row ' || g as label from generate_series(1, 100000) g");
  assert.equal(many.rowCount, 100_000);
  assert.deepEqual(many.rows[99_999], { g: 100_000, label: 'row 100000' });
});

const binary = check(
  'binary results',
  async (client) => {
    const { rows } = await client.query('select 7::int4 as i, true as b, $1::text as t', ['ž']);
    assert.deepEqual(rows, [{ i: 7, b: true, t: 'ž' }]);
  },
  { binary: true },
);

const errors = check('errors with SQLSTATE', async (client) => {
  const cases = [
    { text: 'select 1/0', code: '22012' },
    { text: 'selec 1', code: '42601' },
    { text: 'select * from no_such_table_at_all', code: '42P01' },
    { text: 'select no_such_column from pg_class', code: '42703' },
  ];
  for (const { text, code } of cases) {
    await assert.rejects(client.query(text), { code }, text);
    await assert.rejects(client.query({ text, values: [] }), { code }, text);
  }
  assert.equal((await client.query('select 1 as still')).rows[0].still, 1);
});

const transactions = check('transactions and savepoints', async (client) => {
  await client.query('drop table if exists node_postgres_accounts');
  await client.query('create table node_postgres_accounts (id int primary key, balance numeric not null)');
  await client.query('begin');
  await client.query('insert into node_postgres_accounts values (1, 10), (2, 20)');
  await client.query('savepoint s');
  await assert.rejects(client.query('insert into node_postgres_accounts values (1, 0)'), { code: '23505' });
  await assert.rejects(client.query('select 1'), { code: '25P02' });
  await client.query('rollback to savepoint s');
  const updated = await client.query(
    'update node_postgres_accounts set balance = balance + 1 returning id, balance',
  );
  assert.equal(updated.rowCount, 2);
  await client.query('commit');
  await client.query('begin');
  await client.query('delete from node_postgres_accounts where id = 1');
  await client.query('rollback');
  const { rows } = await client.query('select id, balance from node_postgres_accounts order by id');
  assert.deepEqual(rows, [
    { id: 1, balance: '11' },
    { id: 2, balance: '21' },
  ]);
  await client.query('drop table node_postgres_accounts');
});

const pipelining = check(
  'queries sent without waiting',
  async (client) => {
    const texts = Array.from({ length: 50 }, (_, i) => client.query('select $1::int as i', [i]));
    const answers = await Promise.all(texts);
    assert.deepEqual(
      answers.map(({ rows }): unknown => rows[0].i),
      Array.from({ length: 50 }, (_, i) => i),
    );
    const mixed = await Promise.allSettled([
      client.query('select 1 as a'),
      client.query('select 1/$1::int', [0]),
      client.query('select 3 as c'),
    ]);
    assert.deepEqual(
      mixed.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  },
  pipelined,
);

const cursors = check('pg-cursor reads a portal in parts', async (client) => {
  const cursor = client.query(
    new Cursor<{ g: number }>('select g from generate_series(1, $1::int) g', [250]),
  );
  const seen: number[] = [];
  for (;;) {
    const rows = await cursor.read(100);
    if (rows.length === 0) break;
    seen.push(...rows.map(({ g }) => g));
  }
  await cursor.close();
  assert.equal(seen.length, 250);
  assert.equal(seen.at(-1), 250);
  const left = client.query(new Cursor('select generate_series(1, 1000)', []));
  await left.read(1);
  await left.close();
  assert.equal((await client.query('select 5 as five')).rows[0].five, 5);
});

const copying = check('COPY in and out by streams', async (client) => {
  await client.query('create temp table node_postgres_copy (id int, label text)');
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i}\t${i % 7 === 0 ? '\\N' : `č${i}`}\n`);
  const into = client.query(copyFrom('copy node_postgres_copy from stdin'));
  await pipeline(Readable.from(lines), into);
  assert.equal(into.rowCount, 20_000);
  const out = client.query(copyTo('copy (select id, label from node_postgres_copy order by id) to stdout'));
  let text = '';
  out.setEncoding('utf8');
  for await (const chunk of out) text += String(chunk);
  assertSameText(text, lines.join(''));
  const bad = client.query(copyFrom('copy node_postgres_copy from stdin'));
  await assert.rejects(pipeline(Readable.from(['not-a-number\tx\n']), bad), { code: '22P02' });
  assert.equal((await client.query('select count(*)::int as n from node_postgres_copy')).rows[0].n, 20_000);
});

const notifications: Check = {
  name: 'LISTEN and NOTIFY',
  run: (target) =>
    using(target.main, (listener) =>
      using(target.main, async (sender) => {
        await listener.query('listen node_postgres_channel');
        const heard = new Promise<pg.Notification>((done) => listener.once('notification', done));
        await sender.query("notify node_postgres_channel, 'hello č'");
        assert.equal((await heard).payload, 'hello č');
      }),
    ),
};

const notices = check('notices', async (client) => {
  const noticed = new Promise<string>((done) =>
    client.once('notice', ({ message }) => done(String(message))),
  );
  await client.query('drop table if exists node_postgres_never_there');
  assert.match(await noticed, /node_postgres_never_there/);
});

const cancel: Check = {
  name: 'another connection cancels a query',
  run: (target) =>
    using(target.main, async (client) => {
      const sleeping = assert.rejects(client.query('select pg_sleep(30)'), { code: '57014' });
      // A cancel that comes before its query is lost, with PostgreSQL itself too.
      await using(target.main, async (watcher) => {
        const asleep = `select 1 from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(30)'`;
        while ((await watcher.query(asleep)).rowCount === 0) await sleep(20);
      });
      // `cancel` is the driver's own, missing from its types.
      const other = new pg.Client({ ...target.main }) as pg.Client & {
        cancel(of: pg.Client, query: unknown): void;
      };
      // The query that runs is kept in a field that the types do not show either.
      const { _activeQuery, activeQuery } = client as unknown as Record<string, unknown>;
      other.cancel(client, _activeQuery ?? activeQuery);
      await sleeping;
      assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    }),
};

const pooling: Check = {
  name: 'a pool of connections',
  async run(target) {
    const pool = new pg.Pool({ ...target.main, max: 4 });
    try {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => pool.query('select $1::int as i', [i])),
      );
      assert.equal(
        answers.reduce((sum, { rows }) => sum + Number(rows[0].i), 0),
        190,
      );
    } finally {
      await pool.end();
    }
  },
};

export const nodePostgres: Client = {
  name: 'node-postgres',
  server: 'current',
  prepare: async () => [
    types,
    parameters,
    prepared,
    several,
    large,
    binary,
    errors,
    transactions,
    pipelining,
    cursors,
    copying,
    notifications,
    notices,
    cancel,
    pooling,
  ],
};
