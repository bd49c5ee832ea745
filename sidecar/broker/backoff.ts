/** How long to wait before another try. */

const FIRST = 50;
const LONGEST = 2_000;

/** Each wait is up to twice as long as the one before, and never the same for all: sidecars are not to come back in step. */
export class Backoff {
  readonly #longest: number;
  #next = FIRST;

  /** Milliseconds. */
  constructor(longest = LONGEST) {
    this.#longest = longest;
  }

  /** Milliseconds. */
  next(): number {
    const wait = this.#next;
    this.#next = Math.min(this.#next * 2, this.#longest);
    return wait * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#next = FIRST;
  }
}
