/** The same server twice: directly, without a password, and through Sidewarden; a database for each, with the same content. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { ManifestRule } from '../manifests.ts';
import { startPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import { Frontend } from './frontend.ts';

export interface SideBySide {
  readonly warden: Sidewarden;
  /** Connections to one and the other; the caller closes them. */
  direct(): Promise<Frontend>;
  proxied(): Promise<Frontend>;
  /** Both databases as they were. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

export async function startSideBySide(schema: string, rules: readonly ManifestRule[]): Promise<SideBySide> {
  const server = await startPostgres();
  const access = join(server.dataDirectory, 'pg_hba.conf');
  await writeFile(access, `host direct postgres 127.0.0.1/32 trust\n${await readFile(access, 'utf8')}`);
  const open = async (database: string) => {
    const client = new pg.Client({ ...server, database });
    await client.connect();
    return client;
  };
  const admin = await open('postgres');
  await admin.query('SELECT pg_reload_conf()');
  await admin.query('CREATE DATABASE direct');
  await admin.query('CREATE DATABASE proxied');
  await admin.end();
  const both = [await open('direct'), await open('proxied')];
  const warden = await startSidewarden({ postgres: server, database: 'proxied', rules });
  return {
    warden,
    direct: () => Frontend.connect(server.port, { user: 'postgres', database: 'direct' }),
    proxied: () => Frontend.connect(warden.port, { user: 'postgres', database: 'proxied' }),
    reset: async () => {
      const clean = 'DROP SCHEMA IF EXISTS public, other CASCADE; CREATE SCHEMA public;';
      await Promise.all(both.map((client) => client.query(clean + schema)));
    },
    stop: async () => {
      await Promise.all(both.map((client) => client.end()));
      await warden.stop();
      await server.stop();
    },
  };
}
