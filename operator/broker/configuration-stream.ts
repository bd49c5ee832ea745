/**
 * One sidecar's configuration stream: what it needs at once, and again whenever that changes. It ends when the run does, after
 * `LIFETIME` (so that the token is reviewed again), or when the broker closes; the sidecar then comes again, to any replica.
 */
import type { ServerResponse } from 'node:http';
import { MAX_EVENT, PING, type BrokerEvent } from '../../sidecar/broker/protocol.ts';
import { assemble, type Assembled, type AssemblySources } from './assembly.ts';
import { BrokerFailure } from './broker-failure.ts';
import type { Run } from './run.ts';

/** All in milliseconds. Changes that come together are told together. */
const COALESCE = 20;
const RETRY = 500;
const LIFETIME = 60 * 60_000;
/** A client that has read nothing for so long, while something waits for it, is dropped. */
const STALLED = 10_000;
/** So is one for which so many bytes wait, beyond one whole configuration. */
const MAX_WAITING = 2 * MAX_EVENT;

export interface StreamOptions {
  readonly response: ServerResponse;
  readonly run: Run;
  /** The run as it is now; rejects when nobody can say. Undefined when its pod is gone. */
  readonly current: () => Promise<Run | undefined>;
  readonly sources: AssemblySources;
  /** What changed for this run; returns how to stop. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Decisions on the run's approvals, those made before too; returns how to stop. */
  readonly decisions: (listener: (event: BrokerEvent) => void) => () => void;
  /** Says to people what was refused. */
  readonly refused: (run: Run, connection: string, message: string) => void;
}

export class ConfigurationStream {
  readonly #options: StreamOptions;
  readonly #stops: (() => void)[] = [];
  /** What the sidecar knows: the last revision, and what it was told is not for it. */
  #revision = '';
  readonly #revoked = new Map<string, string>();
  readonly #refused = new Map<string, string>();
  #due: NodeJS.Timeout | undefined;
  #busy = false;
  #again = false;
  #stalledSince: number | undefined;
  #lastSent = performance.now();
  #ended = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /** Resolves when the first configuration has been written; rejects, with nothing written, when there cannot be one now. */
  async start(): Promise<void> {
    const { response, subscribe, decisions } = this.#options;
    response.on('close', () => this.#stop());
    this.#stops.push(subscribe(() => this.#changed()));
    this.#busy = true;
    try {
      await this.#tell();
    } catch (error) {
      this.#stop();
      throw error;
    }
    this.#busy = false;
    if (this.#ended) return;
    if (this.#again) this.#changed();
    response.on('drain', () => this.#drained());
    const tick = setInterval(() => this.#tick(), PING / 2);
    // Not all at the same moment.
    const lifetime = setTimeout(() => this.end(), LIFETIME * (0.75 + Math.random() / 4)).unref();
    this.#stops.push(
      () => clearInterval(tick),
      () => clearTimeout(lifetime),
      decisions((event) => this.#send(event)),
    );
  }

  /** The clean end says: come again. */
  end(): void {
    this.#stop();
    this.#options.response.end();
  }

  #stop(): void {
    this.#ended = true;
    clearTimeout(this.#due);
    for (const stop of this.#stops.splice(0)) stop();
  }

  #changed(delay = COALESCE): void {
    if (this.#ended) return;
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      void this.#refresh();
    }, delay);
  }

  /** One at a time; what changes meanwhile is looked at afterwards. Never rejects. */
  async #refresh(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      await this.#tell();
    } catch {
      // Neither cache nor API server knows: what was told stays.
      this.#changed(RETRY);
    } finally {
      this.#busy = false;
    }
    if (!this.#again) return;
    this.#again = false;
    this.#changed();
  }

  async #tell(): Promise<void> {
    const { current, sources } = this.#options;
    const run = await current();
    if (run === undefined || run.ended) return this.#over(run ?? this.#options.run);
    const assembled = await assemble(sources, run);
    if (this.#ended) return;
    // A stream begins with a configuration.
    this.#configure(run, assembled);
    this.#revoke(assembled.forbidden);
  }

  /** Nothing more is for this run. */
  #over(run: Run): void {
    if (this.#revision === '') throw new BrokerFailure('ended', 'the run has ended');
    const reasons = run.connections.map((key): [string, string] => [
      `${key.namespace}/${key.name}`,
      'the run has ended',
    ]);
    this.#revoke(new Map(reasons));
    this.end();
  }

  #revoke(forbidden: ReadonlyMap<string, string>): void {
    for (const connection of [...this.#revoked.keys()])
      if (!forbidden.has(connection)) this.#revoked.delete(connection);
    for (const [connection, reason] of forbidden) {
      if (this.#revoked.has(connection)) continue;
      this.#revoked.set(connection, reason);
      this.#send({ kind: 'revoked', connection, reason });
    }
  }

  #configure(run: Run, { event }: Assembled): void {
    if (event.revision === this.#revision) return;
    // What waits is not piled upon: when it has been read, the latest is told.
    if (this.#options.response.writableNeedDrain) return;
    if (this.#revision === '') this.#begin();
    this.#revision = event.revision ?? '';
    this.#write(lineOf(event));
    for (const { connection, message } of event.unusable ?? []) {
      if (this.#refused.get(connection) === message) continue;
      this.#refused.set(connection, message);
      this.#options.refused(run, connection, message);
    }
  }

  #begin(): void {
    const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };
    this.#options.response.writeHead(200, headers);
  }

  #drained(): void {
    this.#stalledSince = undefined;
    this.#changed(0);
  }

  #tick(): void {
    const { response } = this.#options;
    if (response.writableNeedDrain) {
      this.#stalledSince ??= performance.now();
      if (performance.now() - this.#stalledSince > STALLED) response.destroy();
    } else if (performance.now() - this.#lastSent >= PING * 0.75) this.#send({ kind: 'ping' });
  }

  #send(event: BrokerEvent): void {
    this.#write(`${JSON.stringify(event)}\n`);
  }

  #write(line: string): void {
    const { response } = this.#options;
    if (this.#ended || response.destroyed) return;
    this.#lastSent = performance.now();
    response.write(line);
    if (response.writableLength > MAX_WAITING) response.destroy();
  }
}

/** One that is longer than a sidecar takes is as if all were broken. */
function lineOf(event: BrokerEvent): string {
  const line = `${JSON.stringify(event)}\n`;
  if (Buffer.byteLength(line) <= MAX_EVENT) return line;
  const connections = [
    ...Object.keys(event.credentials ?? {}),
    ...(event.unusable ?? []).map(({ connection }) => connection),
  ];
  const message = 'the policies of its connections are too long to be sent';
  const unusable = connections.map((connection) => ({ connection, message }));
  return `${JSON.stringify({ ...event, manifests: [], credentials: {}, unusable })}\n`;
}
