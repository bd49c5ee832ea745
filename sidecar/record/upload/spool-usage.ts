/** How many bytes each recording has on disk. */
export class SpoolUsage {
  readonly #files = new Map<string, Map<string, number>>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(session: string, name: string, bytes: number): void {
    let files = this.#files.get(session);
    if (files === undefined) this.#files.set(session, (files = new Map<string, number>()));
    files.set(name, (files.get(name) ?? 0) + bytes);
    this.#total += bytes;
  }

  remove(session: string, name: string): void {
    const files = this.#files.get(session);
    this.#total -= files?.get(name) ?? 0;
    files?.delete(name);
    if (files?.size === 0) this.#files.delete(session);
  }
}
