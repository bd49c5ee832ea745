/** One execution of one statement: what was permitted, how its answer is masked, and what of it is recorded. */
import type { FieldMask } from '../mask/mask.ts';
import type { Denial } from '../operation.ts';
import type { RecordedColumn } from '../record/event.ts';
import type { FieldDescription } from './wire/backend.ts';
import type { RowMasker } from './rows/row-masker.ts';
import type { CopyMasker } from './rows/copy-masker.ts';
import type { Statement } from './sql/statement.ts';

/** What a recording keeps of one statement's rows, beyond which they are counted. */
export interface RowBudget {
  readonly rows: number;
  readonly bytes: number;
}

/** How rows are let out: as they are, through a masker, or not at all since the layout has not been seen. */
export type Layout =
  | { readonly kind: 'unknown' }
  /** It cannot be masked: no row goes out. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'clear'; readonly fields: readonly FieldDescription[] }
  | { readonly kind: 'masked'; readonly fields: readonly FieldDescription[]; readonly masker: RowMasker };

export class Run {
  /** The operation's number in the recording. */
  readonly number: number;
  readonly statement: Statement;
  /** One entry an output column; undefined when nothing is protected. */
  readonly masks: readonly FieldMask[] | 'all' | undefined;
  /** The server's messages about it may hold protected values. */
  readonly withheld: boolean;
  layout: Layout = { kind: 'unknown' };
  /** It was sent, and counts among those that change what later ones mean. */
  pending = false;
  copyMasker: CopyMasker | undefined;
  /** Rows and bytes that the client got, or sent by COPY. */
  rows = 0;
  /** Values that masks changed on their way out. */
  masked = 0;
  bytes = 0;
  recordedRows = 0;
  #budgetRows: number;
  #budgetBytes: number;
  #pending: (readonly (string | null)[])[] = [];

  constructor(
    number: number,
    statement: Statement,
    masks: readonly FieldMask[] | 'all' | undefined,
    withheld: boolean,
    budget: RowBudget,
  ) {
    this.number = number;
    this.statement = statement;
    this.masks = masks;
    this.withheld = withheld;
    this.#budgetRows = budget.rows;
    this.#budgetBytes = budget.bytes;
  }

  /** Whether the recording still has room for a row of so many bytes. */
  wants(bytes: number): boolean {
    if (this.#budgetRows <= 0 || this.#budgetBytes < bytes) {
      this.#budgetRows = 0;
      return false;
    }
    return true;
  }

  keep(row: readonly (string | null)[], bytes: number): void {
    this.#budgetRows -= 1;
    this.#budgetBytes -= bytes;
    this.recordedRows += 1;
    this.#pending.push(row);
  }

  /** Bytes of COPY data that the recording still takes, of so many. */
  take(bytes: number): number {
    const taken = Math.min(bytes, Math.max(0, this.#budgetBytes));
    this.#budgetBytes -= taken;
    return taken;
  }

  /** Rows kept since the last call. */
  kept(): readonly (readonly (string | null)[])[] {
    if (this.#pending.length === 0) return this.#pending;
    const rows = this.#pending;
    this.#pending = [];
    return rows;
  }
}

const columnsOf = new WeakMap<readonly FieldDescription[], readonly RecordedColumn[]>();

/** The layout for the recording; the same object for the same fields. */
export function recordedColumns(fields: readonly FieldDescription[]): readonly RecordedColumn[] {
  let columns = columnsOf.get(fields);
  if (!columns) {
    columns = Object.freeze(
      fields.map(({ name, typeOid }) => Object.freeze({ name, type: String(typeOid) })),
    );
    columnsOf.set(fields, columns);
  }
  return columns;
}

/** Whether it reads data from the client. */
export function takesCopy(run: Run): boolean {
  return run.statement.session.kind === 'copy-in';
}

export const STATE_CHANGED: Denial = {
  code: 'approval-void',
  message: 'what the statement runs under has changed since it was decided',
  detail: '',
  hint: 'Run it again.',
};
