/** A connection that answers the catalog's questions in tests: rows of all statements of a text, values as text. */
import pg from 'pg';
import type { CatalogQuery } from '../sidecar/postgres/catalog/relation.ts';
import type { TestPostgres } from './postgres.ts';

export interface QueryConnection {
  readonly query: CatalogQuery;
  close(): Promise<void>;
}

const asText = { getTypeParser: () => (value: string) => value };

export async function queryConnection(
  server: TestPostgres,
  user = 'postgres',
  database = 'postgres',
): Promise<QueryConnection> {
  const { host, port, password } = server;
  const client = new pg.Client({ host, port, user, password, database });
  await client.connect();
  return {
    query: async (sql) => {
      const result: unknown = await client.query({ text: sql, rowMode: 'array', types: asText });
      // Array mode and a parser that keeps text; node-postgres gives a list of results for several statements.
      const results = (Array.isArray(result) ? result : [result]) as { rows: (string | null)[][] }[];
      return results.flatMap(({ rows }) => rows);
    },
    close: () => client.end(),
  };
}
