/** What names mean at a place in a statement: the FROM items of its query level and of those around it, and the CTEs. */
import type { Relation } from '../catalog/relation.ts';
import { type Output, PARTIAL, type Value, clear, derived, eitherFlow, rowFlow } from './value.ts';
import type { Walk } from './walk.ts';

export interface ScopeColumn extends Output {
  /** `schema.table` when it is a relation's own column. */
  readonly table: string | null;
  /** Its name there, when an alias gave it another. */
  readonly origin?: string;
  /** Casts of its type run others' functions, and need not be written to happen. */
  readonly converted?: boolean;
}

export interface RangeEntry {
  readonly name: string;
  /** Of a relation that was not given an alias. */
  readonly schema: string | null;
  readonly columns: readonly ScopeColumn[];
  /** There may be more columns than those, or it is not known which. */
  readonly open: boolean;
  readonly relation: Relation | null;
}

export interface CommonTable {
  readonly name: string;
  /** Analyses its query when that is not done yet. */
  outputs(): { readonly columns: readonly Output[]; readonly open: boolean };
}

export interface CommonTables {
  readonly tables: ReadonlyMap<string, CommonTable>;
  readonly parent: CommonTables | null;
}

export interface Scope {
  readonly parent: Scope | null;
  ctes: CommonTables | null;
  entries: RangeEntry[];
  /** What `*` stands for. */
  star: { readonly columns: readonly ScopeColumn[]; readonly open: boolean };
  /** Its rows are those of one relation, each once. */
  single: boolean;
}

const NO_COLUMNS = { columns: [], open: false };

export function childScope(parent: Scope | null, ctes: CommonTables | null): Scope {
  return { parent, ctes, entries: [], star: NO_COLUMNS, single: false };
}

const SYSTEM_COLUMNS = new Map([
  ['ctid', 27],
  ['xmin', 28],
  ['xmax', 28],
  ['cmin', 29],
  ['cmax', 29],
  ['tableoid', 26],
]);

export function findCommonTable(ctes: CommonTables | null, name: string): CommonTable | null {
  for (let level = ctes; level; level = level.parent) {
    const table = level.tables.get(name);
    if (table) return table;
  }
  return null;
}

export function mark(walk: Walk, { table, name, origin, converted }: ScopeColumn): void {
  if (converted === true) walk.opaque(`casts of the type of ${origin ?? name}`);
  if (table !== null) walk.column(table, origin ?? name, 'read');
}

/** Marks a column as read and gives its value. */
export function readColumn(walk: Walk, column: ScopeColumn): Value {
  mark(walk, column);
  return {
    flow: column.flow,
    type: column.type,
    total: column.total,
    constant: false,
    row: column.row ?? null,
  };
}

export function rowValue(walk: Walk, entry: RangeEntry): Value {
  for (const column of entry.columns) mark(walk, column);
  if (entry.open && walk.masked && rowFlow(entry.columns))
    walk.lost(`the columns of ${entry.name} are not known`);
  const total = entry.columns.every((column) => column.total);
  return {
    flow: rowFlow(entry.columns),
    type: 0,
    total,
    constant: false,
    row: entry.open ? null : entry.columns,
  };
}

function sameLevel(walk: Walk, scope: Scope, name: string): Value | null {
  let found: Value | null = null;
  for (const { columns } of scope.entries) {
    for (const column of columns) {
      if (column.name !== name) continue;
      const value = readColumn(walk, column);
      found =
        found === null
          ? value
          : {
              flow: eitherFlow(found.flow, value.flow),
              type: found.type === value.type ? value.type : 0,
              total: found.total && value.total,
              constant: false,
              row: found.row ?? value.row,
            };
    }
  }
  return found;
}

/** An unqualified name: a column of this level or one around it, else a row; null when there is neither. */
export function lookup(walk: Walk, scope: Scope, name: string): Value | null {
  let open = false;
  for (let level: Scope | null = scope; level; level = level.parent) {
    const value = sameLevel(walk, level, name);
    if (value) return value;
    const system = systemColumn(level, name);
    if (system) return system;
    open ||= level.entries.some((entry) => entry.open);
  }
  const entry = findEntry(scope, null, name);
  if (entry) return rowValue(walk, entry);
  return open ? PARTIAL : null;
}

function systemColumn(level: Scope, name: string): Value | null {
  const type = SYSTEM_COLUMNS.get(name);
  if (type === undefined) return null;
  const owners = level.entries.filter(({ relation }) => relation !== null);
  const [owner] = owners;
  return owner === undefined ? null : systemValue(owners.find(isProtected) ?? owner, name, type);
}

const isProtected = ({ columns }: RangeEntry): boolean => columns.some(({ flow }) => flow !== null);

/** Where a row is tells how long it and its neighbours are. */
function systemValue(entry: RangeEntry, name: string, type: number): Value {
  if (name !== 'ctid' || !isProtected(entry)) return clear(type, true);
  return derived(`${entry.columns[0]?.table ?? entry.name}.ctid`, 1, type);
}

export function findEntry(scope: Scope, schema: string | null, name: string): RangeEntry | null {
  for (let level: Scope | null = scope; level; level = level.parent) {
    for (const entry of level.entries) {
      if (entry.name === name && (schema === null || entry.schema === schema)) return entry;
    }
  }
  return null;
}

/** A column of one entry; null when it has none of that name. */
export function lookupIn(walk: Walk, entry: RangeEntry, name: string): Value | null {
  const column = entry.columns.find((candidate) => candidate.name === name);
  if (column) return readColumn(walk, column);
  const system = entry.relation ? SYSTEM_COLUMNS.get(name) : undefined;
  if (system !== undefined) return systemValue(entry, name, system);
  return entry.open ? PARTIAL : null;
}
