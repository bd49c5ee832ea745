/** What was sent to the server and not answered yet, in order. Each answer is checked against the first of these. */
import type { ErrorFields } from './wire/backend.ts';
import type { Portal, Prepared, Undo } from './names.ts';
import type { Run } from './run.ts';

/** `internal` ones are ours: their answers do not go to the client. */
export type Expectation =
  | { readonly kind: 'query'; readonly runs: readonly Run[]; next: number; failed: boolean }
  | { readonly kind: 'parse'; readonly prepared: Prepared; readonly undo: Undo; readonly internal: boolean }
  | { readonly kind: 'bind'; readonly portal: Portal; readonly undo: Undo }
  | {
      readonly kind: 'describe-statement';
      readonly prepared: Prepared;
      readonly internal: boolean;
      parametersSeen: boolean;
    }
  | { readonly kind: 'describe-portal'; readonly portal: Portal | undefined; readonly internal: boolean }
  | { readonly kind: 'execute'; readonly portal: Portal }
  | { readonly kind: 'close'; readonly undo: Undo; readonly internal: boolean }
  | { readonly kind: 'sync' }
  /** A refused message, in whose place the server got one that must fail. */
  | { readonly kind: 'refusal'; readonly fields: ErrorFields; readonly simple: boolean; failed: boolean }
  | {
      readonly kind: 'internal';
      readonly rows: (readonly (string | null)[])[];
      /** CloseCompletes still to come. */
      closes: number;
      /** A Sync of ours ends it; else the last CloseComplete does. */
      readonly synced: boolean;
      error: ErrorFields | undefined;
      readonly done: (rows: readonly (readonly (string | null)[])[]) => void;
      readonly fail: (error: Error) => void;
    };

/** A queue that does not move its elements at each step. */
export class Expectations {
  #items: Expectation[] = [];
  #head = 0;

  get first(): Expectation | undefined {
    return this.#items[this.#head];
  }

  get last(): Expectation | undefined {
    return this.#items.length > this.#head ? this.#items[this.#items.length - 1] : undefined;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  some(condition: (item: Expectation) => boolean): boolean {
    for (let at = this.#head; at < this.#items.length; at++) {
      const item = this.#items[at];
      if (item && condition(item)) return true;
    }
    return false;
  }

  push(item: Expectation): void {
    this.#items.push(item);
  }

  shift(): Expectation | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes out all before the first Sync: after an error the server answers none of them. */
  dropToSync(): { readonly dropped: readonly Expectation[]; readonly sync: boolean } {
    const dropped: Expectation[] = [];
    for (let item = this.first; item; item = this.first) {
      if (item.kind === 'sync') return { dropped, sync: true };
      dropped.push(item);
      this.shift();
    }
    return { dropped, sync: false };
  }
}

/** Gives an internal query's result to who asked. */
export function settle(item: Extract<Expectation, { kind: 'internal' }>): void {
  if (item.error)
    item.fail(new Error(`internal query failed: ${item.error.get('C') ?? ''} ${item.error.get('M') ?? ''}`));
  else item.done(item.rows);
}
