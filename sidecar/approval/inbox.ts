/** Sees decision files when they appear, one after the other: by event, and by a slow look should an event be lost. */
import { type FSWatcher, watch } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { decisionId, takeDecision, type ReadDecision } from './decision-file.ts';

const LOOK_EVERY_MS = 2_000;

export interface ApprovalLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type Take = (
  id: string,
  read: Exclude<ReadDecision, { readonly kind: 'gone' | 'stuck' }>,
) => Promise<void>;

export class Inbox {
  readonly #folder: string;
  readonly #take: Take;
  readonly #log: ApprovalLog;
  readonly #watcher: FSWatcher;
  readonly #timer: NodeJS.Timeout;
  /** Entries that could not be taken away: told once, then passed over. */
  readonly #stuck = new Set<string>();
  #scan: Promise<void> | undefined;
  #again = false;
  #closed = false;

  /** Looks at once at what is there already. Throws when the folder cannot be watched. */
  constructor(folder: string, take: Take, log: ApprovalLog) {
    this.#folder = folder;
    this.#take = take;
    this.#log = log;
    this.#watcher = watch(folder, { persistent: false }, () => this.look());
    this.#watcher.on('error', (error) =>
      log.warn({ err: error }, 'decisions cannot be watched: looking every 2s'),
    );
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
    this.look();
  }

  look(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#scan ??= this.#scanAll().finally(() => {
      this.#scan = undefined;
    });
  }

  /** Waits for the decision that is being looked at. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher.close();
    clearInterval(this.#timer);
    await this.#scan;
  }

  async #scanAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        for (const file of await readdir(this.#folder)) await this.#one(file);
      } catch (error) {
        this.#log.error({ err: error }, 'decisions cannot be read');
      }
    }
  }

  async #one(file: string): Promise<void> {
    const id = decisionId(file);
    if (id === null || this.#stuck.has(file) || this.#closed) return;
    const read = await takeDecision(join(this.#folder, file));
    if (read.kind === 'gone') return;
    if (read.kind === 'stuck') {
      if (this.#stuck.size < 10_000) this.#stuck.add(file);
      this.#log.warn({ file }, 'a decision was ignored: it cannot be taken away');
      return;
    }
    try {
      await this.#take(id, read);
    } catch (error) {
      this.#log.error({ err: error, file }, 'a decision could not be handled');
    }
  }
}
