import type { RecordedColumn } from './event.ts';

const MAX_KEPT = 32 * 1024 * 1024;

/**
 * How long statements and columns may be named by the number of the event that has them. Writer and reader count alike
 * and forget at the same event, so that a reader's memory is bounded and yet nothing it needs is gone.
 */
export class ReferenceWindow {
  #kept = 0;

  /** True when everything before this one is to be forgotten. */
  add(size: number): boolean {
    this.#kept += size;
    if (this.#kept <= MAX_KEPT) return false;
    this.#kept = size;
    return true;
  }

  /** `text` as it is in the recording. */
  addStatement(statement: { readonly text: string; readonly tables: readonly unknown[] }): boolean {
    return this.add(statement.text.length + 500 + 100 * statement.tables.length);
  }

  addColumns(columns: readonly RecordedColumn[]): boolean {
    return this.add(100 * columns.length);
  }
}
