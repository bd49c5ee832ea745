/** The addresses of targets by the operator's own resolver, out of the agents' reach. Asked for often: each connection of a client may ask. */
import { lookup, type LookupAddress } from 'node:dns';
import { BrokerFailure } from './broker-failure.ts';

export type ResolveAll = (host: string) => Promise<readonly LookupAddress[]>;

/** Milliseconds that an answer is given again, and that a resolver may take. */
const FRESH = 2_000;
const PATIENCE = 2_500;
const MAX_ADDRESSES = 256;

interface Asked {
  readonly at: number;
  readonly addresses: Promise<readonly string[]>;
}

export class TargetNames {
  readonly #resolve: ResolveAll;
  readonly #asked = new Map<string, Asked>();

  constructor(resolve: ResolveAll = resolveAll) {
    this.#resolve = resolve;
  }

  /** Rejects with `unavailable` when the name has no address now. */
  async of(host: string): Promise<readonly string[]> {
    const now = performance.now();
    for (const [name, { at }] of this.#asked) if (now - at >= FRESH) this.#asked.delete(name);
    const asked = this.#asked.get(host) ?? { at: now, addresses: this.#ask(host) };
    this.#asked.set(host, asked);
    return asked.addresses;
  }

  async #ask(host: string): Promise<readonly string[]> {
    try {
      const found = await within(this.#resolve(host), PATIENCE);
      const addresses = found.map(({ address }) => address).slice(0, MAX_ADDRESSES);
      if (addresses.length > 0) return addresses;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
      throw new BrokerFailure('unavailable', `the target's name cannot be resolved: ${code}`, error);
    }
    throw new BrokerFailure('unavailable', "the target's name has no address");
  }
}

function resolveAll(host: string): Promise<readonly LookupAddress[]> {
  return new Promise((done, fail) => {
    lookup(host, { all: true }, (error, addresses) => (error ? fail(error) : done(addresses)));
  });
}

async function within<T>(promise: Promise<T>, limit: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error('the resolver took too long')), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
