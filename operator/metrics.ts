/** What the operator counts, for Prometheus. Gauges of what there is are read from the stores when asked for. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AdmissionAnswer } from './admission/review.ts';
import { text } from './kube/field.ts';
import type { KubeObject, Store } from './kube/kube.ts';
import type { Turn } from './kube/queue.ts';
import type { RunningController } from './reconcile/controller.ts';

/** Read at each scrape. */
export interface Observed {
  readonly sessions: Store;
  readonly approvals: Store;
  readonly pods: Store;
  /** None while this replica does not lead. */
  readonly controllers: () => readonly Pick<RunningController, 'name' | 'depth' | 'age'>[];
  readonly leads: () => boolean;
  /** Sidecars that listen to this replica. */
  readonly streams: () => number;
  /** Bytes of recordings that sidecars handed over and the store has not yet. */
  readonly spoolBytes: () => number;
  /** Milliseconds since the epoch. */
  readonly certificateExpires: () => number;
}

const FAST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class OperatorMetrics {
  readonly #registry = new Registry();
  readonly #admission = this.#histogram('sidewarden_admission_seconds', 'Answers of the webhooks.', [
    'webhook',
    'answer',
  ]);
  readonly #injections = this.#counter(
    'sidewarden_injections_total',
    'Pods that asked for connections, by what came of it.',
    ['outcome'],
  );
  readonly #refusals = this.#counter('sidewarden_admission_refusals_total', 'Refusals, by webhook.', [
    'webhook',
  ]);
  readonly #reconciles = this.#histogram('sidewarden_reconcile_seconds', 'Reconciles.', ['controller']);
  readonly #failures = this.#counter(
    'sidewarden_reconcile_errors_total',
    'Reconciles that failed and are tried again.',
    ['controller'],
  );
  readonly #requests = this.#histogram(
    'sidewarden_broker_request_seconds',
    "Requests of sidecars; the code is ok or the broker's.",
    ['route', 'code'],
  );

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** As `AdmissionOptions.observe`; milliseconds. */
  answered(path: string, kind: AdmissionAnswer['kind'], duration: number): void {
    const webhook = path.slice(1);
    this.#admission.observe({ webhook, answer: kind }, duration / 1000);
    if (webhook === 'inject') this.#injections.inc({ outcome: kind === 'refused' ? 'refused' : 'injected' });
    if (kind === 'refused') this.#refusals.inc({ webhook });
  }

  /** As `ControllerOptions.onTurn`. */
  reconciled(controller: string, turn: Turn): void {
    this.#reconciles.observe({ controller }, turn.took / 1000);
    if (turn.error !== undefined) this.#failures.inc({ controller });
  }

  /** `code` is `ok` or one of the protocol's; milliseconds. */
  requested(route: string, code: string, duration: number): void {
    this.#requests.observe({ route, code }, duration / 1000);
  }

  watch(observed: Observed): void {
    this.#read('sidewarden_leader', 'Whether this replica reconciles.', () => (observed.leads() ? 1 : 0));
    this.#read('sidewarden_broker_streams', 'Sidecars that listen to this replica.', observed.streams);
    this.#read(
      'sidewarden_spool_bytes',
      'Handed-over recordings that are not yet in the store.',
      observed.spoolBytes,
    );
    this.#read(
      'sidewarden_certificate_expiry_timestamp_seconds',
      'When the serving certificate ends.',
      () => observed.certificateExpires() / 1000,
    );
    this.#read('sidewarden_injected_pods', 'Pods with a sidecar.', () => observed.pods.list().length);
    this.#each('sidewarden_sessions', 'Sessions, by connection and phase.', ['connection', 'phase'], () =>
      byPhase(observed.sessions, (object) => text(object, ['spec', 'connection']) ?? ''),
    );
    this.#each('sidewarden_approvals', 'Approvals, by connection and phase.', ['connection', 'phase'], () =>
      byPhase(observed.approvals, (object) => text(object, ['spec', 'request', 'connection']) ?? ''),
    );
    this.#each('sidewarden_queue_depth', 'Objects that are due and not begun.', ['controller'], () =>
      observed.controllers().map(({ name, depth }) => ({ labels: { controller: name }, value: depth })),
    );
    this.#each('sidewarden_queue_oldest_seconds', 'Age of the oldest of them.', ['controller'], () =>
      observed.controllers().map(({ name, age }) => ({ labels: { controller: name }, value: age / 1000 })),
    );
  }

  #read(name: string, help: string, value: () => number): void {
    this.#each(name, help, [], () => [{ labels: {}, value: value() }]);
  }

  #each(name: string, help: string, labelNames: readonly string[], samples: () => readonly Sample[]): void {
    // It registers itself.
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of samples()) this.set(labels, value);
      },
    });
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  #histogram(name: string, help: string, labelNames: readonly string[]): Histogram {
    return new Histogram({
      name,
      help,
      labelNames: [...labelNames],
      buckets: FAST_SECONDS,
      registers: [this.#registry],
    });
  }
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function byPhase(store: Store, connection: (object: KubeObject) => string): readonly Sample[] {
  const counts = new Map<string, { readonly labels: Sample['labels']; value: number }>();
  for (const object of store.list()) {
    const phase = text(object, ['status', 'phase'])?.toLowerCase() ?? 'new';
    const labels = { connection: `${object.metadata.namespace}/${connection(object)}`, phase };
    const key = `${labels.connection} ${phase}`;
    const known = counts.get(key) ?? { labels, value: 0 };
    known.value += 1;
    counts.set(key, known);
  }
  return [...counts.values()];
}
