/** The role of a session, as the server has it now. */
import { ProvisionError } from '../provision-error.ts';
import type { RunRole } from '../provisioner.ts';
import type { Query } from './administration.ts';
import { isMarkOf, readMark, roleName } from './mark.ts';

export interface FoundRole {
  readonly name: string;
  readonly oid: number;
  /** Digest of what was granted; undefined while that is not known. */
  readonly plan: string | undefined;
  /** Has an attribute that we never give. */
  readonly strong: boolean;
}

const FIND = `SELECT r.oid::int8::text AS oid, shobj_description(r.oid, 'pg_authid') AS comment,
  r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS strong
FROM pg_roles r WHERE r.rolname = $1`;

/** Undefined when there is none; rejects with `taken` when a role of that name is not marked as this session's. */
export async function findRole(
  query: Query,
  installation: string,
  role: RunRole,
): Promise<FoundRole | undefined> {
  const name = roleName(installation, role);
  const [row] = await query(FIND, [name]);
  if (!row) return undefined;
  const mark = readMark(row['comment']);
  if (!isMarkOf(mark, installation, role))
    throw new ProvisionError(
      'taken',
      `the role ${name} is there, and its comment does not say that it is this session's`,
    );
  return { name, oid: Number(row['oid']), plan: mark.plan, strong: row['strong'] === true };
}
