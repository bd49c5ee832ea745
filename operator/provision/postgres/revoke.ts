/**
 * The end of a session's role, in steps that each can be done again:
 *
 * 1. It can no longer sign in: NOLOGIN, VALID UNTIL the past, no connections. Committed, so that it holds whatever comes next.
 * 2. Its backends are ended, until there are none; what it prepared for two-phase commit is rolled back.
 * 3. In each database where anything of it is: the masked views go, what it made goes to a keeper, its privileges go.
 * 4. The role is dropped.
 *
 * What it made is not given to the administrator: a function, view, rule or index of an agent would then work with the
 * administrator's rights. The keeper is a role without any, which cannot sign in.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { ProvisionError } from '../provision-error.ts';
import type { RunRole, Target } from '../provisioner.ts';
import { type Administration, type Query, databaseOf } from './administration.ts';
import { type FoundRole, findRole } from './found-role.ts';
import { keeperName } from './mark.ts';
import { dropViews } from './provision.ts';

/** Milliseconds. */
const BACKENDS_DEADLINE = 10_000;

export async function revokeRole(
  administration: Administration,
  installation: string,
  target: Target,
  role: RunRole,
): Promise<void> {
  const found = await administration.read(target, 'locking the role out', async (query) => {
    const there = await findRole(query, installation, role);
    if (there) await lockOut(query, there);
    return there;
  });
  if (!found) return;
  await endBackends(administration, target, found);
  const left = await whatIsLeft(administration, target, found);
  for (const prepared of left.prepared) await rollBackPrepared(administration, target, found, prepared);
  for (const database of left.databases) {
    if (database === databaseOf(target)) continue;
    await administration.change(
      target,
      `clearing the role out of ${database}`,
      async (query) => {
        const there = await findRole(query, installation, role);
        if (there) await clearOut(query, installation, there);
      },
      database,
    );
  }
  await administration.change(target, 'dropping the role', async (query) => {
    const there = await findRole(query, installation, role);
    if (!there) return;
    await clearOut(query, installation, there);
    await query(`DROP ROLE ${escapeIdentifier(there.name)}`);
  });
  // One that was just signing in when the role was locked out: it has the rights of nobody now, but it goes too.
  await terminate(administration, target, found).catch(() => undefined);
}

async function lockOut(query: Query, { name, oid }: FoundRole): Promise<void> {
  const role = escapeIdentifier(name);
  await query(
    `ALTER ROLE ${role} NOLOGIN CONNECTION LIMIT 0 VALID UNTIL '1970-01-01 00:00:00+00' PASSWORD NULL`,
  );
  await join(query, oid, role);
}

/** An administrator who is no superuser must be a member to end backends and to give away what is owned; it ends with the role. */
async function join(query: Query, oid: number, role: string): Promise<void> {
  const [row] = await query(
    `SELECT pg_has_role(current_user, $1::oid, 'USAGE') AS joined, current_setting('server_version_num')::int >= 160000 AS options`,
    [oid],
  );
  if (row?.['joined'] === true) return;
  await query(
    `GRANT ${role} TO CURRENT_USER${row?.['options'] === true ? ' WITH INHERIT TRUE, SET TRUE' : ''}`,
  );
}

async function endBackends(administration: Administration, target: Target, role: FoundRole): Promise<void> {
  const deadline = performance.now() + BACKENDS_DEADLINE;
  for (let pause = 5; ; pause = Math.min(pause * 2, 200)) {
    if ((await terminate(administration, target, role)) === 0) return;
    if (performance.now() > deadline)
      throw new ProvisionError('busy', 'ending the backends of the role: some did not end in 10 s');
    await sleep(pause);
  }
}

/** How many there were. */
async function terminate(administration: Administration, target: Target, role: FoundRole): Promise<number> {
  return administration.read(target, 'ending the backends of the role', async (query) => {
    const [row] = await query(
      `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity WHERE usesysid = $1::oid AND pid <> pg_backend_pid()`,
      [role.oid],
    );
    return Number(row?.['ended']);
  });
}

interface Left {
  /** Transactions prepared for two-phase commit: they outlive their backends, and keep their locks. */
  readonly prepared: readonly { readonly gid: string; readonly database: string }[];
  /** Databases where something depends on the role: owned by it, or granted to it. */
  readonly databases: readonly string[];
}

function whatIsLeft(administration: Administration, target: Target, role: FoundRole): Promise<Left> {
  return administration.read(target, 'looking where the role has anything', async (query) => {
    const prepared = await query(
      `SELECT gid, database::text AS database FROM pg_prepared_xacts WHERE owner = $1`,
      [role.name],
    );
    const databases = await query(
      `SELECT DISTINCT d.datname::text AS name FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1::oid`,
      [role.oid],
    );
    return {
      prepared: prepared.map((row) => ({ gid: String(row['gid']), database: String(row['database']) })),
      databases: databases.map((row) => String(row['name'])),
    };
  });
}

async function rollBackPrepared(
  administration: Administration,
  target: Target,
  role: FoundRole,
  { gid, database }: Left['prepared'][number],
): Promise<void> {
  const roll = async (query: Query) => {
    // Whoever prepared it may roll it back, or a superuser.
    await query(`SET ROLE ${escapeIdentifier(role.name)}`);
    await query(`ROLLBACK PREPARED ${escapeLiteral(gid)}`);
  };
  await administration.alone(target, 'rolling back a prepared transaction', roll, database);
}

const OWNS = `SELECT EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1::oid AND s.deptype = 'o'
  AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS owns`;

async function clearOut(query: Query, installation: string, role: FoundRole): Promise<void> {
  const name = escapeIdentifier(role.name);
  await dropViews(query, role);
  const [row] = await query(OWNS, [role.oid]);
  if (row?.['owns'] === true) await keep(query, installation, role);
  await query(`DROP OWNED BY ${name}`);
}

async function keep(query: Query, installation: string, role: FoundRole): Promise<void> {
  const [me] = await query(`SELECT current_user::text AS name`);
  const keeper = keeperName(installation, String(me?.['name']));
  const name = escapeIdentifier(keeper);
  const [known] = await query(`SELECT oid::int8::text AS oid FROM pg_roles WHERE rolname = $1`, [keeper]);
  if (!known) {
    await query(`CREATE ROLE ${name} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS`);
    await query(
      `COMMENT ON ROLE ${name} IS 'Owns what the runs of AI agents made and left behind; made by Sidewarden. It has no rights of its own.'`,
    );
  }
  const [row] = await query(`SELECT oid::int8::text AS oid FROM pg_roles WHERE rolname = $1`, [keeper]);
  await join(query, Number(row?.['oid']), name);
  const schemas = await schemasToCreateIn(query, role);
  // An administrator who is no superuser may give something only to who could have made it.
  for (const schema of schemas) await query(`GRANT CREATE ON SCHEMA ${schema} TO ${name}`);
  await query(`REASSIGN OWNED BY ${escapeIdentifier(role.name)} TO ${name}`);
  for (const schema of schemas) await query(`REVOKE CREATE ON SCHEMA ${schema} FROM ${name}`);
}

/** None for a superuser. */
async function schemasToCreateIn(query: Query, role: FoundRole): Promise<readonly string[]> {
  const rows = await query(
    `SELECT format('%I', n.nspname) AS name FROM pg_namespace n, pg_roles me
WHERE me.rolname = current_user AND NOT me.rolsuper AND n.nspname !~ '^pg_' AND n.nspowner <> $1::oid
AND has_schema_privilege($1::oid, n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION')`,
    [role.oid],
  );
  return rows.map((row) => String(row['name']));
}
