/** Makes a session's role, or makes the one that is there exactly as it must be. */
import { escapeIdentifier, escapeLiteral } from 'pg';
import { ProvisionError } from '../provision-error.ts';
import type { RunRole } from '../provisioner.ts';
import type { Query } from './administration.ts';
import { type FoundRole, findRole } from './found-role.ts';
import { checkGranted, grantAccess, leaks } from './landed.ts';
import { writeMark } from './mark.ts';
import type { RolePlan } from './role-plan.ts';

/** A client's connections, and what the sidecar itself asks. */
const CONNECTION_LIMIT = 64;

const ATTRIBUTES = 'LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';

export interface Login {
  readonly name: string;
  /** Never the password itself: statements can be in the server's log. */
  readonly verifier: string;
  /** Milliseconds. */
  readonly ttl: number;
}

/** In one transaction: what is not whole is not there. Gives further warnings. */
export async function makeRole(
  query: Query,
  installation: string,
  role: RunRole,
  login: Login,
  plan: RolePlan,
): Promise<readonly string[]> {
  const name = escapeIdentifier(login.name);
  const found = await findRole(query, installation, role);
  if (found?.strong === true)
    throw new ProvisionError('taken', `the role ${login.name} has rights that were never given to it by us`);
  const valid = `CONNECTION LIMIT ${CONNECTION_LIMIT} PASSWORD ${escapeLiteral(login.verifier)} VALID UNTIL ${await validUntil(query, login.ttl)}`;
  await query(found ? `ALTER ROLE ${name} LOGIN ${valid}` : `CREATE ROLE ${name} ${ATTRIBUTES} ${valid}`);
  if (found?.plan !== plan.digest) {
    if (found) await takeAll(query, found);
    for (const statement of plan.statements) await query(statement);
    await query(`COMMENT ON ROLE ${name} IS ${escapeLiteral(writeMark(installation, role, plan.digest))}`);
  }
  await grantAccess(query, login.name, plan);
  await checkGranted(query, login.name, plan);
  return leaks(query, login.name, plan);
}

/** By the server's clock, which is the one that it is checked by. */
export async function validUntil(query: Query, ttl: number): Promise<string> {
  const [row] = await query(
    `SELECT to_char((clock_timestamp() + $1 * interval '1 millisecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS until`,
    [ttl],
  );
  return escapeLiteral(`${String(row?.['until'])}+00`);
}

/** Relations and schemas that a role has privileges on, in this database; `kind` as in GRANT. */
const HELD = `SELECT 'SCHEMA' AS kind, format('%I', n.nspname) AS name
FROM pg_shdepend d JOIN pg_namespace n ON n.oid = d.objid
WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::oid AND d.deptype = 'a' AND d.classid = 'pg_namespace'::regclass
  AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', n.nspname, c.relname)
FROM pg_shdepend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::oid AND d.deptype = 'a' AND d.classid = 'pg_class'::regclass
  AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`;

const MEMBERSHIPS = `SELECT format('%I', r.rolname) AS name FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = $1::oid`;

/** What it owns stays its own. */
async function takeAll(query: Query, role: FoundRole): Promise<void> {
  const name = escapeIdentifier(role.name);
  await query(`ALTER ROLE ${name} RESET ALL`);
  await dropViews(query, role);
  for (const held of await query(HELD, [role.oid]))
    await query(`REVOKE ALL ON ${String(held['kind'])} ${String(held['name'])} FROM ${name}`);
  for (const membership of await query(MEMBERSHIPS, [role.oid]))
    await query(`REVOKE ${String(membership['name'])} FROM ${name}`);
}

/** The schema of its masked views; one of that name which the role made itself is none. */
export async function dropViews(query: Query, role: FoundRole): Promise<void> {
  const [row] = await query(`SELECT nspowner <> $2::oid AS ours FROM pg_namespace WHERE nspname = $1`, [
    role.name,
    role.oid,
  ]);
  if (row?.['ours'] === true) await query(`DROP SCHEMA ${escapeIdentifier(role.name)} CASCADE`);
}
