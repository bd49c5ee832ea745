/**
 * What a sidecar counts, for Prometheus. Operations, holds and masks are counted from the events that go into the recording, so that
 * the two cannot disagree. Nothing here comes from a statement or a value: the agent shares the pod's network and can read it.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RecordingEvent } from './record/event.ts';
import type { SessionRecorder } from './record/recorder.ts';

/** What of recordings waits to be stored elsewhere. */
export interface SpoolState {
  /** On disk here, not yet in the store. */
  readonly spoolBytes: number;
  /** Milliseconds since the oldest of them was finished; 0 when there is none. */
  readonly lag: number;
}

const HOLD_SECONDS = [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 14_400, 86_400];

export class SidecarMetrics {
  readonly #registry = new Registry();
  readonly #operations = this.#counter('sidewarden_operations_total', 'Operations by what was decided.', [
    'decision',
  ]);
  readonly #rows = this.#counter('sidewarden_rows_total', 'Rows that clients got.');
  readonly #masked = this.#counter(
    'sidewarden_masked_values_total',
    'Values that masks changed on their way out.',
  );
  readonly #failures = this.#counter(
    'sidewarden_recording_failures_total',
    'Recordings that could no longer be written.',
  );
  readonly #clients = this.#gauge('sidewarden_client_connections', 'Open connections of clients.', [
    'connection',
  ]);
  readonly #holding = this.#gauge('sidewarden_holds_pending', 'Operations that wait for a person.', [
    'connection',
  ]);
  readonly #holds = new Histogram({
    name: 'sidewarden_hold_seconds',
    help: 'How long operations waited for a person, by verdict.',
    labelNames: ['connection', 'verdict'],
    buckets: HOLD_SECONDS,
    registers: [this.#registry],
  });

  /** Of the Prometheus exposition format. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** `stale`: milliseconds that the policy in force has not been heard of; 0 while it is fresh. */
  watch(spool: () => SpoolState, stale: () => number): void {
    const registry = this.#registry;
    const gauge = (name: string, help: string, read: () => number): void => {
      // It registers itself.
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    };
    gauge(
      'sidewarden_spool_bytes',
      'Recordings on disk that are not yet in the store.',
      () => spool().spoolBytes,
    );
    gauge('sidewarden_recorder_lag_seconds', 'Age of the oldest of them.', () => spool().lag / 1000);
    gauge('sidewarden_policy_stale_seconds', 'Since the operator was last heard of.', () => stale() / 1000);
  }

  /** The same recorder; what goes into it is counted. `connection` is `namespace/name`. */
  observe(recorder: SessionRecorder, connection: string): SessionRecorder {
    const decided = (decision: string): Child => this.#operations.labels({ connection, decision });
    return new ObservedRecorder(recorder, {
      operations: {
        allow: decided('allow'),
        deny: decided('deny'),
        hold: decided('hold'),
        refuse: decided('refuse'),
      },
      rows: this.#rows.labels({ connection }),
      masked: this.#masked.labels({ connection }),
      clients: this.#clients.labels({ connection }),
      holding: this.#holding.labels({ connection }),
      waited: (verdict, seconds) => this.#holds.observe({ connection, verdict }, seconds),
    });
  }

  /** A recording can no longer be written. `connection` is `namespace/name`. */
  recordingFailed(connection: string): void {
    this.#failures.labels({ connection }).inc();
  }

  #counter(name: string, help: string, labels: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames: ['connection', ...labels], registers: [this.#registry] });
  }

  #gauge(name: string, help: string, labels: readonly string[]): Gauge {
    return new Gauge({ name, help, labelNames: [...labels], registers: [this.#registry] });
  }
}

type Child = Counter.Internal;

/** The series of one connection, looked up once. */
interface Series {
  readonly operations: Readonly<Record<'allow' | 'deny' | 'hold' | 'refuse', Child>>;
  readonly rows: Child;
  readonly masked: Child;
  readonly clients: Gauge.Internal<string>;
  readonly holding: Gauge.Internal<string>;
  readonly waited: (verdict: string, seconds: number) => void;
}

class ObservedRecorder implements SessionRecorder {
  readonly session: string;
  readonly durability: SessionRecorder['durability'];
  readonly #recorder: SessionRecorder;
  readonly #series: Series;
  /** When operations began to wait, by number. */
  readonly #since = new Map<number, number>();
  #open = true;

  constructor(recorder: SessionRecorder, series: Series) {
    this.session = recorder.session;
    this.durability = recorder.durability;
    this.#recorder = recorder;
    this.#series = series;
    series.clients.inc();
  }

  get failed(): boolean {
    return this.#recorder.failed;
  }

  append(event: RecordingEvent): void {
    this.#recorder.append(event);
    switch (event.kind) {
      case 'decision':
        this.#series.operations[event.decision.kind].inc();
        return;
      case 'hold':
        this.#since.set(event.operation, performance.now());
        this.#series.holding.inc();
        return;
      case 'approval':
        this.#decided(event.operation, event.verdict.toLowerCase());
        return;
      case 'complete':
        if (event.rows > 0) this.#series.rows.inc(event.rows);
        if (event.masked > 0) this.#series.masked.inc(event.masked);
        return;
      case 'rows':
      case 'copy':
      case 'notice':
      case 'policy-change':
        return;
    }
  }

  durable(): Promise<void> | undefined {
    return this.#recorder.durable();
  }

  close(reason: string): Promise<{ readonly digest: string }> {
    if (this.#open) {
      this.#open = false;
      this.#series.clients.dec();
      this.#series.holding.dec(this.#since.size);
      this.#since.clear();
    }
    return this.#recorder.close(reason);
  }

  #decided(operation: number, verdict: string): void {
    const began = this.#since.get(operation);
    if (began === undefined) return;
    this.#since.delete(operation);
    this.#series.holding.dec();
    this.#series.waited(verdict, (performance.now() - began) / 1000);
  }
}
