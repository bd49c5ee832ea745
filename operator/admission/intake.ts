/**
 * How many bytes of requests are in memory at a time. Anyone in the cluster reaches the webhooks' port, agents too: who sends much at once
 * is refused, and neither ends the operator nor takes the place of the API server, which comes from another address.
 */
interface IntakeLimits {
  /** Bytes. */
  readonly whole: number;
  /** Bytes, of one address. */
  readonly each: number;
}

export class Intake {
  readonly #limits: IntakeLimits;
  readonly #held = new Map<string, number>();
  #whole = 0;

  constructor(limits: IntakeLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#whole;
  }

  /** Whether there is room for so many more from this address; what was taken must be given back. */
  take(address: string, bytes: number): boolean {
    const held = (this.#held.get(address) ?? 0) + bytes;
    if (held > this.#limits.each || this.#whole + bytes > this.#limits.whole) return false;
    this.#held.set(address, held);
    this.#whole += bytes;
    return true;
  }

  give(address: string, bytes: number): void {
    const held = (this.#held.get(address) ?? 0) - bytes;
    if (held > 0) this.#held.set(address, held);
    else this.#held.delete(address);
    this.#whole -= bytes;
  }
}
