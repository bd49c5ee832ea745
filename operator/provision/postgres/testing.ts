/** For tests: real servers of each version that is here, administrators with and without superuser rights, connections and policies. */
import { existsSync, readdirSync } from 'node:fs';
import { Client } from 'pg';
import { type ProtectedConnection, parseConnection } from '../../../crds/connection.ts';
import { type AccessPolicy, parsePolicy } from '../../../crds/policy.ts';
import type { RunRole, Target } from '../provisioner.ts';

/** The embedded server's, and one a version that the system has. */
export function serverBinaries(): readonly {
  readonly name: string;
  readonly binaries: string | undefined;
}[] {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root) : [];
  return [
    { name: 'embedded', binaries: undefined },
    ...versions
      .map((version) => ({ name: version, binaries: `${root}/${version}/bin` }))
      .filter(({ binaries }) => existsSync(`${binaries}/postgres`)),
  ];
}

/** A server as the tests start it; the user is its superuser. */
export interface Server extends Signed {
  readonly host: string;
  readonly port: number;
}

export interface Signed {
  readonly user: string;
  readonly password: string;
}

/** Connects, works, closes. */
export async function as<T>(
  server: Server,
  { user, password }: Signed,
  work: (client: Client) => Promise<T>,
  database = 'shop',
): Promise<T> {
  const client = new Client({ host: server.host, port: server.port, user, password, database });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

export const OWNER: Signed = { user: 'shop_owner', password: 'owner-of-the-shop' };

/** A database `shop` whose tables belong to an administrator with CREATEROLE and no more; `postgres` is there as always. */
export async function createShop(server: Server): Promise<void> {
  await as(
    server,
    server,
    async (client) => {
      await client.query(`CREATE ROLE ${OWNER.user} LOGIN CREATEROLE PASSWORD '${OWNER.password}'`);
      await client.query(`CREATE DATABASE shop OWNER ${OWNER.user}`);
    },
    'postgres',
  );
  await as(server, server, async (client) => {
    await client.query(`ALTER SCHEMA public OWNER TO ${OWNER.user}`);
    await client.query(
      `CREATE ROLE reports NOLOGIN; CREATE ROLE files NOLOGIN; CREATE ROLE through_files NOLOGIN; CREATE ROLE makers NOLOGIN CREATEDB;
GRANT pg_read_server_files TO files; GRANT files TO through_files; GRANT reports TO ${OWNER.user} WITH ADMIN OPTION`,
    );
  });
  await as(server, OWNER, async (client) => {
    await client.query(`
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, card text, pin int);
INSERT INTO customers VALUES (1, 'Ada', '4111111111111111', 1234), (2, 'Grüße', 'Grüße-Grüße-Grüße', 7), (3, 'None', NULL, NULL);
CREATE TABLE orders (id serial PRIMARY KEY, customer int, note text);
CREATE TABLE "Odd ""name" ("a b" int);
CREATE TABLE parts (id int, secret text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE VIEW customer_names AS SELECT id, name FROM customers;
CREATE VIEW customer_cards AS SELECT id, card AS number FROM customers;
CREATE VIEW customer_rows AS SELECT c.id, c::text AS whole FROM customers c;
CREATE TABLE guarded (id int, secret text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE SCHEMA sales;
CREATE TABLE sales.customers (id int, card text)`);
  });
}

export interface Wanted {
  readonly grants?: readonly { readonly tables: readonly string[]; readonly privileges: readonly string[] }[];
  readonly inherit?: readonly string[];
  readonly maskedViews?: boolean;
  readonly ttl?: string;
}

export function targetOn(
  server: Server,
  signed: Signed,
  wanted: Wanted,
  tls: object = { mode: 'disable' },
): Target {
  return {
    connection: connectionOn(server.port, wanted, tls),
    administrator: { username: signed.user, password: signed.password, ca: undefined },
  };
}

function connectionOn(port: number, wanted: Wanted, tls: object): ProtectedConnection {
  const parsed = parseConnection({
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name: 'shop-db', namespace: 'access' },
    spec: {
      protocol: 'postgres',
      target: { host: '127.0.0.1', port, database: 'shop', tls },
      credentials: { secretRef: { name: 'shop-admin' } },
      identity: { sources: [{ serviceAccount: {} }] },
      role: { provision: true, ...wanted },
      listen: { port: 15_432 },
    },
  });
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

export function policyWith(masks: readonly object[], mode: 'Enforce' | 'Observe' = 'Enforce'): AccessPolicy {
  const parsed = parsePolicy({
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'masks', namespace: 'access' },
    spec: { connections: ['shop-db'], subjects: [{ everyone: true }], mode, default: 'Allow', masks },
  });
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

let sessions = 0;

export function newSession(): RunRole {
  sessions += 1;
  const hash = `0123456789abc${String(sessions).padStart(3, '0')}`;
  return { session: { namespace: 'access', name: `shop-db-${hash}`, uid: `uid-${hash}` } };
}
