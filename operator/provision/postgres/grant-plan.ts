/** What a role is granted, as statements: pure. */
import { escapeIdentifier } from 'pg';
import type { ProtectedConnection } from '../../../crds/connection.ts';
import type { Column, Table, TableName } from './table.ts';

type Grant = ProtectedConnection['spec']['role']['grants'][number];
export type Privilege = Grant['privileges'][number];

/** One table with all that any grant gives on it. */
export interface Wanted {
  readonly name: TableName;
  readonly privileges: ReadonlySet<Privilege>;
}

export interface GrantPlan {
  readonly statements: readonly string[];
  readonly warnings: readonly string[];
}

const MAINTAIN_SINCE = 170_000;

export function quoted({ schema, table }: TableName): string {
  return `${escapeIdentifier(schema)}.${escapeIdentifier(table)}`;
}

/** For people. */
export function shown({ schema, table }: TableName): string {
  return `${schema}.${table}`;
}

/**
 * `version` as in `server_version_num`. With masked columns on a table:
 *
 * | privilege | granted on |
 * |---|---|
 * | SELECT, UPDATE, REFERENCES | the other columns: a foreign key, too, tells whether a value is there |
 * | TRIGGER | nothing: a trigger is handed whole rows |
 * | INSERT, DELETE, TRUNCATE, MAINTAIN | the table: they give nothing back |
 *
 * SELECT and TRIGGER on a view that is made from masked columns are not granted: which of its columns have their values, PostgreSQL
 * does not tell. Masks on columns of the view itself say it, then it is like a table.
 */
export function planGrants(
  role: string,
  wanted: readonly { readonly table: Table; readonly privileges: ReadonlySet<Privilege> }[],
  version: number,
): GrantPlan {
  const statements: string[] = [];
  const warnings: string[] = [];
  const to = `TO ${escapeIdentifier(role)}`;
  for (const { table, privileges } of wanted) {
    const parts: string[] = [];
    for (const privilege of [...privileges].sort()) {
      const refusal = refusedFor(table, privilege, version);
      if (refusal !== undefined) warnings.push(refusal);
      else parts.push(...granted(table, privilege));
    }
    if (parts.length > 0) statements.push(`GRANT ${parts.join(', ')} ON TABLE ${quoted(table)} ${to}`);
    if (privileges.has('INSERT'))
      for (const sequence of table.sequences)
        statements.push(`GRANT USAGE ON SEQUENCE ${quoted(sequence)} ${to}`);
  }
  return { statements, warnings };
}

function refusedFor(table: Table, privilege: Privilege, version: number): string | undefined {
  const name = shown(table);
  if (privilege === 'MAINTAIN' && version < MAINTAIN_SINCE)
    return `MAINTAIN on ${name} is not granted: the server knows it from PostgreSQL 17 on`;
  if (privilege === 'TRIGGER' && (table.reads !== undefined || masks(table)))
    return `TRIGGER on ${name} is not granted: it has masked columns, and a trigger sees whole rows`;
  if (privilege === 'SELECT' && table.reads !== undefined)
    return `SELECT on ${name} is not granted: it reads ${table.reads}, which is masked; name the columns of ${name} that have its values in a mask`;
  return undefined;
}

function granted(table: Table, privilege: Privilege): readonly string[] {
  if (!masks(table) || !['SELECT', 'UPDATE', 'REFERENCES'].includes(privilege)) return [privilege];
  const columns = clear(table).map((column) => escapeIdentifier(column.name));
  return columns.length === 0 ? [] : [`${privilege} (${columns.join(', ')})`];
}

export function masks(table: Table): boolean {
  return table.columns.some((column) => column.mask !== undefined);
}

export function clear(table: Table): readonly Column[] {
  return table.columns.filter((column) => column.mask === undefined);
}
