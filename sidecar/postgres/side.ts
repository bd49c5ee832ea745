/** A connection of our own to the target, for the catalog and for evidence: opened when first needed, one query at a time. */
import type { CatalogQuery } from './catalog/relation.ts';
import { type ServerLink, type ServerTarget, ServerRefusal, connectServer } from './server.ts';
import { BACKEND, readErrorFields, readTextRow } from './wire/backend.ts';
import { NetError } from '../net/socket.ts';
import { TERMINATE, encodeQuery } from './wire/frontend.ts';

interface Waiting {
  readonly done: (rows: readonly (readonly (string | null)[])[]) => void;
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

  async #run(sql: string): Promise<readonly (readonly (string | null)[])[]> {
    if (this.#closed) throw new NetError('closed', 'the side connection is closed');
    this.#link ??= this.#open();
    const link = await this.#link;
    return new Promise((done, fail) => {
      this.#waiting = { done, fail };
      link.socket.write(encodeQuery(sql));
    });
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
    const drop = (error: Error) => {
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
