/** The one server that all are measured against, and what is in it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../e2e/postgres.ts';
import type { Closing } from './closing.ts';

export const POINTS = 100_000;
export const ROWS = 1_000_000;
export const database = 'bench';
/** Signs in without a password, so that a client's own SCRAM is in none of the three. */
export const directUser = 'direct';
/** What PgBouncer and Sidewarden sign in to the server with. */
export const serverLogin = { user: 'bench', password: 'bench-password' };

/** Nothing that starts by itself in the middle of a measure, and nothing that waits for a disk. */
const settings = [
  'shared_buffers=768MB',
  'max_connections=100',
  'autovacuum=off',
  'jit=off',
  'max_parallel_workers_per_gather=0',
  'wal_level=minimal',
  'max_wal_senders=0',
  'max_wal_size=8GB',
  'checkpoint_timeout=1h',
];

const content = `
create table points (id int primary key, name text not null, balance int not null);
insert into points select g, 'name ' || g, g % 1000 from generate_series(1, ${POINTS}) g;
create table plain_rows (id int, name text, card text, total int);
insert into plain_rows
  select g, 'customer ' || g, '4111-1111-' || lpad((g % 10000)::text, 4, '0') || '-1111', g % 100000 from generate_series(1, ${ROWS}) g;
create table masked_rows as select * from plain_rows;
create unlogged table copy_source (id int, name text, note text, total int);
create unlogged table copy_sink (id int, name text, note text, total int);
`;

async function withClient(
  postgres: TestPostgres,
  login: { user: string; password: string; database: string },
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({ host: postgres.host, port: postgres.port, ...login });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** Runs a text as the owner of the tables, past all that is measured. */
export async function aside(postgres: TestPostgres, text: string): Promise<void> {
  await withClient(postgres, { ...serverLogin, database }, (client) => client.query(text));
}

async function makeRoles(postgres: TestPostgres): Promise<void> {
  const { user, password } = postgres;
  await withClient(postgres, { user, password, database: 'postgres' }, async (client) => {
    await client.query(`create role ${serverLogin.user} login password '${serverLogin.password}'`);
    await client.query(`create role ${directUser} login in role ${serverLogin.user}`);
    await client.query(`create database ${database} owner ${serverLogin.user} template template0`);
    const rules = join(postgres.dataDirectory, 'pg_hba.conf');
    const trust = `host ${database} ${directUser} 127.0.0.1/32 trust\n`;
    await writeFile(rules, trust + (await readFile(rules, 'utf8')));
    await client.query('select pg_reload_conf()');
  });
}

/** Starts the server and fills it; all tables are vacuumed and in its buffers. */
export async function startDatabase(closing: Closing): Promise<TestPostgres> {
  const postgres = await startPostgres({ settings });
  closing.add(() => postgres.stop());
  await makeRoles(postgres);
  await aside(postgres, content);
  await aside(postgres, 'vacuum analyze');
  for (const table of ['points', 'plain_rows', 'masked_rows'])
    await aside(postgres, `select count(*) from ${table}`);
  return postgres;
}
