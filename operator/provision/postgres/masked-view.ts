/** Views with the masks in them, in a schema of the role's own name that comes first in its search_path: pure. */
import { escapeIdentifier, escapeLiteral } from 'pg';
import { REDACTED } from '../../../sidecar/mask/apply.ts';
import type { Mask } from '../../../sidecar/mask/mask.ts';
import { type GrantPlan, type Privilege, clear, masks, quoted, shown } from './grant-plan.ts';
import type { Column, Table } from './table.ts';

/**
 * One for each table with masked columns that SELECT is granted on. A view is read with the rights of its owner, the administrator:
 * so a table with row security gets none, since its policies would not hold for the run then.
 */
export function planMaskedViews(
  role: string,
  wanted: readonly { readonly table: Table; readonly privileges: ReadonlySet<Privilege> }[],
): GrantPlan {
  const statements: string[] = [];
  const warnings: string[] = [];
  const taken = new Map<string, Table>();
  for (const { table, privileges } of wanted) {
    if (!masks(table) || !privileges.has('SELECT')) continue;
    const other = taken.get(table.table);
    if (table.rowSecurity)
      warnings.push(
        `${shown(table)} has no masked view: a view would be read without the table's row security`,
      );
    else if (other !== undefined)
      warnings.push(
        `${shown(table)} has no masked view: that of ${shown(other)} has its name; write the schema`,
      );
    else {
      taken.set(table.table, table);
      statements.push(...viewStatements(role, table, privileges));
    }
  }
  return { statements, warnings };
}

function viewStatements(role: string, table: Table, privileges: ReadonlySet<Privilege>): readonly string[] {
  const view = `${escapeIdentifier(role)}.${escapeIdentifier(table.table)}`;
  const columns = table.columns.map((column) => maskedColumn(column));
  const changed = clear(table).map((column) => escapeIdentifier(column.name));
  const rights = ['SELECT'];
  if (privileges.has('INSERT')) rights.push('INSERT');
  if (privileges.has('UPDATE') && changed.length > 0) rights.push(`UPDATE (${changed.join(', ')})`);
  if (privileges.has('DELETE')) rights.push('DELETE');
  // Materialized views and the like cannot be written through, which PostgreSQL says when it is tried.
  return [
    `CREATE VIEW ${view} WITH (security_barrier) AS SELECT ${columns.join(', ')} FROM ${quoted(table)}`,
    `GRANT ${rights.join(', ')} ON TABLE ${view} TO ${escapeIdentifier(role)}`,
  ];
}

function maskedColumn({ name, type, mask }: Column): string {
  const column = escapeIdentifier(name);
  return mask === undefined ? column : `${expression(column, type, mask)} AS ${column}`;
}

/**
 * As on the wire (`sidecar/mask/apply.ts`), or less: a hash has its key, which could be read from the view's definition, so it is
 * redacted; and of a value that is not ASCII nothing is kept, since PostgreSQL does not count in grapheme clusters.
 */
function expression(column: string, type: string, mask: Mask): string {
  switch (mask.with) {
    case 'Redact':
    case 'Hash':
      return `${escapeLiteral(REDACTED)}::text`;
    case 'Null':
      return `NULL::${type}`;
    case 'Partial':
      return partial(`${column}::text`, mask.keepFirst, mask.keepLast);
  }
}

/**
 * The wire masks it once more, and must find what it can keep: stars as many as what is kept, and what is hidden whole shorter than
 * that. Then what comes out is what it would have made of the value itself.
 */
function partial(value: string, keepFirst: number, keepLast: number): string {
  const kept = keepFirst + keepLast;
  const hidden = `'${2 * kept > 4 ? '****' : '*'}'::text`;
  if (kept === 0) return `CASE WHEN ${value} IS NULL THEN NULL ELSE '****'::text END`;
  const stars = `'${'*'.repeat(Math.max(4, kept))}'::text`;
  return `CASE WHEN ${value} IS NULL THEN NULL
    WHEN octet_length(${value}) <> char_length(${value}) OR char_length(${value}) < ${2 * kept} THEN ${hidden}
    ELSE left(${value}, ${keepFirst}) || ${stars} || right(${value}, ${keepLast}) END`;
}
