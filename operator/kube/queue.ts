/**
 * Work by key. A key is worked on by one worker at a time and stands in the queue at most once; what is added while it is worked on
 * is worked on once more. What fails comes again after a wait that grows with each failure in a row.
 */
import { type BackoffRange, backoff } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';
import type { Key } from './kube.ts';

export interface Again {
  /** Milliseconds until it is worked on again, unless something adds it before; not at all when not given. */
  readonly after?: number | undefined;
}

/** One turn of work on a key. */
export interface Turn {
  readonly key: Key;
  /** Milliseconds from when it was due to when it began. */
  readonly waited: number;
  /** Milliseconds that it took. */
  readonly took: number;
  readonly error: unknown;
}

export interface QueueOptions {
  readonly workers: number;
  readonly work: (key: Key) => Promise<Again | undefined>;
  /** After each turn; `error` is undefined when it went well. */
  readonly onTurn?: (turn: Turn) => void;
  readonly clock?: Clock;
  /** Of failures. */
  readonly wait?: BackoffRange;
}

interface Item {
  readonly key: Key;
  state: 'waiting' | 'queued' | 'running';
  /** Queued, or added while running: when it was due. */
  due: number | undefined;
  failures: number;
  cancel: (() => void) | undefined;
  /** When the wait ends. */
  at: number;
}

const WAIT: BackoffRange = { first: 200, most: 60_000 };

export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #clock: Clock;
  readonly #items = new Map<string, Item>();
  readonly #queue: Item[] = [];
  readonly #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** How many keys are due and not begun. */
  get depth(): number {
    return this.#queue.length;
  }

  /** Milliseconds that the oldest of them has waited; 0 when there is none. */
  get age(): number {
    const [oldest] = this.#queue;
    return oldest?.due === undefined ? 0 : this.#clock.now() - oldest.due;
  }

  /** As soon as a worker is free; a wait of this key is over. */
  add(key: Key): void {
    if (this.#stopped) return;
    const item = this.#item(key);
    item.due ??= this.#clock.now();
    if (item.state !== 'waiting') return;
    item.cancel?.();
    item.cancel = undefined;
    item.state = 'queued';
    this.#queue.push(item);
    this.#begin();
  }

  /** After so many milliseconds, or before that when something adds it, or it waits for less already. */
  addAfter(key: Key, milliseconds: number): void {
    if (this.#stopped) return;
    const item = this.#item(key);
    const at = this.#clock.now() + milliseconds;
    if (item.state === 'queued' || (item.cancel && item.at <= at)) return;
    item.cancel?.();
    item.at = at;
    item.cancel = this.#clock.later(milliseconds, () => {
      item.cancel = undefined;
      this.add(key);
    });
  }

  /** Begins nothing more; resolves when what has begun has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const item of this.#items.values()) item.cancel?.();
    this.#items.clear();
    this.#queue.length = 0;
    await Promise.all(this.#running);
  }

  #item(key: Key): Item {
    const id = `${key.namespace}/${key.name}`;
    const known = this.#items.get(id);
    if (known) return known;
    const item: Item = { key, state: 'waiting', due: undefined, failures: 0, cancel: undefined, at: 0 };
    this.#items.set(id, item);
    return item;
  }

  #begin(): void {
    while (this.#running.size < this.#options.workers) {
      const item = this.#queue.shift();
      if (!item) return;
      const began = this.#clock.now();
      const waited = began - (item.due ?? began);
      item.due = undefined;
      item.state = 'running';
      const turn = this.#turn(item, began, waited).finally(() => {
        this.#running.delete(turn);
        this.#begin();
      });
      this.#running.add(turn);
    }
  }

  async #turn(item: Item, began: number, waited: number): Promise<void> {
    const { key } = item;
    let again: Again | undefined;
    let error: unknown;
    try {
      again = await this.#options.work(key);
      item.failures = 0;
    } catch (failure) {
      error = failure ?? new Error('failed without an error');
      item.failures += 1;
      again = { after: backoff(item.failures, this.#options.wait ?? WAIT) };
    }
    this.#options.onTurn?.({ key, waited, took: this.#clock.now() - began, error });
    if (!this.#stopped) this.#settle(item, again);
  }

  #settle(item: Item, again: Again | undefined): void {
    item.state = 'waiting';
    if (item.due !== undefined) this.add(item.key);
    else if (again?.after !== undefined) this.addAfter(item.key, again.after);
    else if (!item.cancel) this.#items.delete(`${item.key.namespace}/${item.key.name}`);
  }
}
