/** psql with its meta commands: what people, and agents, type. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, Client, Target } from './client.ts';
import { assertSameText } from './same-text.ts';
import { type Output, runTool, toolVersion } from './tool.ts';

const schema = `
drop schema if exists psql_client cascade;
create schema psql_client;
create table psql_client.customers (
  id int generated always as identity primary key, name text not null unique, card text default 'none',
  at timestamptz default now(), check (length(name) > 0));
comment on table psql_client.customers is 'people who buy';
create table psql_client.orders (
  id int primary key, customer int references psql_client.customers on delete cascade, total numeric(10,2));
create index orders_total on psql_client.orders (total) where total > 0;
create view psql_client.totals as
  select c.name, sum(o.total) as total from psql_client.customers c join psql_client.orders o on o.customer = c.id group by 1;
create materialized view psql_client.snapshot as select * from psql_client.totals;
create sequence psql_client.numbers;
create type psql_client.mood as enum ('sad', 'ok');
create domain psql_client.positive as int check (value > 0);
create function psql_client.twice(i int) returns int language sql immutable as 'select i * 2';
create procedure psql_client.nothing() language plpgsql as 'begin null; end';
create function psql_client.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touched before update on psql_client.orders for each row execute function psql_client.touch();
create table psql_client.parts (id int, day date) partition by range (day);
create table psql_client.parts_2026 partition of psql_client.parts for values from ('2026-01-01') to ('2027-01-01');
insert into psql_client.customers (name) values ('Ada'), ('Žofie');
insert into psql_client.orders values (1, 1, 10.5), (2, 1, 2), (3, 2, 7);
`;

function psql({ main }: Target, input: string, ...args: string[]): Promise<Output> {
  return runTool('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...args], main, input);
}

async function answer(target: Target, input: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await psql(target, input, ...args);
  assert.equal(status, 0, `${input}\n${stderr}`);
  return stdout;
}

function check(name: string, run: (target: Target) => Promise<void>): Check {
  return { name, run };
}

const prepareSchema = check('a script that makes a schema', async (target) => {
  await answer(target, schema);
  assert.equal(await answer(target, 'select count(*) from psql_client.orders', '-At'), '3\n');
});

/** Each meta command and what its output must show. */
const describing: readonly (readonly [command: string, shows: RegExp])[] = [
  ['\\d psql_client.customers', /Foreign-key|Referenced by/],
  ['\\d+ psql_client.orders', /orders_total.*WHERE|touched/s],
  ['\\d+ psql_client.totals', /View definition/],
  ['\\d psql_client.numbers', /bigint/],
  ['\\d psql_client.parts', /Number of partitions: 1/],
  ['\\dt psql_client.*', /orders/],
  ['\\dt+ psql_client.*', /people who buy/],
  ['\\dv psql_client.*', /totals/],
  ['\\dm psql_client.*', /snapshot/],
  ['\\di+ psql_client.*', /orders_total/],
  ['\\ds psql_client.*', /numbers/],
  ['\\dP psql_client.*', /parts/],
  ['\\df psql_client.*', /twice/],
  ['\\df+ psql_client.twice', /immutable/],
  ['\\sf psql_client.twice', /CREATE OR REPLACE FUNCTION/],
  ['\\sv psql_client.totals', /CREATE OR REPLACE VIEW/],
  ['\\dT+ psql_client.*', /mood/],
  ['\\dD psql_client.*', /positive/],
  ['\\dn+ psql_client', /psql_client/],
  ['\\dp psql_client.*', /customers/],
  ['\\dd psql_client.*', /./],
  ['\\du', /postgres/],
  ['\\drds', /./],
  ['\\l', /template1/],
  ['\\l+', /template1/],
  ['\\db+', /pg_default/],
  ['\\dx', /plpgsql/],
  ['\\dL', /plpgsql/],
  ['\\do pg_catalog.||', /\|\|/],
  ['\\dC', /./],
  ['\\dF', /english/],
  ['\\dA', /btree/],
  ['\\dy', /./],
  ['\\des', /./],
  ['\\dRp', /./],
  ['\\ddp', /./],
  ['\\dconfig work_mem', /work_mem/],
  ['\\conninfo', /./],
  ['\\encoding', /UTF8/],
];

const describe = check('meta commands that describe', async (target) => {
  const failed: string[] = [];
  // One psql for all, as a person would; a marker separates the answers.
  const script = describing.map(([command], i) => `\\echo === ${i}\n${command}`).join('\n');
  const { stdout, stderr } = await runTool('psql', ['-X', '-q'], target.main, script);
  const answers = stdout.split(/^=== \d+$/m).slice(1);
  for (const [i, [command, shows]] of describing.entries()) {
    if (!shows.test((answers[i] ?? '') + stderr))
      failed.push(`${command} showed ${answers[i]?.trim() ?? 'nothing'}`);
  }
  const errors = stderr.split('\n').filter((line) => line.includes('ERROR'));
  assert.deepEqual([...failed, ...errors], []);
});

const copying = check('\\copy in and out', async (target) => {
  const directory = await mkdtemp(join(tmpdir(), 'sidewarden-psql-'));
  try {
    const source = join(directory, 'in.csv');
    const result = join(directory, 'out.csv');
    const lines = Array.from({ length: 5_000 }, (_, i) => `${i},"a ""quoted"" č, ${i}",\n`).join('');
    await writeFile(source, lines);
    await answer(
      target,
      `create temp table t (id int, label text, empty text);
      \\copy t from '${source}' with (format csv)
      \\copy (select * from t order by id) to '${result}' with (format csv)
      `,
    );
    assertSameText(await readFile(result, 'utf8'), lines);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const inline = await answer(
    target,
    'create temp table t (a int);\ncopy t from stdin;\n1\n2\n\\.\ncopy t to stdout;\n',
  );
  assert.equal(inline, '1\n2\n');
});

const generated = check('\\gexec, \\gset, \\gdesc, \\gx, \\crosstabview', async (target) => {
  const exec = "select format('select %s + 1', g) from generate_series(1, 3) g \\gexec\n";
  assert.equal(await answer(target, exec, '-At'), '2\n3\n4\n');
  const set = "select 7 as seven, 'x' as letter \\gset\nselect :seven * 2, :'letter';\n";
  assert.equal(await answer(target, set, '-At'), '14|x\n');
  const described = await answer(target, "select 1 as a, 'x'::text as b, now() as c \\gdesc\n", '-At');
  assert.equal(described, 'a|integer\nb|text\nc|timestamp with time zone\n');
  assert.match(await answer(target, 'select 1 as expanded \\gx\n'), /RECORD 1/);
  assert.match(await answer(target, "select 'r', 'c', 5 \\crosstabview\n"), /c/);
});

const watching = check('\\watch, limited by a time', async (target) => {
  const limited = 'select 41 + 1 as answer \\watch 0.2\n';
  const version = await toolVersion('psql');
  // `c=N` came with 16; older ones watch until an error or a signal.
  const text = (version ?? 0) >= 16 ? 'select 41 + 1 as answer \\watch i=0.1 c=3\n' : limited;
  if ((version ?? 0) >= 16) {
    assert.equal((await answer(target, text, '-At')).match(/42/g)?.length, 3);
    return;
  }
  const stopped = "create temp sequence s;\nselect 10 / (3 - nextval('s')) as left \\watch 0.1\n";
  const { stdout, stderr } = await psql(target, stopped, '-At');
  assert.match(stdout, /^5$/m);
  assert.match(stdout, /^10$/m);
  assert.match(stderr, /division by zero/);
});

const extended = check('\\bind, \\parse and pipelines, as far as this psql has them', async (target) => {
  const version = (await toolVersion('psql')) ?? 0;
  if (version >= 16)
    assert.equal(await answer(target, "select $1::int + 1, $2 \\bind 41 'č' \\g\n", '-At'), '42|č\n');
  if (version >= 18) {
    const text = 'select $1::int * 2 \\parse twice\n\\bind_named twice 21 \\g\n\\close_prepared twice\n';
    assert.equal(await answer(target, text, '-At'), '42\n');
    const pipeline =
      '\\startpipeline\nselect $1 \\bind 1 \\sendpipeline\nselect 2 \\bind \\sendpipeline\n\\endpipeline\n';
    assert.equal(await answer(target, pipeline, '-At'), '1\n2\n');
  }
  const sql = 'prepare twice as select $1::int * 2;\nexecute twice(21);\ndeallocate twice;\n';
  assert.equal(await answer(target, sql, '-At'), '42\n');
});

const errors = check('errors with position, detail and SQLSTATE', async (target) => {
  const { status, stderr } = await psql(
    target,
    '\\set VERBOSITY verbose\nselect no_such_column from pg_class;\n',
  );
  assert.equal(status, 3);
  assert.match(stderr, /42703/);
  assert.match(stderr, /LINE 1: select no_such_column/);
  const { stderr: unique } = await psql(target, "insert into psql_client.customers (name) values ('Ada');\n");
  assert.match(unique, /DETAIL: {2}Key \(name\)=\(Ada\) already exists/);
  const { stdout } = await runTool('psql', ['-X', '-At', '-c', 'select 1/0', '-c', 'select 2'], target.main);
  assert.equal(stdout, '2\n');
});

const transactions = check('one transaction, interactive rollback, cursors', async (target) => {
  const failed = await psql(
    target,
    'create table psql_client.never (i int);\nselect 1/0;\n',
    '--single-transaction',
  );
  assert.notEqual(failed.status, 0);
  assert.equal(await answer(target, "select to_regclass('psql_client.never') is null", '-At'), 't\n');
  const rollback =
    '\\set ON_ERROR_ROLLBACK on\n\\set ON_ERROR_STOP 0\nbegin;\nselect 1/0;\nselect 5;\ncommit;\n';
  assert.equal(await answer(target, rollback, '-At'), '5\n');
  const fetched = '\\set FETCH_COUNT 100\nselect g from generate_series(1, 1050) g;\n';
  assert.equal((await answer(target, fetched, '-At')).trim().split('\n').length, 1050);
});

const several = check('several statements, conditionals, variables, timing', async (target) => {
  assert.equal(await answer(target, '', '-At', '-c', 'select 1; select 2'), '1\n2\n');
  const text = "\\timing on\n\\if true\nselect :'USER' = current_user;\n\\else\nselect 0;\n\\endif\n";
  assert.match(await answer(target, text, '-At'), /^t$/m);
  assert.match(await answer(target, "\\pset null '(null)'\nselect null;\n", '-At'), /\(null\)/);
  assert.match(await answer(target, 'explain select * from psql_client.orders;\n'), /Seq Scan/);
});

const reconnecting = check('\\c reconnects', async (target) => {
  assert.equal(await answer(target, '\\c\nselect 6;\n', '-At'), '6\n');
});

const cleanUp = check('dropping it all', async (target) => {
  await answer(target, 'drop schema psql_client cascade;');
});

export const psqlClient: Client = {
  name: 'psql',
  server: 'tools',
  prepare: async () =>
    (await toolVersion('psql')) === undefined
      ? { missing: 'no psql' }
      : [
          prepareSchema,
          describe,
          copying,
          generated,
          watching,
          extended,
          errors,
          transactions,
          several,
          reconnecting,
          cleanUp,
        ],
};
