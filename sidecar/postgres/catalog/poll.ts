/** Looks for DDL that came by other ways than through here; see `Catalog.poll`. */
import type { Logger } from 'pino';
import type { Catalog } from './cache.ts';
import type { CatalogQuery } from './relation.ts';

/** Milliseconds. */
const INTERVAL = 1_000;

export interface CatalogPollParts {
  readonly catalog: Catalog;
  readonly query: CatalogQuery;
  /** Whether anybody would notice. */
  readonly needed: () => boolean;
  readonly log: Logger;
}

export class CatalogPoll {
  readonly #parts: CatalogPollParts;
  readonly #timer: NodeJS.Timeout;
  /** A slow server is not asked again before it has answered. */
  #looking = false;

  constructor(parts: CatalogPollParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.#look(), INTERVAL);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { catalog, query, needed, log } = this.#parts;
    if (!needed() || this.#looking) return;
    this.#looking = true;
    try {
      await catalog.poll(query);
    } catch (error) {
      // What cannot be checked is read anew when it is next needed.
      catalog.invalidate();
      log.warn({ err: error }, 'the catalog could not be checked for changes');
    } finally {
      this.#looking = false;
    }
  }
}
