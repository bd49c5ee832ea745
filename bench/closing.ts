/** What must be stopped at the end, newest first, however the bench ends. */
export class Closing {
  readonly #closers = new Set<() => Promise<void>>();

  /** Returns what closes it earlier; closed once in any case. */
  add(close: () => Promise<void>): () => Promise<void> {
    this.#closers.add(close);
    return async () => {
      if (this.#closers.delete(close)) await close();
    };
  }

  async close(): Promise<void> {
    for (const close of [...this.#closers].toReversed()) {
      if (this.#closers.delete(close)) await close();
    }
  }
}
