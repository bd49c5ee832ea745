/**
 * What helps an approver: the plan that the server would choose, with the rows that it expects. Nothing of the
 * statement is run for it: it is planned in a read-only transaction that is rolled back, under the role and search_path
 * that it would run under, within limits on time, locks and joins.
 */
import { randomBytes } from 'node:crypto';
import type { MaskRules } from '../mask/mask.ts';
import { textLiteral } from './catalog/literal.ts';
import type { CatalogQuery } from './catalog/relation.ts';
import { FIRST_USER_OID } from './catalog/literal.ts';
import { type Plan, readPlan } from './plan.ts';
import type { Statement } from './sql/statement.ts';

export type Evidence =
  ({ readonly kind: 'plan' } & Plan) | { readonly kind: 'none'; readonly reason: string };

/** What the statement would run under. */
export interface EvidenceContext {
  readonly role: string;
  /** Schemas in the order in which the server looks into them, `current_schemas(true)`. */
  readonly searchPath: readonly string[];
  /** The session's masks; undefined when it has none. */
  readonly masks: MaskRules | undefined;
}

export interface EvidenceParameter {
  /** In text form; null is SQL NULL. */
  readonly value: string | null;
  /** Oid, 0 where the client left it to the server. */
  readonly type: number;
}

export interface EvidenceLimits {
  /** Milliseconds. */
  readonly statementTimeout: number;
  /** Milliseconds. */
  readonly lockTimeout: number;
  /** Characters of text and parameters together. */
  readonly maxText: number;
  /** Tables, partitions included. */
  readonly maxTables: number;
}

const EVIDENCE_LIMITS: EvidenceLimits = {
  statementTimeout: 1000,
  lockTimeout: 100,
  maxText: 65_536,
  maxTables: 200,
};

/**
 * Start-up parameters for a side connection of its own. The time limit must be there: one that is set within a text
 * comes too late for a connection that already has another.
 */
export const EVIDENCE_SETTINGS: ReadonlyMap<string, string> = new Map([
  ['statement_timeout', String(EVIDENCE_LIMITS.statementTimeout)],
  ['lock_timeout', String(EVIDENCE_LIMITS.lockTimeout)],
  ['client_encoding', 'UTF8'],
  ['standard_conforming_strings', 'on'],
  ['search_path', ''],
]);

const PLANNED_VERBS = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'VALUES', 'TABLE']);

/** The planner computes calls on constants beforehand, and these can make much out of little. */
const AMPLIFIERS =
  /^pg_catalog\.(repeat|lpad|rpad|array_fill|factorial|power|pow|exp|xpath|xpath_exists|regexp_.*|similar_.*|generate_series|jsonb_path_.*|to_tsvector|ts_headline|format|replace)$/;

/** Joins beyond these are planned in the order they are written; geqo takes over early. */
const PLANNER = {
  join_collapse_limit: '6',
  from_collapse_limit: '6',
  geqo: 'on',
  geqo_threshold: '6',
  geqo_effort: '1',
};

/** Why the statement is not to be planned at all. */
function refusal(
  statement: Statement,
  parameters: readonly EvidenceParameter[],
  context: EvidenceContext,
  limits: EvidenceLimits,
): string | undefined {
  const { facts } = statement;
  if (!statement.explainable || !PLANNED_VERBS.has(facts.verb))
    return 'a statement of this kind has no plan that is safe to ask for';
  if (touchesMasked(statement, context.masks))
    return 'it touches protected columns, and a plan tells of their values';
  const size = parameters.reduce((sum, { value }) => sum + (value?.length ?? 0), facts.text.length);
  if (size > limits.maxText) return 'it is too long to be planned beforehand';
  if (facts.tables.length > limits.maxTables) return 'it touches too many tables to be planned beforehand';
  if (facts.functions.some(({ name }) => AMPLIFIERS.test(name)))
    return 'planning it could take more than running it';
  if (facts.tables.some(({ name }) => /^(pg_temp|\?\.)/.test(name))) {
    return 'it uses tables that only its own session can see';
  }
  if (statement.parameterCount > parameters.length) return 'the values of its parameters are not known';
  if (parameters.some(({ type }) => type >= FIRST_USER_OID))
    return 'it has parameters of types that are not PostgreSQL’s own';
  return undefined;
}

/** Whether a plan would be made from statistics of a masked column's table. Detectors protect no column from being compared. */
function touchesMasked(statement: Statement, masks: MaskRules | undefined): boolean {
  if (masks === undefined || masks.columns.length === 0) return false;
  if (statement.masks.kind !== 'clear') return true;
  return statement.facts.tables.some(({ name }) =>
    masks.columns.some(({ column }) => column.startsWith(`${name}.`)),
  );
}

/**
 * The plan, or why there is none; never rejects. `query` is a side connection's that was started with
 * `EVIDENCE_SETTINGS`; several may ask on it at once.
 */
export async function explain(
  statement: Statement,
  parameters: readonly EvidenceParameter[],
  context: EvidenceContext,
  query: CatalogQuery,
  limits: EvidenceLimits = EVIDENCE_LIMITS,
): Promise<Evidence> {
  const reason = refusal(statement, parameters, context, limits);
  if (reason !== undefined) return none(reason);
  try {
    const json =
      statement.parameterCount === 0
        ? await plain(statement.facts.text, context, query, limits)
        : await prepared(statement, parameters, context, query, limits);
    if (json === undefined) return none('it has parameters of types that are not PostgreSQL’s own');
    const plan = readPlan(json);
    if (plan === undefined || plan.text.length > MAX_PLAN)
      return none('its plan is too big to be shown whole');
    return { kind: 'plan', ...plan };
  } catch {
    // The server's own words may quote what a statement is about; that it did not plan is all an approver needs.
    return none('the server gave no plan for it within its limits');
  }
}

const MAX_PLAN = 60_000;

function none(reason: string): Evidence {
  return { kind: 'none', reason };
}

async function plain(
  text: string,
  context: EvidenceContext,
  query: CatalogQuery,
  limits: EvidenceLimits,
): Promise<string> {
  const rows = await query(
    `${settings(context, limits)};\nEXPLAIN (FORMAT JSON, VERBOSE) ${text}\n;\nROLLBACK`,
  );
  return planRow(rows);
}

/**
 * The values are the operation's own, so the estimate is of this very execution. Undefined: not without user code.
 * A prepared statement outlives its transaction, so it is dropped in any case.
 */
async function prepared(
  statement: Statement,
  parameters: readonly EvidenceParameter[],
  context: EvidenceContext,
  query: CatalogQuery,
  limits: EvidenceLimits,
): Promise<string | undefined> {
  const used = parameters.slice(0, statement.parameterCount);
  const inside = settings(context, limits);
  // Others may ask on the same connection in between.
  const name = `sidewarden_evidence_${randomBytes(8).toString('hex')}`;
  const types = await typeNames(used, query);
  try {
    const preparing = `PREPARE ${name}(${types.join(', ')}) AS ${statement.facts.text}`;
    if (!(await prepare(name, `${inside};\n${preparing}\n`, query))) return undefined;
    const values = used.map(({ value }) => (value === null ? 'NULL' : textLiteral(value)));
    const execute = `EXECUTE ${name}(${values.join(', ')})`;
    return planRow(await query(`${inside};\nEXPLAIN (FORMAT JSON, VERBOSE) ${execute};\nROLLBACK`));
  } finally {
    await query(`DEALLOCATE ${name}`).catch(() => []);
  }
}

/** Whether all parameters are of PostgreSQL's own types: reading a value of a domain would run the domain's checks. */
async function prepare(name: string, text: string, query: CatalogQuery): Promise<boolean> {
  const rows = await query(
    `${text};
SELECT 'types', pg_catalog.array_to_json(parameter_types::pg_catalog.oid[]::pg_catalog.int8[])
FROM pg_catalog.pg_prepared_statements p WHERE p.name OPERATOR(pg_catalog.=) '${name}'`,
  );
  const oids: unknown = JSON.parse(rows.find((row) => row[0] === 'types')?.[1] ?? 'null');
  return Array.isArray(oids) && oids.every((oid) => typeof oid === 'number' && oid < FIRST_USER_OID);
}

/** All in one text, and so in one transaction that ends with it, whatever happens. */
function settings(context: EvidenceContext, limits: EvidenceLimits): string {
  const path = context.searchPath
    .filter((schema) => !schema.startsWith('pg_temp'))
    .map((schema) => `"${schema.replaceAll('"', '""')}"`)
    .join(', ');
  const values = {
    ...PLANNER,
    plan_cache_mode: 'force_custom_plan',
    statement_timeout: String(limits.statementTimeout),
    lock_timeout: String(limits.lockTimeout),
    search_path: path,
    role: context.role,
  };
  const calls = Object.entries(values).map(
    ([name, value]) => `pg_catalog.set_config('${name}', ${textLiteral(value)}, true)`,
  );
  return `SET TRANSACTION READ ONLY;\nSELECT 'settings', ${calls.join(', ')}`;
}

async function typeNames(
  parameters: readonly EvidenceParameter[],
  query: CatalogQuery,
): Promise<readonly string[]> {
  const oids = parameters.map(({ type }) => (Number.isInteger(type) && type > 0 ? type : 705));
  const known = [...new Set(oids)];
  const rows = await query(
    `SELECT t.oid, pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t
     WHERE t.oid OPERATOR(pg_catalog.=) ANY ('{${known.join(',')}}'::pg_catalog.oid[])`,
  );
  const names = new Map(rows.map(([oid, name]) => [Number(oid), name ?? 'unknown']));
  return oids.map((oid) => names.get(oid) ?? 'unknown');
}

function planRow(rows: readonly (readonly (string | null)[])[]): string {
  const row = rows.find((candidate) => candidate.length === 1);
  return row?.[0] ?? '';
}
