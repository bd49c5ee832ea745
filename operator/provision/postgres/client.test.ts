import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import { type Authority, createAuthority } from '../../../e2e/cluster/certificates.ts';
import { type TestPostgres, startPostgres } from '../../../e2e/postgres.ts';
import { createPostgresProvisioner } from './provisioner.ts';
import { targetOn } from './testing.ts';

suite('how the administrator connects', () => {
  let folder: string;
  let authority: Authority;
  let other: Authority;
  let secure: TestPostgres;
  let plain: TestPostgres;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sidewarden-client-'));
    [authority, other] = await Promise.all([
      createAuthority(join(folder, 'one')),
      createAuthority(join(folder, 'other')),
    ]);
    const { certificate, key } = await authority.server(['DNS:db.internal']);
    [secure, plain] = await Promise.all([startPostgres({ tls: { certificate, key } }), startPostgres()]);
    for (const server of [secure, plain]) await direct(server, 'CREATE DATABASE shop');
  });
  after(async () => {
    await Promise.all([secure.stop(), plain.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  async function direct(server: TestPostgres, sql: string): Promise<void> {
    const { host, port, user, password } = server;
    const client = new Client({ host, port, user, password, database: 'postgres' });
    await client.connect();
    await client.query(sql);
    await client.end();
  }

  /** `ok`, or the code and message of the failure. */
  async function outcome(server: TestPostgres, tls: object, ca?: string, password?: string): Promise<string> {
    const provisioner = createPostgresProvisioner('test');
    const { connection, administrator } = targetOn(server, server, {}, tls);
    try {
      await provisioner.marked({
        connection,
        administrator: { ...administrator, ca, password: password ?? administrator.password },
      });
      return 'ok';
    } catch (error) {
      assert.ok(error instanceof Error);
      assert.ok(!error.message.includes(administrator.password));
      return `${String(Reflect.get(error, 'code'))}: ${error.message}`;
    } finally {
      await provisioner.close();
    }
  }

  test('TLS is what the mode says', async () => {
    const named = { serverName: 'db.internal' };
    const [ca, wrong] = [authority.certificate, other.certificate];
    const cases: readonly (readonly [TestPostgres, object, string | undefined, RegExp])[] = [
      [plain, { mode: 'disable' }, undefined, /^ok$/],
      [plain, { mode: 'require' }, undefined, /^unreachable: .*does not support SSL/],
      [secure, { mode: 'require' }, undefined, /^ok$/],
      [secure, { mode: 'verify-ca' }, ca, /^ok$/],
      [secure, { mode: 'verify-ca' }, wrong, /^unreachable: .*certificate/],
      [secure, { mode: 'verify-ca' }, undefined, /^unreachable: .*certificate/],
      [secure, { mode: 'verify-full', ...named }, ca, /^ok$/],
      [secure, { mode: 'verify-full', ...named }, wrong, /^unreachable: .*certificate/],
      [secure, { mode: 'verify-full' }, ca, /^unreachable: .*(altnames|IP)/],
      [secure, { mode: 'verify-full', serverName: 'other.internal' }, ca, /^unreachable: .*altnames/],
    ];
    for (const [server, tls, authorities, expected] of cases)
      assert.match(await outcome(server, tls, authorities), expected, JSON.stringify(tls));
  });

  test('a wrong password, a server that is away', async () => {
    assert.match(
      await outcome(plain, { mode: 'disable' }, undefined, 'not-it'),
      /^credentials: .*refused the administrator's credentials$/,
    );
    const away = { ...plain, port: 1 };
    assert.match(await outcome(away, { mode: 'disable' }), /^unreachable: .*ECONNREFUSED/);
  });

  test('a password in clear goes to nobody who has not proven who they are', async () => {
    const file = join(secure.dataDirectory, 'pg_hba.conf');
    const before = await readFile(file, 'utf8');
    await writeFile(file, before.replaceAll('scram-sha-256', 'password'));
    await direct(secure, 'SELECT pg_reload_conf()');
    const named = { serverName: 'db.internal' };
    for (const tls of [{ mode: 'disable' }, { mode: 'require' }])
      assert.match(await outcome(secure, tls), /^unreachable: .*in clear/, JSON.stringify(tls));
    for (const tls of [{ mode: 'verify-ca' }, { mode: 'verify-full', ...named }])
      assert.equal(await outcome(secure, tls, authority.certificate), 'ok', JSON.stringify(tls));
  });
});
