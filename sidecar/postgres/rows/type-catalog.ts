/** Types that are not PostgreSQL's own, loaded from the server's catalog when an answer first has them. */
import { builtinTypes } from './builtin-types.ts';
import type { TypeLookup, TypeShape } from './type-shape.ts';

/** Loaded shapes of one server; types change under DDL, so it follows the catalog. */
export class TypeCatalog {
  readonly #loaded = new Map<number, TypeShape>();
  #version = 0;
  readonly lookup: TypeLookup = (oid) => builtinTypes(oid) ?? this.#loaded.get(oid);

  get version(): number {
    return this.#version;
  }

  /** Forgets what was loaded under another version of the catalog: the attributes of a row may be others. */
  follow(version: number): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#loaded.clear();
  }

  /** Types that must be loaded before these can be masked, those within them too; [] when all are known. */
  missing(oids: Iterable<number>): readonly number[] {
    const missing = new Set<number>();
    const seen = new Set<number>();
    const visit = (oid: number): void => {
      if (oid === 0 || seen.has(oid)) return;
      seen.add(oid);
      const shape = this.lookup(oid);
      if (shape === undefined) missing.add(oid);
      else for (const part of partsOf(shape)) visit(part);
    };
    for (const oid of oids) visit(oid);
    return [...missing];
  }

  /**
   * SQL that loads these types (all names qualified, no parameters); its rows go to `add`. What they are made of may be
   * missing still: ask again.
   */
  static query(oids: readonly number[]): string {
    const list = oids.filter((oid) => Number.isSafeInteger(oid) && oid > 0).join(',');
    return `SELECT t.oid, t.typtype, t.typelem, t.typdelim, t.typname, t.typbasetype, coalesce(r.rngsubtype, 0),
  coalesce(t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc, false),
  (SELECT pg_catalog.string_agg(a.atttypid::pg_catalog.text, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_range r
  ON r.rngtypid OPERATOR(pg_catalog.=) t.oid OR r.rngmultitypid OPERATOR(pg_catalog.=) t.oid
WHERE t.oid OPERATOR(pg_catalog.=) ANY ('{${list}}'::pg_catalog.oid[])`;
  }

  /** Takes the rows of `query(oids)`; types that the server does not have (any more) are opaque. */
  add(oids: readonly number[], rows: readonly (readonly (string | null)[])[]): void {
    for (const oid of oids) this.#loaded.set(oid, { kind: 'opaque' });
    for (const row of rows) {
      const oid = Number(row[0]);
      if (oids.includes(oid)) this.#loaded.set(oid, readShape(row));
    }
  }
}

function partsOf(shape: TypeShape): readonly number[] {
  switch (shape.kind) {
    case 'array':
      return [shape.element];
    case 'composite':
      return shape.attributes;
    case 'range':
    case 'multirange':
      return [shape.subtype];
    case 'domain':
      return [shape.base];
    case 'text':
    case 'json':
    case 'plain':
    case 'carrier':
    case 'bytea':
    case 'number':
    case 'inet':
    case 'record':
    case 'untyped':
    case 'opaque':
      return [];
  }
}

/** Extension types whose text and binary forms are known. */
const BY_NAME: Readonly<Record<string, TypeShape>> = {
  citext: { kind: 'text', padded: false },
  hstore: { kind: 'carrier' },
  ltree: { kind: 'carrier' },
};

function readShape(row: readonly (string | null)[]): TypeShape {
  const [, kind, element, delimiter, name, base, subtype, isArray, attributes] = row;
  switch (kind) {
    case 'b':
      if (isArray === 't') return { kind: 'array', element: Number(element), delimiter: delimiter ?? ',' };
      return BY_NAME[name ?? ''] ?? { kind: 'opaque' };
    case 'c':
      return { kind: 'composite', attributes: attributes == null ? [] : attributes.split(',').map(Number) };
    case 'd':
      return { kind: 'domain', base: Number(base) };
    case 'e':
      return { kind: 'carrier' };
    case 'r':
      return { kind: 'range', subtype: Number(subtype) };
    case 'm':
      return { kind: 'multirange', subtype: Number(subtype) };
    default:
      return { kind: 'opaque' };
  }
}
