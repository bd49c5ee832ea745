/** A connection of our own to the target, for the catalog and for evidence: opened when first needed, one query at a time. */
import type { CatalogQuery } from './catalog/relation.ts';
import { type ServerLink, type ServerTarget, ServerRefusal, connectServer } from './server.ts';
import { BACKEND, readErrorFields, readTextRow } from './wire/backend.ts';
import { NetError } from '../net/socket.ts';
import { TERMINATE, encodeQuery } from './wire/frontend.ts';

type Rows = readonly (readonly (string | null)[])[];

/** A connection that was lost without a word is noticed after so many milliseconds; statements time out earlier, at the server. */
const ANSWER = 10_000;

interface Waiting {
  readonly done: (rows: Rows) => void;
  readonly fail: (error: Error) => void;
}

export class SideConnection {
  readonly #target: ServerTarget;
  readonly #parameters: ReadonlyMap<string, string>;
  #link: Promise<ServerLink> | undefined;
  #waiting: Waiting | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** `parameters` are start-up parameters, e.g. a statement timeout. */
  constructor(target: ServerTarget, parameters: ReadonlyMap<string, string>) {
    this.#target = target;
    this.#parameters = parameters;
  }

  /** Runs one text by the simple protocol; all its rows. Rejects with ServerRefusal or NetError. */
  readonly query: CatalogQuery = (sql) => {
    const result = this.#tail.then(() => this.#run(sql));
    this.#tail = result.catch(() => undefined);
    return result;
  };

  close(): void {
    this.#closed = true;
    this.drop();
  }

  /** Ends the connection; the next query opens another. */
  drop(): void {
    void this.#link?.then(
      (link) => {
        link.socket.end(TERMINATE);
        link.socket.destroySoon();
      },
      () => undefined,
    );
  }

  async #run(sql: string): Promise<Rows> {
    if (this.#closed) throw new NetError('closed', 'the side connection is closed');
    this.#link ??= this.#open();
    const link = await this.#link;
    const { promise, resolve: done, reject: fail } = Promise.withResolvers<Rows>();
    this.#waiting = { done, fail };
    const late = new NetError('timeout', `the server did not answer within ${ANSWER} ms`);
    const timer = setTimeout(() => link.socket.destroy(late), ANSWER).unref();
    link.socket.write(encodeQuery(sql));
    return promise.finally(() => clearTimeout(timer));
  }

  async #open(): Promise<ServerLink> {
    try {
      const link = await connectServer(this.#target, this.#parameters);
      this.#listen(link);
      return link;
    } catch (error) {
      this.#link = undefined;
      throw error;
    }
  }

  #listen(link: ServerLink): void {
    const rows: (readonly (string | null)[])[] = [];
    let refusal: ServerRefusal | undefined;
    let dropped = false;
    const drop = (error: Error) => {
      // The next connection may be there already when this one says that it is closed.
      if (dropped) return;
      dropped = true;
      this.#link = undefined;
      link.socket.destroy();
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.fail(error);
    };
    link.socket.on('error', (error) => drop(new NetError('closed', error.message, error)));
    link.socket.on('close', () => drop(new NetError('closed', 'the server closed the side connection')));
    link.socket.on('data', (chunk: Buffer) => {
      try {
        link.reader.push(chunk);
        for (let frame = link.reader.next(); frame; frame = link.reader.next()) {
          if (frame.tag === BACKEND.dataRow) rows.push(readTextRow(frame));
          else if (frame.tag === BACKEND.errorResponse) refusal = new ServerRefusal(readErrorFields(frame));
          else if (frame.tag === BACKEND.readyForQuery) {
            const waiting = this.#waiting;
            this.#waiting = undefined;
            const result = rows.splice(0);
            const error = refusal;
            refusal = undefined;
            if (error) waiting?.fail(error);
            else waiting?.done(result);
          }
        }
      } catch (error) {
        drop(error instanceof Error ? error : new NetError('closed', 'unreadable answer'));
      }
    });
    link.socket.resume();
    // An idle side connection does not keep the process alive.
    link.socket.unref();
  }
}
