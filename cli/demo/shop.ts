/** The protected database of the demo: made and looked at as its administrator, past the sidecar. */
import type { ClientConfig } from 'pg';
import { SCHEMA, shopData, type ShopData } from './data.ts';
import { loadDriver } from './driver.ts';
import type { Postgres } from './postgres.ts';

export const DATABASE = 'shop';

/** Makes the database with all its rows. */
export async function makeShop(server: Postgres): Promise<ShopData> {
  await query(server, 'postgres', `create database ${DATABASE}`);
  await query(server, DATABASE, SCHEMA);
  const data = shopData();
  for (const table of ['customers', 'orders', 'employees'] as const) {
    const text = `insert into ${table} select * from json_populate_recordset(null::${table}, $1)`;
    await query(server, DATABASE, text, [JSON.stringify(data[table])]);
  }
  await query(server, DATABASE, 'analyze');
  return data;
}

/** What the database itself says: the demo's own check of what did and did not happen. */
export async function lookUp(server: Postgres, text: string): Promise<readonly unknown[]> {
  return query(server, DATABASE, text);
}

async function query(
  { host, port, user, password }: Postgres,
  database: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly unknown[]> {
  const config: ClientConfig = { host, port, user, password, database };
  const { Client } = loadDriver();
  const client = new Client(config);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>, unknown[]>({ text, values: [...values] });
    return rows;
  } finally {
    await client.end();
  }
}
