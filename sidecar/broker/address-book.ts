/** Which address of the broker's name to try next: names are resolved for each connection, and what failed lately comes last. */
import { lookup, type LookupAddress } from 'node:dns';

/** As `dns.lookup` with `all`. */
export type Resolve = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void;

/** How `net.connect` asks. */
type Lookup = (
  host: string,
  options: object,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const SUSPECT_FOR = 10_000;

export class AddressBook {
  readonly #resolve: Resolve;
  /** Until when, by `performance.now()`. */
  readonly #suspects = new Map<string, number>();

  constructor(resolve: Resolve = resolveAll) {
    this.#resolve = resolve;
  }

  /** For `net.connect`, which tries all of them in this order. */
  readonly lookup: Lookup = (host, _options, done) => {
    this.#resolve(host, (error, addresses) => done(error, error ? [] : this.#ordered(addresses)));
  };

  /** It did not answer as it should. */
  suspect(address: string | undefined): void {
    if (address !== undefined) this.#suspects.set(address, performance.now() + SUSPECT_FOR);
  }

  #ordered(addresses: readonly LookupAddress[]): LookupAddress[] {
    const now = performance.now();
    for (const [address, until] of this.#suspects) if (until <= now) this.#suspects.delete(address);
    return addresses
      .map((entry) => ({ entry, rank: (this.#suspects.get(entry.address) ?? 0) + Math.random() }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ entry }) => entry);
  }
}

const resolveAll: Resolve = (host, done) => lookup(host, { all: true }, done);
