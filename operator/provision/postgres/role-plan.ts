/** All that a role is to be given, found out in the catalog before anything is changed. */
import { createHash } from 'node:crypto';
import { escapeIdentifier, escapeLiteral } from 'pg';
import type { AccessPolicy } from '../../../crds/policy.ts';
import { ProvisionError } from '../provision-error.ts';
import type { Target } from '../provisioner.ts';
import type { Query } from './administration.ts';
import { type Privilege, planGrants } from './grant-plan.ts';
import { planInherit } from './inherit.ts';
import { maskedColumns } from './masked-columns.ts';
import { planMaskedViews } from './masked-view.ts';
import { publicWarnings } from './public-privileges.ts';
import { type Table, type TableName, parseTableName, readTables } from './table.ts';

export interface RolePlan {
  /** Run in order on a role that has nothing; all or none. */
  readonly statements: readonly string[];
  readonly warnings: readonly string[];
  /** Two plans that give the same have the same. */
  readonly digest: string;
  /** What must be there afterwards: the server merely warns when an administrator may not grant something. */
  readonly tables: readonly { readonly table: Table; readonly privileges: ReadonlySet<Privilege> }[];
}

const MIN_VERSION = 140_000;

export async function planRole(
  query: Query,
  target: Target,
  role: string,
  policies: readonly AccessPolicy[],
): Promise<RolePlan> {
  const { role: wanted } = target.connection.spec;
  const version = await serverVersion(query);
  const masked = maskedColumns(target.connection, policies);
  const tables = await wantedTables(query, target, masked);
  const grants = planGrants(role, tables, version);
  const views = wanted.maskedViews ? planMaskedViews(role, tables) : { statements: [], warnings: [] };
  const inherit = await planInherit(query, role, wanted.inherit, version, masked.length > 0);
  const schemas = [...new Set(tables.map(({ table }) => table.schema))];
  const statements = [
    ...grants.statements,
    ...(views.statements.length > 0 ? await viewSchema(query, role, views.statements) : []),
    ...inherit,
  ];
  const digest = createHash('sha256').update(JSON.stringify(statements)).digest('base64url');
  const warnings = [...grants.warnings, ...views.warnings, ...(await publicWarnings(query, schemas))];
  return { statements, warnings, digest, tables };
}

async function serverVersion(query: Query): Promise<number> {
  const [row] = await query(`SELECT current_setting('server_version_num') AS version`);
  const version = Number(row?.['version']);
  if (!(version >= MIN_VERSION))
    throw new ProvisionError('invalid', 'roles are made on PostgreSQL 14 and later');
  return version;
}

async function wantedTables(
  query: Query,
  target: Target,
  masked: Parameters<typeof readTables>[2],
): Promise<RolePlan['tables']> {
  const wanted = new Map<string, { readonly name: TableName; readonly privileges: Set<Privilege> }>();
  for (const grant of target.connection.spec.role.grants) {
    for (const written of grant.tables) {
      const name = parseTableName(written);
      const key = JSON.stringify([name.schema, name.table]);
      const entry = wanted.get(key) ?? { name, privileges: new Set<Privilege>() };
      for (const privilege of grant.privileges) entry.privileges.add(privilege);
      wanted.set(key, entry);
    }
  }
  const entries = [...wanted.values()];
  const tables = await readTables(
    query,
    entries.map((entry) => entry.name),
    masked,
  );
  return tables.map((table, index) => ({
    table,
    privileges: entries[index]?.privileges ?? new Set<Privilege>(),
  }));
}

const DATABASE_PATH = `SELECT substr(setting, length('search_path=') + 1) AS path
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS setting
WHERE d.datname = current_database() AND s.setrole = 0 AND setting LIKE 'search\\_path=%'`;

const NAME = '(?:"(?:[^"]|"")+"|[A-Za-z_][A-Za-z0-9_$]*)';
const PATH = new RegExp(`^${NAME}(?:\\s*,\\s*${NAME})*$`);

/** The views' schema, and a search_path that has it before what the database's own says. */
async function viewSchema(
  query: Query,
  role: string,
  statements: readonly string[],
): Promise<readonly string[]> {
  const [row] = await query(DATABASE_PATH);
  const own = row?.['path'];
  // The setting is written as names, quoted where they must be; anything else is not put into a statement.
  const path = typeof own === 'string' && PATH.test(own) ? own : '"$user", public';
  const name = escapeIdentifier(role);
  return [
    `CREATE SCHEMA ${name}`,
    `COMMENT ON SCHEMA ${name} IS ${escapeLiteral('Masked views of a run, made by Sidewarden; goes with the role of the same name.')}`,
    `GRANT USAGE ON SCHEMA ${name} TO ${name}`,
    ...statements,
    `ALTER ROLE ${name} SET search_path = ${name}, ${path}`,
  ];
}
