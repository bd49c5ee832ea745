/** What a statement is, beside what the walk has found in it. */
import type { MaskOutcome, SessionEffect } from './statement.ts';
import type { Result } from './select.ts';

export interface Meaning {
  /** PostgreSQL's command tag. */
  readonly verb: string;
  /** Of statements that return rows: their columns, as far as known. */
  readonly result?: Result;
  readonly session?: SessionEffect;
  readonly changesCatalog?: boolean;
  readonly changesSettings?: boolean;
  /** Decided already, as by the prepared statement that is executed. */
  readonly masks?: MaskOutcome;
  readonly returnsRows?: boolean;
  readonly hasWhere?: boolean;
  readonly explainable?: boolean;
  readonly parameterCount?: number;
}

/** Rows whose columns hold nothing of tables. */
export const HARMLESS_ROWS: Result = { columns: [], open: false };
