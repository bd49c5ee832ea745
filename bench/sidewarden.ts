/** Sidewarden as it would stand in production: a policy that decides by effects, one masked column, recording on. */
import { freePort, type TestPostgres } from '../e2e/postgres.ts';
import { type ManifestRule, usualManifests } from '../e2e/manifests.ts';
import { type Sidewarden, startSidewarden } from '../e2e/serve.ts';
import type { Contender } from './contender.ts';
import { database, serverLogin } from './database.ts';

const dba = { approvers: { groups: ['dba'] }, timeout: '1m' };

const rules: readonly ManifestRule[] = [
  { name: 'reads', when: 'sql.effects.all(e, e == "read")', action: 'Allow' },
  { name: 'session', when: 'sql.effects.all(e, e in ["read", "session"])', action: 'Allow' },
  {
    name: 'loads',
    when: 'sql.verb == "COPY" && sql.tables.all(t, t.name == "public.copy_sink")',
    action: 'Allow',
  },
  { name: 'schema-changes', when: '"ddl" in sql.effects', action: 'Hold', hold: dba },
  { name: 'unknown-code', when: '"opaque" in sql.effects', action: 'Hold', hold: dba },
  {
    name: 'never',
    when: 'sql.verb == "DROP DATABASE" || (sql.verb in ["DELETE", "UPDATE"] && !sql.hasWhere)',
    action: 'Deny',
  },
];

/** `count` rules in all, as a team would have after a year: one a table. */
function manyRules(count: number): readonly ManifestRule[] {
  const more = Array.from({ length: count - rules.length }, (_, i): ManifestRule => {
    const when = `sql.tables.exists(t, t.name == "public.archive_${i}" && ("write" in t.access || "delete" in t.access))`;
    return { name: `archive-${i}`, when, action: 'Deny', message: `archive_${i} is written by nobody` };
  });
  return [...rules, ...more];
}

/** Starts `serve` with one connection. `ruleCount` fills the policy up to so many rules. */
export async function serve(postgres: TestPostgres, ruleCount = rules.length): Promise<Sidewarden> {
  const manifests = usualManifests({
    postgres: { host: postgres.host, port: postgres.port, ...serverLogin },
    name: 'bench-db',
    database,
    port: await freePort(),
    durability: 'batched',
    rules: manyRules(ruleCount),
    masks: [{ columns: ['public.masked_rows.card'], with: 'Redact' }],
  });
  return startSidewarden({ manifests });
}

export function contenderOf({ host, port, pid }: Sidewarden): Contender {
  return { name: 'Sidewarden', host, port, pid, user: serverLogin.user, database };
}
