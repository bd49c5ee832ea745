/** PostgreSQL roles that live as long as a run. */
import { escapeIdentifier } from 'pg';
import { milliseconds } from '../../../crds/schema/duration.ts';
import { ProvisionError } from '../provision-error.ts';
import type { Provisioner, RunRole, Target } from '../provisioner.ts';
import { Administration } from './administration.ts';
import { findRole } from './found-role.ts';
import { ROLE_PATTERN, readMark, roleName } from './mark.ts';
import { makeRole, validUntil } from './provision.ts';
import { revokeRole } from './revoke.ts';
import { planRole } from './role-plan.ts';
import { randomPassword, scramVerifier } from './verifier.ts';

export interface PostgresProvisioner extends Provisioner {
  /** Closes all connections to targets. */
  close(): Promise<void>;
}

/** `installation` tells roles of this Sidewarden from those of another one on the same server: something that never changes, e.g. a uid. */
export function createPostgresProvisioner(installation: string): PostgresProvisioner {
  const administration = new Administration();
  return {
    provision: async (target, role, policies) => {
      const ttl = ttlOf(target);
      const name = roleName(installation, role);
      const password = randomPassword();
      const verifier = await scramVerifier(password);
      const before = Date.now();
      const warnings = await administration.change(target, 'making the role', async (query) => {
        const plan = await planRole(query, target, name, policies);
        const more = await makeRole(query, installation, role, { name, verifier, ttl }, plan);
        return [...plan.warnings, ...more];
      });
      return { username: name, password, validUntil: before + ttl, warnings };
    },
    renew: async (target, role) => {
      const ttl = ttlOf(target);
      const before = Date.now();
      await administration.change(target, 'renewing the role', async (query) => {
        const found = await findRole(query, installation, role);
        if (!found) throw new ProvisionError('invalid', 'renewing the role: it is not there');
        const until = await validUntil(query, ttl);
        // One that is being revoked stays locked out: this says nothing of LOGIN.
        await query(`ALTER ROLE ${escapeIdentifier(found.name)} VALID UNTIL ${until}`);
      });
      return before + ttl;
    },
    revoke: (target, role) => revokeRole(administration, installation, target, role),
    marked: (target) => marked(administration, installation, target),
    close: () => administration.close(),
  };
}

function marked(
  administration: Administration,
  installation: string,
  target: Target,
): Promise<readonly RunRole['session'][]> {
  return administration.read(target, 'looking for roles of runs', async (query) => {
    const rows = await query(
      `SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname LIKE $1`,
      [ROLE_PATTERN],
    );
    return rows.flatMap((row) => {
      const mark = readMark(row['comment']);
      if (mark?.installation !== installation) return [];
      // A comment copied to another role makes that one none of ours.
      return roleName(installation, { session: mark.session }) === row['name'] ? [mark.session] : [];
    });
  });
}

function ttlOf({ connection }: Target): number {
  return milliseconds(connection.spec.role.ttl);
}
