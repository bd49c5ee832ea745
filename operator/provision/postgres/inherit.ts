/** Roles that a run's role is made a member of: only such as give nothing beyond privileges on objects. */
import { escapeIdentifier } from 'pg';
import { ProvisionError } from '../provision-error.ts';
import type { Query } from './administration.ts';

/** From here on, a membership can be given without the right to SET ROLE. */
const OPTIONS_SINCE = 160_000;

/** Of PostgreSQL's own roles these only read what is about the server, or are bounded by what they are called on. All others are refused. */
const HARMLESS = new Set(['pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables']);
/** Read or write every table, masked columns too. */
const WHOLE = new Set(['pg_read_all_data', 'pg_write_all_data', 'pg_maintain']);

/** All roles that members of these have the privileges of. */
const REACHED = `WITH RECURSIVE reached AS (
  SELECT oid, rolname AS "from" FROM pg_roles WHERE rolname = ANY ($1::text[])
  UNION SELECT m.roleid, r."from" FROM reached r JOIN pg_auth_members m ON m.member = r.oid
)
SELECT r."from"::text AS "from", p.rolname::text AS name, p.rolname = current_user AS self,
  p.rolsuper OR p.rolcreaterole OR p.rolcreatedb OR p.rolreplication OR p.rolbypassrls AS strong
FROM reached r JOIN pg_roles p ON p.oid = r.oid`;

/** The statements, or `invalid` with the role that is not there or must not be inherited. */
export async function planInherit(
  query: Query,
  role: string,
  inherit: readonly string[],
  version: number,
  hasMasks: boolean,
): Promise<readonly string[]> {
  if (inherit.length === 0) return [];
  const rows = await query(REACHED, [[...inherit]]);
  for (const row of rows) {
    const problem = problemWith(String(row['name']), row['strong'] === true, row['self'] === true, hasMasks);
    if (problem !== undefined)
      throw new ProvisionError(
        'invalid',
        `role.inherit: ${String(row['from'])} must not be inherited: ${problem}`,
      );
  }
  const known = new Set(rows.map((row) => row['name']));
  const missing = inherit.find((name) => !known.has(name));
  if (missing !== undefined)
    throw new ProvisionError('invalid', `role.inherit: the role ${missing} does not exist`);
  const options = version >= OPTIONS_SINCE ? ' WITH INHERIT TRUE, SET FALSE, ADMIN FALSE' : '';
  return inherit.map((name) => `GRANT ${escapeIdentifier(name)} TO ${escapeIdentifier(role)}${options}`);
}

function problemWith(name: string, strong: boolean, self: boolean, hasMasks: boolean): string | undefined {
  if (self) return `${name} is the administrator`;
  if (strong) return `${name} may do more than use objects (superuser, roles, databases, replication or RLS)`;
  if (!name.startsWith('pg_') || HARMLESS.has(name)) return undefined;
  if (!WHOLE.has(name)) return `${name} reaches beyond the database's own objects`;
  return hasMasks ? `${name} goes round the masks of the policies` : undefined;
}
