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

  of(address: string): number {
    return this.#held.get(address) ?? 0;
  }

  /** Whether there is room for so much more from this address. */
  fits(address: string, amount: number): boolean {
    return this.of(address) + amount <= this.#limits.each && this.#whole + amount <= this.#limits.whole;
  }

  /** As `fits`, and it is taken; what was taken must be given back. */
  take(address: string, amount: number): boolean {
    if (!this.fits(address, amount)) return false;
    this.add(address, amount);
    return true;
  }

  /** What is there already, whether there is room or not. */
  add(address: string, amount: number): void {
    this.#held.set(address, this.of(address) + amount);
    this.#whole += amount;
  }

  give(address: string, amount: number): void {
    const held = this.of(address) - amount;
    if (held > 0) this.#held.set(address, held);
    else this.#held.delete(address);
    this.#whole -= amount;
  }
}

export interface ShareLimits {
  readonly whole: number;
  /** Of one address. */
  readonly each: number;
}
