/**
 * What the sessions of the run have done: totals for the operator, told when they changed. They outlive this process in the state
 * folder, since a restarted container goes on with the same sessions.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { OperationDecided } from '../record/event.ts';
import { brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import { readNothing } from './nothing.ts';
import { type SessionReport, parseSessionReport } from './protocol.ts';

/** Milliseconds. */
const INTERVAL = 2_000;
const TIMEOUT = 5_000;
const FILE = 'sessions.json';

interface Counts {
  readonly decisions: { allow: number; deny: number; hold: number };
  recordings: number;
  /** Changed since the operator was told, and since it was written down. */
  untold: boolean;
  unwritten: boolean;
}

export class SessionCounts {
  readonly #file: string;
  readonly #client: BrokerClient;
  readonly #log: Logger;
  readonly #sessions: Map<string, Counts>;
  /** Connections that an earlier start of this sidecar had sessions on. */
  readonly earlier: readonly string[];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #telling: Promise<void> | undefined;
  readonly #given = new AbortController();

  private constructor(file: string, client: BrokerClient, log: Logger, sessions: Map<string, Counts>) {
    this.#file = file;
    this.#client = client;
    this.#log = log;
    this.#sessions = sessions;
    this.earlier = [...sessions.keys()];
  }

  /** Goes on with what an earlier start counted. */
  static async load(state: string, client: BrokerClient, log: Logger): Promise<SessionCounts> {
    const file = join(state, FILE);
    const counts = new SessionCounts(file, client, log, await readCounts(file, log));
    counts.#timer = setInterval(() => {
      counts.#telling ??= counts.#tell().finally(() => (counts.#telling = undefined));
    }, INTERVAL);
    counts.#timer.unref();
    return counts;
  }

  begun(connection: string): void {
    this.#of(connection);
  }

  decided(connection: string, { decision }: OperationDecided): void {
    const counts = this.#of(connection);
    const kind = decision.kind === 'refuse' ? 'deny' : decision.kind;
    counts.decisions[kind] += 1;
    counts.untold = true;
    counts.unwritten = true;
  }

  /** Resolves when it is written down: the number of recordings is what shows that one is missing. */
  async recorded(connection: string): Promise<void> {
    const counts = this.#of(connection);
    counts.recordings += 1;
    counts.untold = true;
    counts.unwritten = true;
    await this.#write();
  }

  /** The last report of every session, sent until it is taken, at most until the deadline by `performance.now()`. */
  async close(deadline: number): Promise<void> {
    clearInterval(this.#timer);
    // Nothing may come behind the last one, and a broker that hangs is not to take its time.
    const patience = setTimeout(() => this.#given.abort(), Math.max(0, deadline - performance.now()) / 2);
    await this.#telling;
    clearTimeout(patience);
    await this.#write().catch(() => undefined);
    await Promise.all(
      [...this.#sessions].map(async ([connection, counts]) => {
        const report = { ...reportOf(connection, counts), ended: 'yes' };
        const timeout = Math.max(1, Math.min(TIMEOUT, deadline - performance.now()));
        try {
          await this.#client.post('/v1/sessions/report', report, readNothing, { timeout, until: deadline });
        } catch (error) {
          const { code, message } = brokerErrorOf(error);
          this.#log.warn({ connection, code }, `the last report was not taken: ${message}`);
        }
      }),
    );
  }

  #of(connection: string): Counts {
    const known = this.#sessions.get(connection);
    if (known) return known;
    const counts = {
      decisions: { allow: 0, deny: 0, hold: 0 },
      recordings: 0,
      untold: false,
      unwritten: true,
    };
    this.#sessions.set(connection, counts);
    return counts;
  }

  async #tell(): Promise<void> {
    try {
      await this.#write();
      for (const [connection, counts] of this.#sessions)
        if (counts.untold) await this.#report(connection, counts);
    } catch (error) {
      this.#log.warn({ err: error }, 'the counts of the sessions could not be written');
    }
  }

  async #report(connection: string, counts: Counts): Promise<void> {
    counts.untold = false;
    try {
      const report = reportOf(connection, counts);
      const { signal } = this.#given;
      await this.#client.post('/v1/sessions/report', report, readNothing, { timeout: TIMEOUT, signal });
    } catch (error) {
      const { code, message } = brokerErrorOf(error);
      // What is final will not be taken later either; the next change tries again.
      if (code === 'unavailable') counts.untold = true;
      else this.#log.warn({ connection, code }, `a report was not taken: ${message}`);
    }
  }

  #write(): Promise<void> {
    this.#writing = this.#writing
      .catch(() => undefined)
      .then(async () => {
        const all = [...this.#sessions];
        if (!all.some(([, counts]) => counts.unwritten)) return;
        for (const [, counts] of all) counts.unwritten = false;
        const text = JSON.stringify(all.map(([connection, counts]) => reportOf(connection, counts)));
        try {
          // Whole under another name first: what has the right name is whole.
          await writeFile(`${this.#file}.draft`, text, { mode: 0o600 });
          await rename(`${this.#file}.draft`, this.#file);
        } catch (error) {
          for (const [, counts] of all) counts.unwritten = true;
          throw error;
        }
      });
    return this.#writing;
  }
}

function reportOf(connection: string, { decisions, recordings }: Counts): SessionReport {
  return { connection, decisions: { ...decisions }, recordings, ended: 'no' };
}

async function readCounts(file: string, log: Logger): Promise<Map<string, Counts>> {
  const sessions = new Map<string, Counts>();
  let found: unknown;
  try {
    found = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      log.error({ err: error }, 'the counts of earlier sessions cannot be read, and begin anew');
    return sessions;
  }
  for (const one of Array.isArray(found) ? found : []) {
    const parsed = parseSessionReport(one);
    if (parsed.kind === 'invalid') continue;
    const { connection, decisions, recordings } = parsed.value;
    sessions.set(connection, { decisions: { ...decisions }, recordings, untold: true, unwritten: false });
  }
  return sessions;
}
