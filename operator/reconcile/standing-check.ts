/**
 * Checks of things outside that take their time and are asked for seldom: a sign-in to a target, a store's bucket. A reconcile never
 * waits for one: it gets the last result, or nothing yet, and is called again when there is a new one.
 */
import { type Clock, systemClock } from '../kube/clock.ts';
import type { Key } from '../kube/kube.ts';
import { WorkQueue } from '../kube/queue.ts';
import type { Listening } from './controller.ts';

export interface StandingCheckOptions<Result> {
  /** Milliseconds that a result is good for. */
  readonly goodFor: (result: Result) => number;
  /** At once. */
  readonly workers: number;
  readonly clock?: Clock;
}

interface Job<Result> {
  readonly fingerprint: string;
  readonly check: () => Promise<Result>;
}

interface Known<Result> {
  readonly fingerprint: string;
  readonly result: Result;
  readonly at: number;
}

export class StandingCheck<Result> implements Listening {
  readonly #options: StandingCheckOptions<Result>;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known<Result>>();
  readonly #jobs = new Map<string, Job<Result>>();
  #queue: WorkQueue | undefined;

  constructor(options: StandingCheckOptions<Result>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Checks only between `listen` and the returned stop; what was known is forgotten then. */
  listen(add: (key: Key) => void): () => void {
    const queue = new WorkQueue({
      workers: this.#options.workers,
      clock: this.#clock,
      work: async (key) => {
        if (await this.#check(key)) add(key);
        return undefined;
      },
    });
    this.#queue = queue;
    return () => {
      this.#queue = undefined;
      this.#known.clear();
      this.#jobs.clear();
      void queue.stop();
    };
  }

  /** The last result for what the fingerprint stands for; begins a check when there is none, or it is too old. */
  result(key: Key, fingerprint: string, check: () => Promise<Result>): Result | undefined {
    const id = idOf(key);
    const known = this.#known.get(id);
    const same = known?.fingerprint === fingerprint;
    const age = known ? this.#clock.now() - known.at : 0;
    const old = !same || age >= this.#options.goodFor(known.result);
    // One that is under way already answers this too.
    if (this.#queue && old && this.#jobs.get(id)?.fingerprint !== fingerprint) {
      this.#jobs.set(id, { fingerprint, check });
      this.#queue.add(key);
    }
    return same ? known.result : undefined;
  }

  forget(key: Key): void {
    this.#known.delete(idOf(key));
    this.#jobs.delete(idOf(key));
  }

  /** Whether there is a new result. */
  async #check(key: Key): Promise<boolean> {
    const id = idOf(key);
    const job = this.#jobs.get(id);
    if (!job) return false;
    const result = await job.check();
    // Forgotten meanwhile, or stopped.
    if (!this.#jobs.has(id)) return false;
    // What it shall check may have changed meanwhile: then there is another job, and its turn comes.
    if (this.#jobs.get(id) === job) this.#jobs.delete(id);
    this.#known.set(id, { fingerprint: job.fingerprint, result, at: this.#clock.now() });
    return true;
  }
}

function idOf({ namespace, name }: Key): string {
  return `${namespace}/${name}`;
}
