/** What the catalog says of the tables that grants name, and of what is protected in them. */
import { parseColumnName } from '../../../crds/column.ts';
import { type Mask } from '../../../sidecar/mask/mask.ts';
import { stricterMask } from '../../../sidecar/mask/apply.ts';
import { ProvisionError } from '../provision-error.ts';
import type { Query } from './administration.ts';
import type { MaskedColumn } from './masked-columns.ts';

export interface TableName {
  readonly schema: string;
  readonly table: string;
}

export interface Column {
  readonly name: string;
  /** As in DDL, with its modifier; of a domain what it is made from, since a domain may refuse NULL. */
  readonly type: string;
  readonly mask: Mask | undefined;
}

export interface Table extends TableName {
  readonly isView: boolean;
  readonly rowSecurity: boolean;
  readonly columns: readonly Column[];
  /** A protected column that a view is made from, when none of its own columns is masked; for people. */
  readonly reads: string | undefined;
  /** Sequences of its columns (`serial`), which INSERT needs. */
  readonly sequences: readonly TableName[];
}

/** `schema.table`, names quoted as in PostgreSQL where they must be. */
export function parseTableName(text: string): TableName {
  const named = parseColumnName(`${text}.x`);
  if (named === null)
    throw new ProvisionError('invalid', `a grant names ${JSON.stringify(text)}, which is no schema.table`);
  return { schema: named.schema, table: named.table };
}

/** In the order of the names. Rejects with `invalid` when one does not exist, and names it. */
export async function readTables(
  query: Query,
  names: readonly TableName[],
  masked: readonly MaskedColumn[],
): Promise<readonly Table[]> {
  if (names.length === 0) return [];
  const rows = await query(TABLES, [names.map((name) => name.schema), names.map((name) => name.table)]);
  const found = new Map(rows.map((row) => [`${text(row['schema'])}.${text(row['table'])}`, row]));
  const protection = await readProtection(query, masked);
  return names.map((name) => {
    const row = found.get(`${name.schema}.${name.table}`);
    if (!row) throw new ProvisionError('invalid', `the table ${name.schema}.${name.table} does not exist`);
    const masks = protection.masks.get(text(row['oid'])) ?? new Map<string, Mask>();
    return {
      ...name,
      isView: ['v', 'm'].includes(text(row['kind'])),
      rowSecurity: row['security'] === true,
      columns: pairs(row['columns']).map(([column, type]) => ({
        name: column,
        type,
        mask: masks.get(column),
      })),
      reads: masks.size > 0 ? undefined : protection.views.get(text(row['oid'])),
      sequences: pairs(row['sequences']).map(([schema, table]) => ({ schema, table })),
    };
  });
}

const TABLES = `
SELECT c.oid::text AS oid, n.nspname::text AS schema, c.relname::text AS "table", c.relkind::text AS kind, c.relrowsecurity AS security,
  (SELECT json_agg(json_build_array(a.attname, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
      ELSE format_type(a.atttypid, a.atttypmod) END) ORDER BY a.attnum)
   FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT json_agg(json_build_array(sn.nspname, s.relname) ORDER BY s.oid)
   FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
   WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'a') AS sequences
FROM unnest($1::text[], $2::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

interface Protection {
  /** By the table's oid, then by column. */
  readonly masks: ReadonlyMap<string, ReadonlyMap<string, Mask>>;
  /** By the view's oid: a protected column that it reads, for people. */
  readonly views: ReadonlyMap<string, string>;
}

async function readProtection(query: Query, masked: readonly MaskedColumn[]): Promise<Protection> {
  const masks = new Map<string, Map<string, Mask>>();
  const views = new Map<string, string>();
  if (masked.length === 0) return { masks, views };
  const given = [
    masked.map((each) => each.schema),
    masked.map((each) => each.table),
    masked.map((each) => each.column),
  ];
  for (const row of await query(PROTECTED, given)) {
    const mask = masked[Number(row['given'])]?.mask;
    if (!mask) continue;
    const columns = masks.get(text(row['oid'])) ?? new Map<string, Mask>();
    const known = columns.get(text(row['column']));
    columns.set(text(row['column']), known === undefined ? mask : stricterMask(known, mask));
    masks.set(text(row['oid']), columns);
  }
  for (const row of await query(READING, given)) views.set(text(row['oid']), text(row['reads']));
  return { masks, views };
}

/**
 * What is masked, in its partitions and children too, and in what these are partitions and children of: reading a parent reads all of
 * its children.
 */
const CLOSURE = `
given AS (
  SELECT a.attrelid AS oid, a.attname AS "column", (wanted.number - 1)::int AS given
  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (schema, name, "column", number)
  JOIN pg_namespace n ON n.nspname = wanted.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = wanted."column" AND a.attnum > 0 AND NOT a.attisdropped
),
down AS (SELECT * FROM given UNION SELECT i.inhrelid, k."column", k.given FROM down k JOIN pg_inherits i ON i.inhparent = k.oid),
up AS (
  SELECT * FROM down
  UNION SELECT i.inhparent, k."column", k.given FROM up k JOIN pg_inherits i ON i.inhrelid = k.oid
  WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.inhparent AND a.attname = k."column")
)`;

const PROTECTED = `WITH RECURSIVE ${CLOSURE}
SELECT oid::text AS oid, "column"::text AS "column", given FROM up`;

/** Views on such columns, and views on those; a whole row in a view counts as all of its columns. */
const READING = `WITH RECURSIVE ${CLOSURE},
views AS (
  SELECT r.ev_class AS oid, format('%I.%I.%I', n.nspname, c.relname, u."column") AS reads
  FROM up u JOIN pg_class c ON c.oid = u.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = u.oid AND a.attname = u."column"
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = u.oid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> u.oid
  WHERE d.refobjsubid IN (0, a.attnum) OR r.ev_action::text LIKE '%:varattno 0 %'
  UNION
  SELECT r.ev_class, v.reads
  FROM views v JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> v.oid
)
SELECT oid::text AS oid, min(reads) AS reads FROM views GROUP BY oid`;

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function pairs(value: unknown): readonly (readonly [string, string])[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((pair: unknown): readonly (readonly [string, string])[] =>
    Array.isArray(pair) ? [[text(pair[0]), text(pair[1])]] : [],
  );
}
