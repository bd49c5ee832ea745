/**
 * The test that says it all: two databases that differ only in protected values. Whatever the analysis lets through must
 * come back the same from both, masks applied: the same rows but for masked fields, the same errors.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../e2e/postgres.ts';
import { queryConnection } from '../../../e2e/catalog-query.ts';
import type { FieldMask, MaskRules } from '../../mask/mask.ts';
import { Catalog } from '../catalog/cache.ts';
import type { CatalogQuery } from '../catalog/relation.ts';
import { analyze, loadParser } from './analyze.ts';
import { STATEMENTS, statement } from './testing-statements.ts';
import type { Analysis, Statement } from './statement.ts';

const SCHEMA = (secret: (row: number) => string, number: (row: number) => string) => `
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, card text, n int, secret jsonb, created timestamptz NOT NULL DEFAULT '2020-01-01',
  initial text GENERATED ALWAYS AS (left(card, 1)) STORED);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric NOT NULL, note text);
CREATE TABLE accounts (id int PRIMARY KEY, iban text UNIQUE, owner int);
CREATE TABLE people (id int, phone text, region text NOT NULL) PARTITION BY LIST (region);
CREATE TABLE people_eu PARTITION OF people FOR VALUES IN ('eu');
CREATE TABLE people_us PARTITION OF people FOR VALUES IN ('us');
CREATE VIEW cards AS SELECT id, card AS number, name FROM customers;
CREATE VIEW rich AS SELECT id, name FROM customers WHERE n > 50;
CREATE VIEW totals AS SELECT c.id, c.name, sum(o.total) AS total FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name;
INSERT INTO customers (id, name, card, n, secret) VALUES ${[1, 2, 3, 4].map((row) => `(${row}, 'name${row}', ${secret(row)}, ${number(row)}, jsonb_build_object('k', ${secret(row)}))`).join(', ')};
INSERT INTO orders SELECT i, 1 + i % 3, i * 10, 'note' || i FROM generate_series(1, 6) i;
INSERT INTO accounts SELECT i, (ARRAY[${[1, 2, 3].map(secret).join(', ')}])[i], i FROM generate_series(1, 3) i;
INSERT INTO people VALUES (1, ${secret(1)}, 'eu'), (2, ${secret(2)}, 'us');
ANALYZE;`;

const MASKS: MaskRules = {
  columns: [
    'public.customers.card',
    'public.customers.n',
    'public.customers.secret',
    'public.accounts.iban',
    'public.people.phone',
  ].map((column) => ({ column, mask: { with: 'Redact' } })),
  detectors: [],
};
const NAMES = { preparedStatement: () => undefined, cursor: () => undefined };

/** The attributes of a row's text; quotes inside quotes are doubled. */
function attributes(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  let quoted = false;
  for (const character of text.slice(1, -1)) {
    if (character === '"') quoted = !quoted;
    if (character === ',' && !quoted) {
      parts.push(part);
      part = '';
    } else part += character;
  }
  return [...parts, part];
}

describe('what the analysis lets through does not depend on protected values', () => {
  let server: TestPostgres;
  let query: CatalogQuery;
  let close: () => Promise<void>;
  const databases: pg.Client[] = [];
  const catalog = new Catalog();

  before(async () => {
    await loadParser();
    server = await startPostgres({ settings: ['autovacuum=off'] });
    const admin = await queryConnection(server);
    await admin.query('CREATE DATABASE one');
    await admin.query('CREATE DATABASE two');
    await admin.close();
    const { host, port, user, password } = server;
    for (const database of ['one', 'two']) {
      const client = new pg.Client({ host, port, user, password, database });
      await client.connect();
      databases.push(client);
    }
    // Values that differ in length, order, first letter, nullness and as numbers.
    await databases[0]?.query(
      SCHEMA(
        (row) => `'4${row}11-SECRET-A'`,
        (row) => String(row * 10),
      ),
    );
    await databases[1]?.query(
      SCHEMA(
        (row) => (row === 2 ? 'NULL::text' : `'${'95318'.slice(row)}0SECRET-BBBBB'`),
        (row) => (row === 3 ? '0' : String(100 - row)),
      ),
    );
    for (const client of databases) await client.query("SET statement_timeout = '60s'");
    const connection = await queryConnection(server, 'postgres', 'one');
    query = connection.query;
    close = () => connection.close();
  });
  after(async () => {
    for (const client of databases) await client.end();
    await close();
    await server.stop();
  });

  async function analysed(text: string): Promise<Analysis> {
    for (let round = 0; round < 20; round++) {
      const view = catalog.view(['public'], null);
      const analysis = analyze(text, { catalog: view, masks: MASKS, names: NAMES });
      if (analysis.kind !== 'needs') return analysis;
      await catalog.load(analysis.needs, query);
    }
    throw new Error(`the analysis of ${text} never ended`);
  }

  interface Seen {
    readonly error: string | null;
    readonly fields: readonly string[];
    readonly rows: readonly (readonly (string | null)[])[];
  }

  async function run(client: pg.Client, text: string): Promise<Seen> {
    await client.query('BEGIN');
    try {
      const asText = { getTypeParser: () => (value: string) => value };
      const result = await client.query({ text, rowMode: 'array', types: asText });
      // Array mode and a parser that keeps text.
      return {
        error: null,
        fields: result.fields.map(({ name }) => name),
        rows: result.rows as (string | null)[][],
      };
    } catch (error) {
      // node-postgres' error has SQLSTATE as its code.
      return { error: (error as { code?: string }).code ?? String(error), fields: [], rows: [] };
    } finally {
      await client.query('ROLLBACK');
    }
  }

  const shown = (seen: Seen, fields: readonly FieldMask[] | null) =>
    seen.rows.map((row) =>
      row.map((value, index) => (fields === null ? value : masked(value, fields[index], row))),
    );

  /** A row's text is compared without its protected attributes. */
  function masked(value: string | null, field: FieldMask | undefined, row: readonly unknown[]): unknown {
    if (field === undefined) throw new Error(`no mask for a field of ${row.length}`);
    if (field.kind === 'clear') return value;
    if (field.kind !== 'composite' || value === null) return '#';
    const parts = attributes(value);
    assert.equal(parts.length, field.fields.length, value);
    return parts.map((part, index) => (field.fields[index]?.kind === 'clear' ? part : '#'));
  }

  async function check(text: string): Promise<Statement['masks']['kind'] | 'unparseable' | 'failed'> {
    const analysis = await analysed(text);
    if (analysis.kind !== 'parsed' || analysis.statements.length !== 1) return 'unparseable';
    const masks = analysis.statements[0]?.masks ?? { kind: 'clear' };
    if (masks.kind === 'refused' || masks.kind === 'untraceable') return masks.kind;
    const fields = masks.kind === 'columns' ? masks.fields : null;
    const [one, two] = await Promise.all(databases.map((client) => run(client, text)));
    assert.ok(one && two);
    assert.equal(one.error, two.error, `the error tells: ${text}`);
    if (fields && one.error === null)
      assert.equal(fields.length, one.fields.length, `another number of fields: ${text}`);
    assert.deepEqual(shown(one, fields), shown(two, fields), `the rows tell: ${text}`);
    return one.error === null ? masks.kind : 'failed';
  }

  it('for statements by hand', async () => {
    for (const text of STATEMENTS) await check(text);
  });

  it('for statements by chance', { timeout: 300_000 }, async () => {
    const kinds = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(statement, async (text) => {
        const kind = await check(text);
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }),
      {
        numRuns: Number(process.env['FUZZ_RUNS'] ?? 4000),
        interruptAfterTimeLimit: Number(process.env['FUZZ_TIME'] ?? 60_000),
        // The same in each run of CI; `make fuzz` tries others.
        ...(process.env['FUZZ_RUNS'] === undefined ? { seed: 20_261_121 } : {}),
      },
    );
    if (process.env['FUZZ_RUNS']) console.log(kinds);
    // The generator must reach what it is for.
    for (const kind of ['clear', 'columns', 'refused'])
      assert.ok((kinds.get(kind) ?? 0) > 10, JSON.stringify([...kinds]));
  });
});
