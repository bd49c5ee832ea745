/** What the analysis knows of the database: plain data read from PostgreSQL's catalog. */
import type { Volatility } from '../../operation.ts';

export interface Column {
  readonly number: number;
  readonly name: string;
  readonly type: number;
  /** Computed, stored or not: COPY of the whole table leaves it out. Absent means not known. */
  readonly generated?: boolean;
  /** Other columns that a generated column is computed from, by number. */
  readonly generatedFrom: readonly number[];
  /** Casts of its type, implicit ones too, run functions that are not PostgreSQL's own. */
  readonly convertedByCode?: boolean;
}

export type ReferentialAction = 'refuse' | 'cascade' | 'set-null' | 'set-default';

export interface Constraint {
  readonly kind: 'primary' | 'unique' | 'check' | 'foreign' | 'exclusion' | 'index-expression';
  readonly name: string;
  /** Columns of this relation, by number. */
  readonly columns: readonly number[];
  /** Of a foreign key: what it points at. */
  readonly references?: { readonly relation: number; readonly columns: readonly number[] };
}

export type RelationKind =
  | 'table'
  | 'partitioned'
  | 'view'
  | 'materialized-view'
  | 'foreign'
  | 'sequence'
  | 'composite'
  | 'index'
  | 'other';

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
  readonly temporary: boolean;
  readonly columns: readonly Column[];
  /** Columns that decide, themselves or in an expression, in which partition a row is, by number. */
  readonly partitionKey?: readonly number[];
  /** Oids of what it inherits from or is a partition of, direct only. */
  readonly parents: readonly number[];
  /** Oids of partitions and inheriting tables, direct only. */
  readonly children: readonly number[];
  /** Of views: `pg_get_viewdef`, deparsed under an empty search_path so that every name is qualified. */
  readonly definition: string | null;
  /** Which statements fire a trigger on it (foreign keys' own system triggers left out). */
  readonly triggers: readonly ('INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE')[];
  /** It has a rewrite rule other than a view's own. */
  readonly rules: boolean;
  /**
   * Writing to it runs functions that are not PostgreSQL's own, beside triggers: in defaults, generated columns, checks,
   * computed indexes, partition keys, domains of its columns. Immutable and stable ones in C do not count.
   */
  readonly runsCodeOnWrite?: boolean;
  /** It has row security policies, whose expressions run with each query. */
  readonly rowSecurity: boolean;
  readonly constraints: readonly Constraint[];
  /** Foreign keys of other relations that point here. */
  readonly referencedBy: readonly {
    readonly relation: number;
    readonly columns: readonly number[];
    readonly referenced: readonly number[];
    /** What a DELETE or a change of the key here does over there. */
    readonly onDelete?: ReferentialAction;
    readonly onUpdate?: ReferentialAction;
  }[];
}

export interface FunctionInfo {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window';
  readonly volatility: Volatility;
  readonly language: string;
  /** Brought by an extension, and nothing but a function of its arguments. */
  readonly computes?: boolean;
}

/** Something that the analysis must know before it can finish. */
export type CatalogNeed =
  | { readonly kind: 'relation'; readonly schema: string | null; readonly name: string }
  | { readonly kind: 'relation-oid'; readonly oid: number }
  | { readonly kind: 'function'; readonly schema: string | null; readonly name: string }
  | { readonly kind: 'type'; readonly schema: string | null; readonly name: string }
  | { readonly kind: 'operator'; readonly name: string };

/**
 * The catalog as seen under one search_path. `undefined` means not loaded yet: name it in `needs` and come again;
 * `null` means that it is known not to exist.
 */
export interface CatalogView {
  /** Grows with each change that was noticed; analyses of another version are void. */
  readonly version: number;
  /** By name; with a null schema along the search_path (pg_temp and pg_catalog as PostgreSQL orders them). */
  relation(schema: string | null, name: string): Relation | null | undefined;
  relationByOid(oid: number): Relation | null | undefined;
  /**
   * What a name without a schema would mean were the relation that it means gone: those of the same name further along the path. None
   * of what is pg_catalog's, nor of a temporary relation, which only this session can drop.
   */
  shadowed(name: string): readonly Relation[] | undefined;
  /** User-defined candidates, outside pg_catalog, that a call by this name could mean: all overloads, [] when none. */
  userFunctions(schema: string | null, name: string): readonly FunctionInfo[] | undefined;
  /** Whether an operator outside pg_catalog has this name (in any schema of the path, or anywhere when qualified). */
  hasUserOperator(name: string): boolean | undefined;
  /** A type outside pg_catalog by name: its kind decides whether casts to it can run user code. */
  userType(
    schema: string | null,
    name: string,
  ):
    | {
        readonly oid: number;
        readonly schema: string;
        readonly kind: 'base' | 'composite' | 'domain' | 'enum' | 'range' | 'multirange' | 'pseudo';
        /** Making a value of it may run functions that are not PostgreSQL's own: casts, checks of domains in it. */
        readonly runsCode?: boolean;
      }
    | null
    | undefined;
}

/** Runs one SQL text on the server by the simple protocol and gives all rows, values in text form. */
export type CatalogQuery = (sql: string) => Promise<readonly (readonly (string | null)[])[]>;
