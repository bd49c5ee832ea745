/** Relations as the catalog's rows tell them. */
import { CatalogError } from './catalog-error.ts';
import type { Column, Constraint, ReferentialAction, Relation, RelationKind } from './relation.ts';

type Row = readonly (string | null)[];

export interface Details {
  readonly relation: Relation;
  /** Equal as long as nothing that the relation tells has changed. */
  readonly version: string;
}

const MAX_RELATIONS = 50_000;

const KINDS: Readonly<Record<string, RelationKind>> = {
  r: 'table',
  p: 'partitioned',
  v: 'view',
  m: 'materialized-view',
  f: 'foreign',
  S: 'sequence',
  c: 'composite',
  i: 'index',
  I: 'index',
};

const CONSTRAINT_KINDS: Readonly<Record<string, Constraint['kind']>> = {
  p: 'primary',
  u: 'unique',
  c: 'check',
  f: 'foreign',
  x: 'exclusion',
  i: 'index-expression',
};

const ACTIONS: Readonly<Record<string, ReferentialAction>> = {
  a: 'refuse',
  r: 'refuse',
  c: 'cascade',
  n: 'set-null',
  d: 'set-default',
};

/** Bits of pg_trigger.tgtype. */
const TRIGGER_EVENTS = [
  [4, 'INSERT'],
  [16, 'UPDATE'],
  [8, 'DELETE'],
  [32, 'TRUNCATE'],
] as const;

function unexpected(what: string): CatalogError {
  return new CatalogError('unexpected-answer', `the catalog answered with ${what}`);
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw unexpected('no text where one belongs');
  return value;
}

function integer(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw unexpected('no number where one belongs');
  return value;
}

/** A JSON array, or null for an empty one. */
function list(value: string | null | undefined): readonly unknown[] {
  if (value === null || value === undefined) return [];
  return array(JSON.parse(value));
}

function array(value: unknown): readonly unknown[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw unexpected('no list where one belongs');
  return value;
}

function flag(value: string | null | undefined): boolean {
  if (value !== 't' && value !== 'f') throw unexpected('no boolean where one belongs');
  return value === 't';
}

function columns(json: string | null | undefined, generated: string | null | undefined): readonly Column[] {
  const sources = new Map<number, number[]>();
  for (const pair of list(generated)) {
    const [column, source] = array(pair).map(integer);
    if (column === undefined || source === undefined) throw unexpected('half a dependency');
    sources.set(column, [...(sources.get(column) ?? []), source]);
  }
  const all = list(json).map(array);
  const every = all.map(([number]) => integer(number));
  return all.map(([number, name, type, made, converted]) => ({
    number: integer(number),
    name: text(name),
    type: integer(type),
    generated: text(made) !== '',
    generatedFrom: expand(sources.get(integer(number)) ?? [], every).filter((source) => source !== number),
    convertedByCode: converted === true,
  }));
}

/** Column 0 is the whole row. */
function expand(numbers: readonly number[], every: readonly number[]): readonly number[] {
  return numbers.includes(0) ? every : [...new Set(numbers)].sort((a, b) => a - b);
}

function constraint(entry: unknown, every: readonly number[]): Constraint {
  const [kind, name, keys, target, targetKeys] = array(entry);
  const known = CONSTRAINT_KINDS[text(kind)];
  if (known === undefined) throw unexpected('an unknown constraint');
  const numbers = array(keys).map(integer);
  const base = { kind: known, name: text(name), columns: numbers.includes(0) ? every : numbers };
  if (known !== 'foreign') return base;
  return { ...base, references: { relation: integer(target), columns: array(targetKeys).map(integer) } };
}

function pointing(entry: unknown): Relation['referencedBy'][number] {
  const [relation, keys, referenced, onDelete, onUpdate] = array(entry);
  return {
    relation: integer(relation),
    columns: array(keys).map(integer),
    referenced: array(referenced).map(integer),
    onDelete: ACTIONS[text(onDelete)] ?? 'cascade',
    onUpdate: ACTIONS[text(onUpdate)] ?? 'cascade',
  };
}

/** `shared` keeps equal lists of columns once: the partitions of one table have the same. */
function details(row: Row, shared: Map<string, readonly Column[]>): Details {
  const [, oid, schema, name, kind, temporary, columnsJson, generated, parents, children, definition] = row;
  const [triggers, rules, rowSecurity, constraints, indexes, referencedBy, ...rest] = row.slice(11);
  const [runsCode, partitionKey, version] = rest;
  const key = `${columnsJson ?? ''} ${generated ?? ''}`;
  const own = shared.get(key) ?? columns(columnsJson, generated);
  shared.set(key, own);
  const every = own.map(({ number }) => number);
  const bits = Number(triggers ?? 0);
  const relation: Relation = {
    oid: integer(Number(oid)),
    schema: text(schema),
    name: text(name),
    kind: KINDS[text(kind)] ?? 'other',
    temporary: flag(temporary),
    columns: own,
    partitionKey: list(partitionKey).map(integer),
    parents: list(parents).map(integer),
    children: list(children).map(integer),
    definition: definition ?? null,
    triggers: TRIGGER_EVENTS.filter(([bit]) => (bits & bit) !== 0).map(([, event]) => event),
    rules: flag(rules),
    runsCodeOnWrite: flag(runsCode),
    rowSecurity: flag(rowSecurity),
    constraints: [...list(constraints), ...list(indexes)].map((entry) => constraint(entry, every)),
    referencedBy: list(referencedBy).map(pointing),
  };
  return { relation, version: text(version) };
}

/** All relations in the answer to `detailsQuery`. Throws `unexpected-answer` or `too-many`. */
export function readDetails(rows: readonly Row[]): readonly Details[] {
  if (rows.length > MAX_RELATIONS) throw new CatalogError('too-many', 'too many partitions and views');
  const [first, last] = [rows[0], rows.at(-1)];
  if (first?.[0] !== 'path' || last?.[0] !== 'path' || rows.length < 2) {
    throw unexpected('the rows of one statement, not of all');
  }
  const shared = new Map<string, readonly Column[]>();
  return rows.slice(1, -1).map((row) => {
    if (row[0] !== 'relation') throw unexpected('a row of another kind');
    return details(row, shared);
  });
}
