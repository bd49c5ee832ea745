/** Ended approvals stay for a while, so that people can look back; then they go. */
import { voided } from './object.ts';
import type { ApprovalLog } from './inbox.ts';
import type { ApprovalStore } from './store.ts';

const WEEK_MS = 7 * 86_400_000;
const COLLECT_EVERY_MS = 60_000;
const RECEIPT_MS = 600_000;
/** All ended ones together: an agent must not make the list slow to read with a flood of long texts. */
const MAX_BYTES = 33_554_432;

export interface ArchiveOptions {
  readonly log: ApprovalLog;
  /** Milliseconds. */
  readonly retention?: number;
  readonly maxEnded?: number;
}

export class Archive {
  readonly #store: ApprovalStore;
  readonly #log: ApprovalLog;
  readonly #retention: number;
  readonly #maxEnded: number;
  /** When each ended and its bytes on disk, oldest first. */
  readonly #ended = new Map<string, { readonly at: number; readonly bytes: number }>();
  #bytes = 0;
  readonly #timer: NodeJS.Timeout;

  /** Reads what an earlier `serve` left, and makes void what was not over then. */
  constructor(store: ApprovalStore, options: ArchiveOptions) {
    this.#store = store;
    this.#log = options.log;
    this.#retention = options.retention ?? WEEK_MS;
    this.#maxEnded = options.maxEnded ?? 500;
    this.#adopt();
    this.#collect();
    this.#timer = setInterval(() => this.#collect(), COLLECT_EVERY_MS);
    this.#timer.unref();
  }

  has(name: string): boolean {
    return this.#ended.has(name);
  }

  add(name: string, now: number): void {
    this.#keep(name, now);
    if (this.#full()) this.#collect();
  }

  #keep(name: string, at: number): void {
    const bytes = this.#store.sizeOf(name);
    this.#ended.set(name, { at, bytes });
    this.#bytes += bytes;
  }

  #full(): boolean {
    return this.#ended.size > this.#maxEnded || this.#bytes > MAX_BYTES;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #adopt(): void {
    const { approvals, unreadable } = this.#store.readAll();
    for (const file of unreadable) this.#log.warn({ file }, 'not an approval that can be read: left alone');
    const ended: (readonly [string, number])[] = [];
    for (const approval of approvals) {
      const { phase, conditions = [], decidedAt } = approval.status ?? { phase: 'Pending' as const };
      if (phase === 'Pending' || phase === 'Approved' || phase === 'Modified') {
        this.#store.write(voided(approval, 'SessionEnded', Date.now()));
        ended.push([approval.metadata.name, Date.now()]);
        continue;
      }
      const times = [...conditions.map(({ lastTransitionTime }) => lastTransitionTime), decidedAt ?? ''];
      const last = Math.max(
        ...times.map((time) => Date.parse(time)).filter((time) => !Number.isNaN(time)),
        0,
      );
      ended.push([approval.metadata.name, last]);
    }
    for (const [name, at] of ended.sort(([, one], [, other]) => one - other)) this.#keep(name, at);
  }

  #collect(): void {
    try {
      const now = Date.now();
      for (const [name, { at, bytes }] of this.#ended) {
        if (!this.#full() && now - at < this.#retention) break;
        this.#store.remove(name);
        this.#ended.delete(name);
        this.#bytes -= bytes;
      }
      this.#store.collectReceipts(RECEIPT_MS, now);
    } catch (error) {
      this.#log.error({ err: error }, 'old approvals cannot be removed');
    }
  }
}
