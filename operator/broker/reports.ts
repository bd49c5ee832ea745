/** What sidecars report goes into the status of their Sessions: the latest word, at most once in `INTERVAL` for each. */
import type { Logger } from 'pino';
import type { SessionReport } from '../../sidecar/broker/protocol.ts';
import { SESSIONS, type Kube, type KubeObject } from '../kube/kube.ts';
import { readSession } from '../kube/read.ts';
import { BrokerFailure } from './broker-failure.ts';
import { text } from '../kube/field.ts';

/** Milliseconds. */
const INTERVAL = 2_000;

export interface Reported {
  readonly session: KubeObject;
  readonly report: SessionReport;
  /** Where its recordings are; undefined when they stay with the sidecar. */
  readonly location: string | undefined;
}

export class Reports {
  readonly #kube: Pick<Kube, 'patch' | 'stores'>;
  readonly #log: Pick<Logger, 'warn'>;
  /** By uid of the session: what is to be written when its time has come. */
  readonly #waiting = new Map<string, Reported>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** By uid of the session: its last report is being written, or was less than `INTERVAL` ago. */
  readonly #last = new Map<string, NodeJS.Timeout>();

  constructor(kube: Pick<Kube, 'patch' | 'stores'>, log: Pick<Logger, 'warn'>) {
    this.#kube = kube;
    this.#log = log;
  }

  /** The last report of a session is written before this resolves; rejects when it cannot be, or comes again too soon. */
  async take(reported: Reported): Promise<void> {
    if (reported.report.ended === 'yes') return this.#takeLast(reported);
    const { uid } = reported.session.metadata;
    if (this.#timers.has(uid)) {
      this.#waiting.set(uid, reported);
      return;
    }
    this.#timers.set(
      uid,
      setTimeout(() => this.#next(uid), INTERVAL),
    );
    // Somebody else was faster: told anew when the time has come, unless there is news by then.
    if ((await this.#write(reported)) === 'conflict' && !this.#waiting.has(uid))
      this.#waiting.set(uid, reported);
  }

  /** At once, whatever was written a moment ago; but not one after the other. */
  async #takeLast(reported: Reported): Promise<void> {
    const { uid } = reported.session.metadata;
    if (this.#last.has(uid))
      throw new BrokerFailure('unavailable', 'the last report was told a moment ago; try again');
    const timer = setTimeout(() => this.#last.delete(uid), INTERVAL);
    this.#last.set(uid, timer);
    this.#waiting.delete(uid);
    try {
      if ((await this.#write(reported)) === 'written') return;
      throw new BrokerFailure('unavailable', 'the session is being changed');
    } catch (error) {
      // It is not told yet, and may come again at once.
      clearTimeout(timer);
      if (this.#last.get(uid) === timer) this.#last.delete(uid);
      throw error;
    }
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    for (const timer of [...this.#timers.values(), ...this.#last.values()]) clearTimeout(timer);
    this.#timers.clear();
    this.#last.clear();
    const waiting = [...this.#waiting.values()].filter((each) => !this.#isOld(each));
    this.#waiting.clear();
    await Promise.all(waiting.map((each) => this.#write(each).catch(() => undefined)));
  }

  #next(uid: string): void {
    this.#timers.delete(uid);
    const reported = this.#waiting.get(uid);
    if (reported === undefined) return;
    this.#waiting.delete(uid);
    if (this.#isOld(reported)) return;
    this.take(reported).catch((error: unknown) => {
      const { namespace, name } = reported.session.metadata;
      const message = error instanceof Error ? error.message : '';
      this.#log.warn({ session: `${namespace}/${name}`, message }, "a session's report could not be written");
    });
  }

  /** The sidecar went to another replica meanwhile, and told that one its last. */
  #isOld({ session, report }: Reported): boolean {
    const { namespace, name } = session.metadata;
    const object = this.#kube.stores.sessions.get(namespace, name);
    const found = object && readSession(object);
    const status = found?.kind === 'parsed' ? found.value.status : undefined;
    if (status?.sidecarDone !== true) return false;
    return report.recordings <= (status.recordings ?? 0) && sum(report.decisions) <= sum(status.decisions);
  }

  /** Only a last report is written whatever came before it: another must not be behind one. */
  async #write({ session, report, location }: Reported): Promise<'written' | 'conflict'> {
    const { namespace, name, uid } = session.metadata;
    const stored = this.#kube.stores.sessions.get(namespace, name)?.metadata;
    const { resourceVersion } = stored?.uid === uid ? stored : session.metadata;
    const { decisions, recordings, ended } = report;
    // A status needs a phase; who made the session may not have come to write one. What somebody else wrote since is left alone.
    const begun = text(session, ['status', 'phase']) !== undefined;
    const status = {
      ...(begun ? {} : { phase: 'Active' }),
      decisions,
      recordings,
      sidecarDone: ended === 'yes',
      ...(location === undefined ? {} : { recording: { location } }),
    };
    const unbound = begun && ended === 'yes';
    const patch = { metadata: unbound ? { uid } : { uid, resourceVersion }, status };
    const written = await this.#kube.patch(SESSIONS, namespace, name, patch, 'status');
    if (written.kind === 'rejected')
      throw new BrokerFailure('unavailable', 'the API server does not take the report now');
    return written.kind === 'conflict' ? 'conflict' : 'written';
  }
}

function sum({ allow, deny, hold }: SessionReport['decisions']): number {
  return allow + deny + hold;
}
