import type { OperationDecided, RecordingEvent, SessionCounts } from './event.ts';

/** Counts what a session did. */
export class Tally {
  #operations = 0;
  #rows = 0;
  readonly #decisions = { allow: 0, deny: 0, hold: 0, refuse: 0 };

  add(event: RecordingEvent): void {
    if (event.kind === 'decision') this.decided(event.decision.kind);
    else if (event.kind === 'complete') this.returned(event.rows);
  }

  decided(kind: OperationDecided['decision']['kind']): void {
    this.#operations++;
    this.#decisions[kind]++;
  }

  returned(rows: number): void {
    this.#rows += rows;
  }

  /** Of a part that was counted before. */
  join({ operations, allow, deny, hold, refuse, rows }: SessionCounts): void {
    this.#operations += operations;
    this.#rows += rows;
    for (const [kind, more] of [
      ['allow', allow],
      ['deny', deny],
      ['hold', hold],
      ['refuse', refuse],
    ] as const)
      this.#decisions[kind] += more;
  }

  counts(): SessionCounts {
    return { operations: this.#operations, ...this.#decisions, rows: this.#rows };
  }
}
