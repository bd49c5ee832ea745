/**
 * Which address of the broker's name to try next: names are resolved for each connection, and what failed lately comes last. What was the
 * broker before is tried too, whatever the name means now: root in an agent's container writes the pod's /etc/hosts, and would else
 * keep recordings in the pod, to go with it. Who answers still needs the operator's certificate.
 */
import { lookup, type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';

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
const MAX_PROVEN = 4;

export class AddressBook {
  readonly #resolve: Resolve;
  /** Were the broker, the last one last. */
  readonly #proven = new Set<string>();
  /** Until when, by `performance.now()`. */
  readonly #suspects = new Map<string, number>();

  constructor(resolve: Resolve = resolveAll) {
    this.#resolve = resolve;
  }

  /** For `net.connect`, which tries all of them in this order. */
  readonly lookup: Lookup = (host, _options, done) => {
    this.#resolve(host, (error, addresses) => {
      const all = this.#withProven(error ? [] : addresses);
      if (error && all.length === 0) done(error, []);
      else done(null, this.#ordered(all));
    });
  };

  /** It showed the broker's certificate. */
  prove(address: string | undefined): void {
    if (address === undefined || isIP(address) === 0) return;
    this.#proven.delete(address);
    this.#proven.add(address);
    const [oldest] = this.#proven;
    if (this.#proven.size > MAX_PROVEN && oldest !== undefined) this.#proven.delete(oldest);
  }

  /** It did not answer as it should. */
  suspect(address: string | undefined): void {
    if (address !== undefined) this.#suspects.set(address, performance.now() + SUSPECT_FOR);
  }

  #withProven(addresses: readonly LookupAddress[]): readonly LookupAddress[] {
    const named = new Set(addresses.map(({ address }) => address));
    const more = [...this.#proven].filter((address) => !named.has(address));
    return [...addresses, ...more.map((address) => ({ address, family: isIP(address) }))];
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
