/** µs since 1970 that never go back within a session, even when the machine's clock is set. */
export class MicrosecondClock {
  #offset = 0;
  #last = 0;

  constructor() {
    this.anchor();
  }

  /** Follows the machine's clock again; cheap enough for each flush. */
  anchor(): void {
    const offset = Date.now() * 1000 - performance.now() * 1000;
    if (Math.abs(offset - this.#offset) > 5000) this.#offset = offset;
  }

  now(): number {
    const now = Math.round(performance.now() * 1000 + this.#offset);
    if (now > this.#last) this.#last = now;
    return this.#last;
  }
}
