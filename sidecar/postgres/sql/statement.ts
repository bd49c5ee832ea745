/** What an analysed text is: the contract between SQL analysis and the session. */
import type { FieldMask } from '../../mask/mask.ts';
import type { SqlStatementFacts } from '../../operation.ts';
import type { CatalogNeed } from '../catalog/relation.ts';

/**
 * How the answer of a statement is masked. `refused` is final: an oracle, a derivation that could leak.
 * `untraceable` may still be approved by a person, and then comes back with every column redacted.
 */
export type MaskOutcome =
  /** No protected column is involved. */
  | { readonly kind: 'clear' }
  /** One entry an output column, in order. */
  | { readonly kind: 'columns'; readonly fields: readonly FieldMask[] }
  | { readonly kind: 'untraceable'; readonly reason: string; readonly hint: string }
  | { readonly kind: 'refused'; readonly reason: string; readonly hint: string };

/** What the session must keep track of when this statement succeeds. */
export type SessionEffect =
  | { readonly kind: 'none' }
  | { readonly kind: 'begin' }
  | { readonly kind: 'commit'; readonly chain: boolean }
  | { readonly kind: 'rollback'; readonly chain: boolean }
  | { readonly kind: 'savepoint' | 'release' | 'rollback-to'; readonly name: string }
  | { readonly kind: 'prepare-transaction' }
  /** SET or set_config(..., constant): null value is RESET / DEFAULT. `name` in lower case, `ALL` for RESET ALL. */
  | {
      readonly kind: 'set';
      readonly name: string;
      readonly value: readonly string[] | null;
      readonly local: boolean;
    }
  | { readonly kind: 'set-role'; readonly role: string | null; readonly session: boolean }
  | { readonly kind: 'discard'; readonly what: 'ALL' | 'PLANS' | 'SEQUENCES' | 'TEMP' }
  | { readonly kind: 'listen' | 'unlisten' }
  /** SQL-level PREPARE: `statement` is that which EXECUTE will run. */
  | { readonly kind: 'prepare'; readonly name: string; readonly statement: Statement }
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'declare'; readonly name: string; readonly hold: boolean; readonly masks: MaskOutcome }
  | { readonly kind: 'close-cursor'; readonly name: string | null }
  /** COPY … FROM STDIN or TO STDOUT. */
  | { readonly kind: 'copy-in' }
  | {
      readonly kind: 'copy-out';
      readonly options: CopyOptions;
      /** Oids of the columns' types where they are a table's own. */
      readonly types?: readonly number[];
    };

export interface CopyOptions {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  readonly null: string;
  readonly quote: string;
  readonly escape: string;
  readonly header: boolean;
}

/** One statement of a text, analysed under one catalog version, search_path and set of masks. */
export interface Statement {
  readonly facts: SqlStatementFacts;
  readonly masks: MaskOutcome;
  readonly session: SessionEffect;
  /** The catalog may be another after it (DDL, opaque). */
  readonly changesCatalog: boolean;
  /** Settings (search_path, role, …) may be others after it and must be read again: opaque, SET of them by function, ROLLBACK. */
  readonly changesSettings: boolean;
  /** EXPLAIN of it is safe and bounded: plain SELECT/INSERT/UPDATE/DELETE/MERGE that calls only listed functions. */
  readonly explainable: boolean;
  /** Number of the highest `$n` in it. */
  readonly parameterCount: number;
  /** Reads or changes a relation with protected columns, itself or by a view, a partition or a child: the server's errors may show its rows. */
  readonly nearProtected?: boolean;
  /** Returns rows (of its own; EXECUTE and FETCH as what they run). */
  readonly returnsRows: boolean;
}

/** What SQL-level names of this session stand for, while a text is analysed. */
export interface SessionNames {
  preparedStatement(name: string): Statement | undefined;
  cursor(name: string): { readonly masks: MaskOutcome } | undefined;
}

export type Analysis =
  | { readonly kind: 'parsed'; readonly statements: readonly Statement[] }
  /** The catalog must load these first; then analyse again. */
  | { readonly kind: 'needs'; readonly needs: readonly CatalogNeed[] }
  /** PostgreSQL's grammar refused the text; `position` is 1-based, in characters, 0 when unknown. */
  | { readonly kind: 'unparseable'; readonly message: string; readonly position: number };
