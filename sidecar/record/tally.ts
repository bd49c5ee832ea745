import type { OperationCompleted, OperationDecided, RecordingEvent, SessionCounts } from './event.ts';

/** Counts what a session did. */
export class Tally {
  #operations = 0;
  #rows = 0;
  readonly #decisions = { allow: 0, deny: 0, hold: 0, refuse: 0 };

  add(event: Pick<RecordingEvent, 'kind'> | OperationDecided | OperationCompleted): void {
    if ('decision' in event) this.decided(event.decision.kind);
    else if ('rowsNotRecorded' in event) this.#rows += event.rows;
  }

  decided(kind: OperationDecided['decision']['kind']): void {
    this.#operations++;
    this.#decisions[kind]++;
  }

  counts(): SessionCounts {
    return { operations: this.#operations, ...this.#decisions, rows: this.#rows };
  }
}
