/** What the target lets everybody do, a run's role too: we cannot take it away, but say it. */
import type { Query } from './administration.ts';

const EVERYBODY = `
SELECT 'everybody may create temporary tables in the database (REVOKE TEMPORARY ON DATABASE … FROM PUBLIC)' AS warning
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'
UNION ALL
SELECT 'everybody may create objects in the database: schemas (REVOKE CREATE ON DATABASE … FROM PUBLIC)'
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'CREATE'
UNION ALL
SELECT format('everybody may create objects in the schema %I (REVOKE CREATE ON SCHEMA %I FROM PUBLIC)', n.nspname, n.nspname)
FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE (n.nspname = 'public' OR n.nspname = ANY ($1::text[])) AND a.grantee = 0 AND a.privilege_type = 'CREATE'`;

export async function publicWarnings(query: Query, schemas: readonly string[]): Promise<readonly string[]> {
  const rows = await query(EVERYBODY, [[...schemas]]);
  return rows.map((row) => String(row['warning']));
}
