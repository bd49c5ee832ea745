import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../e2e/postgres.ts';
import type { Contender } from './contender.ts';
import { message, Wire } from './wire.ts';

describe('the client that drops what it reads', () => {
  let postgres: TestPostgres;
  let direct: Contender;

  before(async () => {
    postgres = await startPostgres();
    const { host, port, user, password } = postgres;
    const rules = join(postgres.dataDirectory, 'pg_hba.conf');
    await writeFile(rules, `host all direct all trust\n${await readFile(rules, 'utf8')}`);
    const client = new pg.Client({ host, port, user, password, database: 'postgres' });
    await client.connect();
    await client.query('create role direct superuser login');
    await client.query('select pg_reload_conf()');
    await client.end();
    direct = { name: 'Direct', host, port, user: 'direct', database: 'postgres', pid: undefined };
    // The reload comes by a signal, some time.
    for (let i = 0; i < 600; i++) {
      const wire = await Wire.connect(direct).catch(() => sleep(50));
      if (!wire) continue;
      wire.close();
      break;
    }
  });

  after(() => postgres.stop());

  test('sees the end of answers of any size, and errors', async () => {
    const wire = await Wire.connect(direct);
    assert.equal(await wire.run('select 1'), 66);
    for (const rows of [1, 7, 1000, 20_000]) {
      const bytes = await wire.run(`select repeat('x', 100) from generate_series(1, ${rows})`);
      assert.ok(bytes >= rows * 111, `${bytes} bytes`);
    }
    await assert.rejects(wire.run('select 1 / 0'), /division by zero/);
    wire.close();
  });

  test('copies in', async () => {
    const wire = await Wire.connect(direct);
    await wire.run('create table sink (i int, t text)');
    await wire.copyIn('copy sink from stdin', message('d', Buffer.from('1\tone\n2\ttwo\n')), 5000);
    // 10,000 rows or the division fails.
    await wire.run('select 1 / (count(*) = 10000)::int from sink');
    wire.close();
  });

  test('stops reading', async () => {
    const wire = await Wire.connect(direct);
    await wire.runAndStall("select repeat('x', 1000) from generate_series(1, 50000)");
    const other = await Wire.connect(direct);
    const waits = `select from pg_stat_activity where wait_event = 'ClientWrite'`;
    // Whoever sends waits now and then; for one that is not read there is no end to it.
    await other.run(`do $$ declare looks int := 0; begin for i in 1..1200 loop
      looks := case when exists (${waits}) then looks + 1 else 0 end;
      exit when looks = 20;
      perform pg_sleep(0.05), pg_stat_clear_snapshot();
    end loop; perform 1 / (looks = 20)::int; end $$`);
    wire.close();
    other.close();
  });

  test('says when a password is wanted, or nobody is there', async () => {
    await assert.rejects(Wire.connect({ ...direct, user: 'postgres' }), /password/);
    await assert.rejects(Wire.connect({ ...direct, port: 1 }), /ECONNREFUSED/);
  });
});
