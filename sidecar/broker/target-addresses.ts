/**
 * Where a target is whose certificate is not checked. Whoever is root in an agent's container may write the pod's /etc/hosts and
 * /etc/resolv.conf, and would then be the target; so the operator resolves the name, and the sidecar believes only it.
 */
import { isIP, type LookupFunction } from 'node:net';
import { BrokerRequestError, brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import { parseTargetAnswer } from './protocol.ts';

/** Milliseconds. */
const TIMEOUT = 3_000;
const TRIES = 4_000;
/** An answer serves whoever comes within this time; names move, so it is not kept for long. */
const FRESH = 5_000;

interface Known {
  readonly addresses: readonly string[];
  /** By `performance.now()`. */
  readonly at: number;
}

export class TargetAddresses {
  readonly #connection: string;
  readonly #client: Pick<BrokerClient, 'post'>;
  #known: Known | undefined;
  #asked: Promise<Known> | undefined;

  constructor(connection: string, client: Pick<BrokerClient, 'post'>) {
    this.#connection = connection;
    this.#client = client;
  }

  /** For `net.connect`. While the operator is away its last answer counts; without one there is none. */
  readonly lookup: LookupFunction = (_host, { all }, done) => {
    this.#current().then(
      ({ addresses }) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        const [first] = found;
        if (all === true || first === undefined) done(null, found);
        else done(null, first.address, first.family);
      },
      (error: unknown) => done(brokerErrorOf(error), []),
    );
  };

  async #current(): Promise<Known> {
    const known = this.#known;
    if (known !== undefined && performance.now() - known.at < FRESH) return known;
    this.#asked ??= this.#ask().finally(() => (this.#asked = undefined));
    return this.#asked;
  }

  async #ask(): Promise<Known> {
    try {
      const body = { connection: this.#connection };
      // With an answer to fall back on nobody waits for a broker that is away.
      const until = this.#known === undefined ? performance.now() + TRIES : 0;
      const asking = { timeout: TIMEOUT, until };
      const { addresses } = await this.#client.post('/v1/targets', body, parseTargetAnswer, asking);
      if (!addresses.every((address) => isIP(address) !== 0))
        throw new BrokerRequestError('protocol', 'the broker told something that is no address');
      this.#known = { addresses, at: performance.now() };
    } catch (error) {
      const failure = brokerErrorOf(error);
      if (failure.code !== 'unavailable' || this.#known === undefined) throw failure;
      this.#known = { ...this.#known, at: performance.now() };
    }
    return this.#known;
  }
}
