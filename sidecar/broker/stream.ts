/**
 * The configuration stream: opened again for as long as the sidecar lives, at another replica where one is silent or gone. A new
 * stream begins with a configuration, or it is none.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Backoff } from './backoff.ts';
import { BrokerRequestError, brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import { readEvent, type ConfigurationEvent, type DecisionEvent, type RevokedEvent } from './event.ts';
import { LineReader } from './lines.ts';
import { MAX_EVENT, SILENCE } from './protocol.ts';

export interface StreamListener {
  configuration(event: ConfigurationEvent): void;
  decision(event: DecisionEvent): void;
  revoked(event: RevokedEvent): void;
  /** No event for `SILENCE`, and no other replica was found; `since` by `performance.now()`. */
  lost(since: number, reason: string): void;
  /** An event again. A configuration comes before it unless the stream is the same. */
  found(): void;
  /** The broker says that the run is over. */
  ended(message: string): void;
}

/** One event must be whole within so many milliseconds of its first byte. */
const MAX_EVENT_TIME = 60_000;
/** Time to find another replica before what is in force counts as old. */
const GRACE = 1_000;
/** A run that is over does not begin again; the broker may be wrong all the same. */
const AFTER_THE_END = 5_000;

export class ConfigurationStream {
  readonly #client: BrokerClient;
  readonly #listener: StreamListener;
  readonly #log: Logger;
  readonly #closed = new AbortController();
  #heard = performance.now();
  #lost: NodeJS.Timeout | undefined;
  #isLost = false;
  #complaint = '';
  #running: Promise<void> = Promise.resolve();

  constructor(client: BrokerClient, listener: StreamListener, log: Logger) {
    this.#client = client;
    this.#listener = listener;
    this.#log = log;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** A broker is heard. */
  get connected(): boolean {
    return this.#complaint === '' && !this.#isLost;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    clearTimeout(this.#lost);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    const backoff = new Backoff();
    for (;;) {
      const before = this.#heard;
      const failure = await this.#follow();
      if (signal.aborted) return;
      if (this.#heard !== before) backoff.reset();
      this.#complain(failure);
      if (failure.code === 'ended') this.#listener.ended(failure.message);
      const wait = failure.code === 'ended' ? AFTER_THE_END : backoff.next();
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One stream, to its end. */
  async #follow(): Promise<BrokerRequestError> {
    const one = new AbortController();
    try {
      const signal = AbortSignal.any([this.#closed.signal, one.signal]);
      const response = await this.#client.open('/v1/configuration', signal);
      const { remoteAddress } = response.socket;
      try {
        await this.#read(response);
        // A replica that ends wants its sidecars to go to another.
        this.#client.doubt(remoteAddress);
        return new BrokerRequestError('unavailable', 'the broker ended the stream');
      } catch (error) {
        this.#client.doubt(remoteAddress);
        throw error;
      } finally {
        response.destroy();
      }
    } catch (error) {
      return brokerErrorOf(error);
    } finally {
      one.abort();
    }
  }

  async #read(response: IncomingMessage): Promise<void> {
    const lines = new LineReader(MAX_EVENT);
    let configured = false;
    let begun = 0;
    const silence = setTimeout(
      () => response.destroy(new Error(`nothing came within ${SILENCE} ms`)),
      SILENCE,
    );
    try {
      for await (const part of response) {
        silence.refresh();
        // Without an encoding set, a response yields buffers.
        for (const line of lines.push(part as Buffer)) {
          configured = this.#take(line, configured);
          begun = 0;
        }
        if (lines.pending === 0) continue;
        begun ||= performance.now();
        if (performance.now() - begun > MAX_EVENT_TIME)
          throw new BrokerRequestError('unavailable', 'the broker takes too long for an event');
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #take(line: string, configured: boolean): boolean {
    const event = readEvent(line);
    if (!configured && event.kind !== 'configuration')
      throw new BrokerRequestError(
        'protocol',
        'the stream of the broker does not begin with a configuration',
      );
    switch (event.kind) {
      case 'configuration':
        this.#listener.configuration(event);
        break;
      case 'decision':
        this.#listener.decision(event);
        break;
      case 'revoked':
        this.#listener.revoked(event);
        break;
      case 'ping':
        break;
    }
    this.#hear();
    return true;
  }

  #hear(): void {
    this.#heard = performance.now();
    if (this.#complaint !== '') this.#log.info('the broker is heard again');
    this.#complaint = '';
    if (this.#isLost) this.#listener.found();
    this.#isLost = false;
    if (this.#lost) this.#lost.refresh();
    else this.#lost = setTimeout(() => this.#lose(), SILENCE + GRACE);
  }

  #lose(): void {
    this.#isLost = true;
    this.#lost = undefined;
    const reason = this.#complaint === '' ? 'the broker is silent' : this.#complaint;
    this.#listener.lost(this.#heard, reason);
  }

  /** Once for each reason: an outage is not to fill the log. */
  #complain({ code, message }: BrokerRequestError): void {
    if (this.#complaint === message) return;
    this.#complaint = message;
    this.#log.warn({ code }, `the configuration stream was lost: ${message}`);
  }
}
