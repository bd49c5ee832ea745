/**
 * Watches a folder of manifests. Events make it quick; a poll of names, identities, sizes and times makes it certain,
 * where events are lost (network file systems, a folder that is replaced, links into another folder).
 */
import { watch, type FSWatcher } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { folderSignature } from './folder.ts';
import { loadManifests, type LoadOptions, type LoadResult } from './manifests.ts';

export interface WatchOptions extends LoadOptions {
  /** What the caller has loaded already; without it the first state is handed on too. */
  readonly since?: string;
  /** Milliseconds of quiet after an event before the files are read. */
  readonly debounce?: number;
  /** Milliseconds between polls. */
  readonly poll?: number;
}

export interface ManifestWatcher {
  /** No call of `onChange` begins after it. */
  readonly close: () => Promise<void>;
}

const DEBOUNCE = 100;
const POLL = 2000;
/** A folder that never comes to rest is read all the same, after so many rounds of waiting. */
const MAX_ROUNDS = 10;

/**
 * Calls `onChange` with each new state of the folder, good or bad, one at a time, awaiting it. What is equal to the state
 * before is not handed on. An `onChange` that throws breaks an invariant: that is an unhandled rejection,
 * since a watcher that ended in silence would leave an old policy in force.
 */
export function watchManifests(
  path: string,
  onChange: (result: LoadResult) => void | Promise<void>,
  options: WatchOptions = { references: 'checked' },
): ManifestWatcher {
  const closing = new AbortController();
  const running = new Watch(path, onChange, options, closing.signal).run();
  return {
    close: async () => {
      closing.abort();
      await running;
    },
  };
}

class Watch {
  readonly #path: string;
  readonly #onChange: (result: LoadResult) => void | Promise<void>;
  readonly #options: WatchOptions;
  readonly #closing: AbortSignal;
  #events: FSWatcher | null = null;
  #wake: () => void = () => undefined;
  #pending = false;
  #digest: string | undefined;
  #signature: string | undefined;

  constructor(
    path: string,
    onChange: (result: LoadResult) => void | Promise<void>,
    options: WatchOptions,
    closing: AbortSignal,
  ) {
    this.#path = path;
    this.#onChange = onChange;
    this.#options = options;
    this.#closing = closing;
    this.#digest = options.since;
  }

  async run(): Promise<void> {
    try {
      this.#listen();
      while (!this.#closing.aborted) {
        await this.#reload();
        await this.#nextChange();
      }
    } finally {
      this.#deafen();
    }
  }

  /** Hands on what is new. */
  async #reload(): Promise<void> {
    const result = await this.#readAtRest();
    if (result.digest === this.#digest || this.#closing.aborted) return;
    this.#digest = result.digest;
    await this.#onChange(result);
  }

  /** Reads until the folder was the same before and after. */
  async #readAtRest(): Promise<LoadResult> {
    for (let round = 1; ; round += 1) {
      this.#pending = false;
      this.#signature = await folderSignature(this.#path);
      const result = await loadManifests(this.#path, this.#options);
      const atRest = (await folderSignature(this.#path)) === this.#signature;
      if (atRest || round >= MAX_ROUNDS || this.#closing.aborted) return result;
      await this.#pause(this.#options.debounce ?? DEBOUNCE);
    }
  }

  /** Until an event and then quiet, or until a poll sees another signature. */
  async #nextChange(): Promise<void> {
    while (!this.#closing.aborted) {
      await this.#pause(this.#options.poll ?? POLL);
      if (this.#pending) {
        await this.#settle();
        return;
      }
      if ((await folderSignature(this.#path)) !== this.#signature) {
        // No event told of it: the folder itself may be another by now.
        this.#deafen();
        this.#listen();
        return;
      }
      this.#listen();
    }
  }

  /** Waits while events keep coming, but not for ever. */
  async #settle(): Promise<void> {
    const debounce = this.#options.debounce ?? DEBOUNCE;
    const latest = performance.now() + MAX_ROUNDS * debounce;
    do {
      this.#pending = false;
      await this.#pause(debounce);
    } while (this.#hasNews() && performance.now() < latest);
  }

  #hasNews(): boolean {
    return this.#pending && !this.#closing.aborted;
  }

  /** Ends early by an event or by closing. */
  async #pause(milliseconds: number): Promise<void> {
    if (this.#pending || this.#closing.aborted) return;
    const woken = new AbortController();
    this.#wake = () => {
      woken.abort();
    };
    const signal = AbortSignal.any([this.#closing, woken.signal]);
    await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
  }

  /** (Re)starts the events; without them the poll goes on alone. */
  #listen(): void {
    if (this.#events !== null) return;
    try {
      const events = watch(this.#path, { persistent: false });
      this.#events = events;
      events.on('change', () => {
        this.#notice();
      });
      events.on('error', () => {
        this.#deafen();
        this.#notice();
      });
    } catch {
      this.#events = null;
    }
  }

  #deafen(): void {
    this.#events?.close();
    this.#events = null;
  }

  #notice(): void {
    this.#pending = true;
    this.#wake();
  }
}
