/** Whether what was granted is really there, and what is there beyond it. */
import { escapeIdentifier } from 'pg';
import { ProvisionError } from '../provision-error.ts';
import type { Query } from './administration.ts';
import { clear, masks, shown } from './grant-plan.ts';
import type { RolePlan } from './role-plan.ts';

const CHECK = `SELECT wanted.number,
  CASE WHEN wanted."column" = '' THEN has_table_privilege($1::name, c.oid, wanted.privilege)
    ELSE has_column_privilege($1::name, c.oid, wanted."column", wanted.privilege) END AS has
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS wanted (schema, name, "column", privilege, number)
JOIN pg_namespace n ON n.nspname = wanted.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
ORDER BY wanted.number`;

const USABLE = `SELECT has_database_privilege($1::name, current_database(), 'CONNECT') AS connects,
  (SELECT json_agg(DISTINCT s) FROM unnest($2::text[]) AS s WHERE NOT has_schema_privilege($1::name, s, 'USAGE')) AS schemas`;

interface Question {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
  readonly privilege: string;
}

/** CONNECT and USAGE where not everybody has them: fewer entries in lists that all sessions share. */
export async function grantAccess(query: Query, role: string, { tables }: RolePlan): Promise<void> {
  const [usable] = await query(USABLE, [role, tables.map(({ table }) => table.schema)]);
  const name = escapeIdentifier(role);
  if (usable?.['connects'] !== true) {
    const [row] = await query(`SELECT current_database() AS name`);
    await query(`GRANT CONNECT ON DATABASE ${escapeIdentifier(String(row?.['name']))} TO ${name}`);
  }
  for (const schema of usable?.['schemas'] instanceof Array ? usable['schemas'] : [])
    await query(`GRANT USAGE ON SCHEMA ${escapeIdentifier(String(schema))} TO ${name}`);
}

/** Rejects with `forbidden`, naming the first thing that the administrator may not grant. */
export async function checkGranted(query: Query, role: string, { tables }: RolePlan): Promise<void> {
  const [usable] = await query(USABLE, [role, tables.map(({ table }) => table.schema)]);
  if (usable?.['connects'] !== true) throw forbidden('CONNECT on the database');
  if (usable['schemas'] instanceof Array)
    throw forbidden(`USAGE on the schema ${String(usable['schemas'][0])}`);
  const wanted = tables.flatMap(({ table, privileges }) =>
    ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES']
      .filter((privilege) => [...privileges].some((each) => each === privilege))
      .filter((privilege) => privilege !== 'SELECT' || table.reads === undefined)
      .flatMap((privilege): Question[] => {
        const byColumn = masks(table) && ['SELECT', 'UPDATE', 'REFERENCES'].includes(privilege);
        const columns = byColumn ? clear(table).map((column) => column.name) : [''];
        return columns.map((column) => ({ schema: table.schema, table: table.table, column, privilege }));
      }),
  );
  const has = await ask(query, role, wanted);
  const missing = wanted.find((_question, index) => has[index] !== true);
  if (missing) throw forbidden(`${missing.privilege} on ${shown(missing)}`);
}

/** Masked columns that the role can read all the same, through what it inherits or what everybody may. */
export async function leaks(query: Query, role: string, { tables }: RolePlan): Promise<readonly string[]> {
  const masked = tables.flatMap(({ table }) =>
    table.columns
      .filter((column) => column.mask !== undefined)
      .map((column) => ({
        schema: table.schema,
        table: table.table,
        column: column.name,
        privilege: 'SELECT',
      })),
  );
  const has = await ask(query, role, masked);
  return masked
    .filter((_question, index) => has[index] === true)
    .map(
      ({ column, ...table }) =>
        `the masked column ${shown(table)}.${column} can be read by an inherited role or by everybody: only the wire hides it`,
    );
}

async function ask(query: Query, role: string, questions: readonly Question[]): Promise<readonly boolean[]> {
  if (questions.length === 0) return [];
  const of = (field: keyof Question) => questions.map((question) => question[field]);
  const rows = await query(CHECK, [role, of('schema'), of('table'), of('column'), of('privilege')]);
  return rows.map((row) => row['has'] === true);
}

function forbidden(what: string): ProvisionError {
  return new ProvisionError('forbidden', `the administrator may not grant ${what}`);
}
