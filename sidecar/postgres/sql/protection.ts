/** Which columns of a relation are protected: by their own mask, or those of what it inherits from, holds or computes. */
import type { FieldMask, Mask, MaskRules } from '../../mask/mask.ts';
import type { CatalogNeed, CatalogView, Relation } from '../catalog/relation.ts';
import { REDACTED } from './value.ts';

/** Protected columns by name. */
export type ProtectedColumns = ReadonlyMap<string, FieldMask>;

const NONE: ProtectedColumns = new Map();

/** How many pages a table fills: by them its values tell their lengths. */
const PAGES = ['relpages', 'relallvisible', 'relallfrozen'].map((name) => `pg_catalog.pg_class.${name}`);

const byRules = new WeakMap<MaskRules, Protection>();

export class Protection {
  readonly active: boolean;
  /** By `schema.table.column`. */
  readonly #masks = new Map<string, FieldMask>();
  #known = new WeakMap<Relation, { readonly version: number; readonly columns: ProtectedColumns }>();

  private constructor(rules: MaskRules) {
    this.active = rules.columns.length > 0;
    for (const { column, mask } of rules.columns) {
      const before = this.#masks.get(column);
      this.#masks.set(column, before === undefined ? field(mask) : REDACTED);
    }
    if (this.active) for (const column of PAGES) this.#masks.set(column, REDACTED);
  }

  /** The same for the same rules, so that what was found out is kept. */
  static of(rules: MaskRules): Protection {
    let protection = byRules.get(rules);
    if (protection === undefined) {
      protection = new Protection(rules);
      byRules.set(rules, protection);
    }
    return protection;
  }

  /** Whether columns of a relation, or of one in a schema, are named by a mask: `schema.table` or `schema`. */
  inSchema(schema: string): boolean {
    for (const column of this.#masks.keys()) if (column.startsWith(`${schema}.`)) return true;
    return false;
  }

  /** Pushes what the catalog has not loaded yet to `needs`. */
  columns(relation: Relation, catalog: CatalogView, needs: CatalogNeed[]): ProtectedColumns {
    if (!this.active) return NONE;
    const known = this.#known.get(relation);
    if (known?.version === catalog.version) return known.columns;
    const before = needs.length;
    const columns = new Map<string, FieldMask>();
    for (const kin of family(relation, catalog, needs)) this.#own(kin, columns);
    generated(relation, columns);
    const own = new Set(relation.columns.map(({ name }) => name));
    for (const name of columns.keys()) if (!own.has(name)) columns.delete(name);
    if (needs.length === before) this.#known.set(relation, { version: catalog.version, columns });
    return columns;
  }

  #own(relation: Relation, columns: Map<string, FieldMask>): void {
    const prefix = `${relation.schema}.${relation.name}.`;
    for (const { name } of relation.columns) {
      const mask = this.#masks.get(prefix + name);
      if (mask === undefined) continue;
      const before = columns.get(name);
      columns.set(name, before === undefined || before === mask ? mask : REDACTED);
    }
    generated(relation, columns);
  }
}

function field(mask: Mask): FieldMask {
  return { kind: 'value', mask };
}

/** Columns computed from protected ones, in as many steps as it takes. */
function generated(relation: Relation, columns: Map<string, FieldMask>): void {
  if (columns.size === 0) return;
  const names = new Map(relation.columns.map(({ number, name }) => [number, name]));
  for (let grown = true; grown;) {
    grown = false;
    for (const { name, generatedFrom } of relation.columns) {
      if (columns.has(name) || !generatedFrom.some((number) => columns.has(names.get(number) ?? '')))
        continue;
      columns.set(name, REDACTED);
      grown = true;
    }
  }
}

/**
 * The relation, all below it, and all above any of those: a row of a child is a row of each parent too, and a mask on
 * a parent's column means the children's.
 */
function family(relation: Relation, catalog: CatalogView, needs: CatalogNeed[]): Iterable<Relation> {
  if (relation.children.length === 0 && relation.parents.length === 0) return [relation];
  const below = closure([relation], ({ children }) => children, catalog, needs);
  return closure(below, ({ parents }) => parents, catalog, needs);
}

function closure(
  start: Iterable<Relation>,
  next: (relation: Relation) => readonly number[],
  catalog: CatalogView,
  needs: CatalogNeed[],
): readonly Relation[] {
  const found = new Map<number, Relation>();
  const open = [...start];
  for (let relation = open.pop(); relation; relation = open.pop()) {
    if (found.has(relation.oid)) continue;
    found.set(relation.oid, relation);
    for (const oid of next(relation)) {
      const kin = catalog.relationByOid(oid);
      if (kin === undefined) needs.push({ kind: 'relation-oid', oid });
      else if (kin !== null) open.push(kin);
    }
  }
  return [...found.values()];
}

/** All partitions and inheriting relations of one, in all generations. */
export function descendants(
  relation: Relation,
  catalog: CatalogView,
  needs: CatalogNeed[],
): readonly Relation[] {
  if (relation.children.length === 0) return [];
  return closure([relation], ({ children }) => children, catalog, needs).filter(
    ({ oid }) => oid !== relation.oid,
  );
}

/** What it inherits from or is a partition of, in all generations. */
export function ancestors(
  relation: Relation,
  catalog: CatalogView,
  needs: CatalogNeed[],
): readonly Relation[] {
  if (relation.parents.length === 0) return [];
  return closure([relation], ({ parents }) => parents, catalog, needs).filter(
    ({ oid }) => oid !== relation.oid,
  );
}
