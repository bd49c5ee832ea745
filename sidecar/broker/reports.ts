/** What the broker is told behind what happens: sent at once, and again until it is taken. */
import type { Logger } from 'pino';
import { brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import { readNothing } from './nothing.ts';

const TIMEOUT = 5_000;

export class Reports {
  readonly #client: BrokerClient;
  readonly #log: Logger;
  readonly #open = new Set<Promise<void>>();
  readonly #given = new AbortController();

  constructor(client: BrokerClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Resolves when it is taken, or was refused for good. */
  send(path: string, report: object): Promise<void> {
    const sending = this.#client
      .post(path, report, readNothing, { timeout: TIMEOUT, until: Infinity, signal: this.#given.signal })
      .then(
        () => undefined,
        (error: unknown) => {
          const { code, message } = brokerErrorOf(error);
          this.#log.warn({ path, code }, `a report was not taken: ${message}`);
        },
      )
      .finally(() => this.#open.delete(sending));
    this.#open.add(sending);
    return sending;
  }

  /** Waits until all is taken, at most until the deadline, in milliseconds of `performance.now()`. */
  async close(deadline: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()), undefined);
    await Promise.race([late, Promise.all(this.#open)]);
    clearTimeout(timer);
    this.#given.abort();
  }
}
