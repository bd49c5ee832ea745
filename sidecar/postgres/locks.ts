/** Which locks a held operation keeps from others: those its transaction has already, and those it would take. */
import type { CatalogQuery } from './catalog/relation.ts';
import type { Statement } from './sql/statement.ts';

export interface Lock {
  /** `schema.table`. */
  readonly relation: string;
  /** In SQL's words: `ACCESS EXCLUSIVE`. */
  readonly mode: string;
  /** Held already by the open transaction. */
  readonly held: boolean;
}

/** Weakest first. */
const MODES = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const;
type LockMode = (typeof MODES)[number];

const MAX_LOCKS = 500;

/**
 * Strongest lock that a command takes on what it defines or maintains, by its verb (PostgreSQL's manual, "Explicit
 * Locking" and the page of each command). Some forms of ALTER TABLE take less; the worst is told. All others:
 * ACCESS EXCLUSIVE.
 */
const DDL_MODES: ReadonlyMap<string, LockMode> = new Map<string, LockMode>([
  ['CREATE INDEX', 'SHARE'],
  ['CREATE TRIGGER', 'SHARE ROW EXCLUSIVE'],
  ['CREATE STATISTICS', 'SHARE UPDATE EXCLUSIVE'],
  ['COMMENT', 'SHARE UPDATE EXCLUSIVE'],
  ['SECURITY LABEL', 'SHARE UPDATE EXCLUSIVE'],
  ['ANALYZE', 'SHARE UPDATE EXCLUSIVE'],
  ['ALTER SEQUENCE', 'SHARE ROW EXCLUSIVE'],
  // What they name exists already and is only looked at.
  ['CREATE VIEW', 'ACCESS SHARE'],
  ['CREATE TABLE AS', 'ACCESS SHARE'],
  ['CREATE MATERIALIZED VIEW', 'ACCESS SHARE'],
]);

/** Locks that the statement would take on relations, strongest first. The locks of reading are left out. */
export function statementLocks(statement: Statement): readonly Lock[] {
  const { verb, tables } = statement.facts;
  const locks = tables.map(({ name, access }): Lock => {
    if (access.includes('ddl')) return lock(name, DDL_MODES.get(verb) ?? 'ACCESS EXCLUSIVE');
    if (verb === 'TRUNCATE' || verb === 'TRUNCATE TABLE' || verb === 'LOCK TABLE' || verb === 'LOCK') {
      return lock(name, 'ACCESS EXCLUSIVE');
    }
    const writes = access.includes('write') || access.includes('delete');
    return lock(name, writes ? 'ROW EXCLUSIVE' : 'ACCESS SHARE');
  });
  return sorted(locks).slice(0, MAX_LOCKS);
}

function lock(relation: string, mode: LockMode): Lock {
  return { relation, mode, held: false };
}

/** Strongest first; those of reading alone hold up nothing but the strongest DDL, and are left out. */
function sorted(locks: readonly Lock[]): Lock[] {
  const strength = ({ mode }: Lock) => MODES.findIndex((known) => known === mode);
  return locks
    .filter(({ mode, held }) => held || mode !== 'ACCESS SHARE')
    .sort((a, b) => strength(b) - strength(a) || (a.relation < b.relation ? -1 : 1));
}

/**
 * Locks that a backend's open transaction holds on relations of this database, and that it holds advisory locks
 * (without their keys: those are values). `processId` is the server's, from BackendKeyData. Rejects as `query` does.
 */
export async function heldLocks(processId: number, query: CatalogQuery): Promise<readonly Lock[]> {
  if (!Number.isSafeInteger(processId) || processId <= 0) return [];
  const rows = await query(`SELECT DISTINCT l.locktype, l.mode, n.nspname, c.relname, l.relation
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE l.pid OPERATOR(pg_catalog.=) ${processId} AND l.granted
AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
  WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
AND (l.locktype OPERATOR(pg_catalog.=) 'advisory' OR l.locktype OPERATOR(pg_catalog.=) 'relation'
  AND (c.oid IS NULL OR c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r','p','m','f','v','S']::pg_catalog."char"[])
    AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog','pg_toast','information_schema']::pg_catalog.name[])))
LIMIT ${MAX_LOCKS}`);
  const locks = rows.map(([type, mode, schema, name, oid]): Lock => {
    if (type === 'advisory') return { relation: 'an advisory lock', mode: sqlMode(mode ?? ''), held: true };
    const relation =
      typeof schema === 'string' && typeof name === 'string' ? `${schema}.${name}` : unseen(oid);
    return { relation, mode: sqlMode(mode ?? ''), held: true };
  });
  return sorted(locks);
}

function unseen(oid: string | null | undefined): string {
  return `a relation made in this transaction (oid ${oid ?? 'unknown'})`;
}

/** `AccessExclusiveLock` is `ACCESS EXCLUSIVE`. */
function sqlMode(mode: string): string {
  return mode
    .replace(/Lock$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase();
}
