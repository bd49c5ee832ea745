/**
 * How much is in hand at a time (bytes, connections, questions), in all and for one address: who comes with much is refused, and takes
 * neither the operator's memory nor the place of others.
 */
export class Shares {
  readonly #limits: ShareLimits;
  readonly #held = new Map<string, number>();
  #whole = 0;

  constructor(limits: ShareLimits) {
    this.#limits = limits;
  }

  /** What all hold together. */
  get held(): number {
    return this.#whole;
  }

  /** Whether there is room for so much more from this address; what was taken must be given back. */
  take(address: string, amount: number): boolean {
    const held = (this.#held.get(address) ?? 0) + amount;
    if (held > this.#limits.each || this.#whole + amount > this.#limits.whole) return false;
    this.#held.set(address, held);
    this.#whole += amount;
    return true;
  }

  give(address: string, amount: number): void {
    const held = (this.#held.get(address) ?? 0) - amount;
    if (held > 0) this.#held.set(address, held);
    else this.#held.delete(address);
    this.#whole -= amount;
  }
}

interface ShareLimits {
  readonly whole: number;
  /** Of one address. */
  readonly each: number;
}
