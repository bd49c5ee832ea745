/** Relations as they are named in statements: resolved, with what using them brings along. */
import { isDeepStrictEqual } from 'node:util';
import type { RangeVar } from '@pgsql/types';
import type { Access } from '../../operation.ts';
import type { Column, Relation } from '../catalog/relation.ts';
import { valueCarryingRelation } from '../catalog/value-carrying.ts';
import { ancestors, descendants, type ProtectedColumns } from './protection.ts';
import type { ScopeColumn } from './scope.ts';
import { type Flow, type Output, REDACTED } from './value.ts';
import { followView } from './view.ts';
import { type Walk, relationName } from './walk.ts';

/** Null: it does not exist, or is not known (then that is noted). */
export function resolveRelation(walk: Walk, schema: string | null, name: string): Relation | null {
  const { changed } = walk;
  if (changed.everything || changed.names.has(name) || (schema === null && changed.path)) {
    walk.opaque(`the table ${name}, which an earlier statement of the same text may have changed,`);
    return null;
  }
  const relation = findRelation(walk, schema, name);
  // What is changed of a table is changed of those that inherit from it.
  const above = relation && changed.names.size > 0 ? ancestors(relation, walk.catalog, walk.needs) : [];
  if (above.some((other) => changed.names.has(other.name))) {
    walk.opaque(`the table ${name}, which an earlier statement of the same text may have changed,`);
    return null;
  }
  if (relation !== undefined) return relation;
  walk.need({ kind: 'relation', schema, name });
  return null;
}

function findRelation(walk: Walk, schema: string | null, name: string): Relation | null | undefined {
  if (schema !== null || !walk.definition) return walk.catalog.relation(schema, name);
  // A view's definition leaves schemas away only where they are pg_catalog, or of temporary relations.
  const builtin = walk.catalog.relation('pg_catalog', name);
  if (builtin === undefined) walk.need({ kind: 'relation', schema: 'pg_catalog', name });
  return builtin ?? walk.catalog.relation(null, name);
}

export interface Used {
  readonly relation: Relation | null;
  readonly columns: readonly ScopeColumn[];
  readonly open: boolean;
}

const MISSING: Used = { relation: null, columns: [], open: true };

/** A relation named by the text, read or changed: its facts are noted, and its columns given. */
export function useRelation(walk: Walk, variable: RangeVar, access: Access): Used {
  walk.seen.add(variable);
  const name = variable.relname ?? '';
  const relation = resolveRelation(walk, variable.schemaname ?? null, name);
  if (relation === null) {
    walk.table(`?.${name}`, access, false);
    return MISSING;
  }
  const shadowed = variable.schemaname === undefined ? shadowedBy(walk, name) : [];
  return touchRelation(walk, relation, access, variable.inh === true, shadowed);
}

/** Between now and the server's own look another session may drop or rename what the name means. */
export function shadowedBy(walk: Walk, name: string): readonly Relation[] {
  if (walk.definition) return [];
  const shadowed = walk.catalog.shadowed(name);
  if (shadowed === undefined) walk.need({ kind: 'relation', schema: null, name });
  return shadowed ?? [];
}

/** `shadowed`: relations that the name means when this one is gone; what holds for them holds for it. */
export function touchRelation(
  walk: Walk,
  relation: Relation,
  access: Access,
  inherits: boolean,
  shadowed: readonly Relation[] = [],
): Used {
  walk.table(relationName(relation), access, false);
  for (const other of shadowed) walk.table(relationName(other), access, true);
  walk.relations.set(relation, access);
  if (relation.schema === 'pg_toast') walk.opaque('a table of values too long for their own');
  noteCode(walk, relation, access);
  if (inherits && relation.children.length > 0) touchDescendants(walk, relation, access);
  const columns = protectedColumns(walk, [relation, ...shadowed]);
  if (walk.masked) closeChannels(walk, relation, columns);
  return { relation, columns: relationColumns(walk, relation, columns, access), open: false };
}

/** Of the first, with those of the others. */
function protectedColumns(walk: Walk, [relation, ...shadowed]: readonly Relation[]): ProtectedColumns {
  const own = relation && walk.protection.columns(relation, walk.catalog, walk.needs);
  if (own === undefined || shadowed.length === 0 || !walk.masked) return own ?? new Map();
  const all = new Map(own);
  for (const other of shadowed)
    for (const [name, mask] of walk.protection.columns(other, walk.catalog, walk.needs)) {
      const known = all.get(name);
      if (relation?.columns.some((column) => column.name === name) === true)
        all.set(name, known === undefined || isDeepStrictEqual(known, mask) ? mask : REDACTED);
    }
  return all;
}

const EVENTS = { write: ['INSERT', 'UPDATE'], delete: ['DELETE', 'TRUNCATE'] } as const;

/** Views over functions that read the server's files. */
const SHOWS_FILES = new Set(
  ['pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_file_settings', 'pg_config'].map(
    (name) => `pg_catalog.${name}`,
  ),
);

/** Rules, policies and triggers run with the statement. */
export function noteCode(walk: Walk, relation: Relation, access: Access): void {
  if (access === 'ddl' || access === 'privilege') return;
  if (access !== 'read' && relation.schema === 'pg_catalog') {
    walk.effect('administer');
    walk.opaque('a change of the catalog itself');
  }
  const name = relationName(relation);
  if (access === 'read' && SHOWS_FILES.has(name)) walk.effect('administer');
  if (relation.rowSecurity) walk.opaque(`a row security policy of ${name}`);
  // A rule on SELECT is a view's definition; others wait for changes.
  if (access === 'read') return;
  if (relation.rules) walk.opaque(`a rule of ${name}`);
  if (relation.runsCodeOnWrite === true && access === 'write')
    walk.opaque(`the defaults or checks of ${name}`);
  const events: readonly string[] = EVENTS[access];
  if (relation.triggers.some((event) => events.includes(event))) walk.opaque(`a trigger of ${name}`);
}

function touchDescendants(walk: Walk, relation: Relation, access: Access): void {
  for (const child of descendants(relation, walk.catalog, walk.needs)) {
    walk.table(relationName(child), access, true);
    if (access !== 'read') noteCode(walk, child, access);
  }
}

/** Ways by which values come out other than by the columns. */
function closeChannels(walk: Walk, relation: Relation, columns: ProtectedColumns): void {
  if (valueCarryingRelation(relation.schema, relation.name)) {
    walk.refuse(
      `${relationName(relation)} gives out values that may be protected`,
      'select from the tables themselves',
    );
  }
  if (columns.size === 0) return;
  if (relation.schema !== 'pg_catalog') walk.touched ??= relationName(relation);
  for (const kin of [relation, ...ancestors(relation, walk.catalog, walk.needs)]) {
    const key = kin.columns.find(
      ({ number, name }) => kin.partitionKey?.includes(number) === true && columns.has(name),
    );
    if (key)
      walk.refuseFlow(
        flowOf(kin, key.name, columns),
        'the partition key, which tells its values by where rows are',
      );
  }
}

function flowOf(relation: Relation, name: string, columns: ProtectedColumns): Flow {
  const mask = columns.get(name) ?? { kind: 'clear' };
  return { mask, column: `${relationName(relation)}.${name}`, plain: true, weight: 1 };
}

function relationColumns(
  walk: Walk,
  relation: Relation,
  columns: ProtectedColumns,
  access: Access,
): readonly ScopeColumn[] {
  const table = relationName(relation);
  const isView = relation.kind === 'view' || relation.kind === 'materialized-view';
  const defines = access === 'ddl' || access === 'privilege';
  const followed = isView && !defines ? followView(walk, relation, access) : null;
  return relation.columns.map((column, index) => {
    const own = columns.has(column.name) ? flowOf(relation, column.name, columns) : null;
    const inner = followed?.[index];
    return scopeColumn(table, column, own, inner ?? null);
  });
}

function scopeColumn(table: string, column: Column, own: Flow | null, inner: Output | null): ScopeColumn {
  return {
    name: column.name,
    flow: stricter(own, inner?.flow ?? null),
    type: column.type,
    total: column.generatedFrom.length === 0 && (inner?.total ?? true),
    table,
    ...(column.convertedByCode === true && { converted: true }),
  };
}

function stricter(own: Flow | null, inner: Flow | null): Flow | null {
  if (own === null || inner === null) return own ?? inner;
  return { ...inner, mask: { kind: 'value', mask: { with: 'Redact' } }, plain: false };
}
