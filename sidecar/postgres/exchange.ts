/** The state that both directions of one session share: requests write it ahead, answers confirm it. */
import type { Socket } from 'node:net';
import type { MaskRules } from '../mask/mask.ts';
import { Expectations } from './expectation.ts';
import { Names, type Prepared } from './names.ts';
import { Outlet } from './outlet.ts';
import { Run, type RowBudget } from './run.ts';
import { parse } from './sql/parser.ts';
import type { Statement } from './sql/statement.ts';
import type { TransactionStatus } from './wire/backend.ts';
import type { Frame } from './wire/frame.ts';
import {
  FLUSH,
  FRONTEND,
  SYNC,
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeParse,
} from './wire/frontend.ts';

export class Exchange {
  readonly expectations = new Expectations();
  readonly names = new Names();
  readonly toServer: Outlet;
  readonly toClient: Outlet;
  /** As the server last told. */
  status: TransactionStatus = 'I';
  /** Whether a transaction block will be open once all that was sent has run. */
  open = false;
  /** The open transaction has written. */
  wrote = false;
  /** A message of the current batch failed: the client's messages up to its Sync are dropped, as the server does. */
  discarding = false;
  /** Number of Syncs sent. */
  batch = 0;
  /** Messages of the extended protocol were sent since the last Sync. */
  midBatch = false;
  /** A Bind was sent since then: a portal of the batch would not survive a Sync of ours. */
  bound = false;
  /** Statements under way that change what later ones mean. */
  pendingEffects = 0;
  /** Something failed since the server was last ready. */
  failed = false;
  /** A statement was executed by the extended protocol since the last Sync. */
  executed = false;
  /** A COPY FROM STDIN that takes data now. */
  copyIn: Run | undefined;
  /** The answer that is coming in was refused: nothing more of it goes out until the server is ready. */
  muted = false;
  #copyGate: { readonly run: Run; readonly open: () => void } | undefined;
  #drained: (() => void) | undefined;

  constructor(server: Socket, client: Socket) {
    this.toServer = new Outlet(server);
    this.toClient = new Outlet(client);
  }

  /** Passes a message of the server on as it came. */
  pass(frame: Frame): void {
    if (!this.muted) this.toClient.forward(frame.buffer, frame.start, frame.end);
  }

  /** Nothing is under way: the server waits for a query. */
  get idle(): boolean {
    return this.expectations.size === 0 && !this.midBatch;
  }

  /** What a hold would keep open: what a batch has executed is, until its Sync. */
  get transaction(): { readonly open: boolean; readonly failed: boolean; readonly wrote: boolean } {
    return { open: this.open || this.executed, failed: this.status === 'E', wrote: this.wrote };
  }

  /** The end of a transaction was sent, if only that of a batch, and is not answered. */
  get ending(): boolean {
    return this.expectations.some(
      (item) =>
        item.kind === 'sync' ||
        item.kind === 'query' ||
        (item.kind === 'refusal' && item.simple) ||
        (item.kind === 'execute' && endsTransaction(item.portal.run)),
    );
  }

  /** What names of prepared statements and portals stand for depends on answers that have not come. */
  get namesPending(): boolean {
    return this.expectations.some(
      (item) =>
        item.kind === 'close' ||
        (item.kind === 'parse' && item.prepared.name !== '') ||
        (item.kind === 'bind' && item.portal.name !== ''),
    );
  }

  /** A run is about to be executed by the server. */
  sent(run: Run): void {
    const { statement } = run;
    switch (statement.session.kind) {
      case 'begin':
        this.open = true;
        break;
      case 'commit':
      case 'rollback':
        this.open = statement.session.chain;
        break;
      case 'savepoint':
        this.names.savepoint(statement.session.name, run);
        break;
      default:
        break;
    }
    if (run.pending || !affectsLater(statement)) return;
    run.pending = true;
    this.pendingEffects += 1;
  }

  /** It has run, or will not any more. */
  settled(run: Run): void {
    if (!run.pending) return;
    run.pending = false;
    this.pendingEffects -= 1;
  }

  /** Resolves when all that was sent is answered; undefined when it is. */
  drained(): Promise<void> | undefined {
    const last = this.expectations.last;
    if (!last) return undefined;
    if (last.kind !== 'sync' && last.kind !== 'query') this.toServer.send(FLUSH);
    this.toServer.flush();
    return new Promise((done) => {
      this.#drained = done;
    });
  }

  /** Resolves when a COPY that was sent takes data, or is over: what the client sends on means one thing or the other. */
  copyStarted(run: Run): Promise<void> {
    this.toServer.send(FLUSH);
    this.toServer.flush();
    return new Promise((open) => {
      this.#copyGate = { run, open };
    });
  }

  /** Without a run: whatever was waited for. */
  openCopyGate(run?: Run): void {
    const gate = this.#copyGate;
    if (!gate || (run && run !== gate.run)) return;
    this.#copyGate = undefined;
    gate.open();
  }

  /** To be called whenever an answer was taken off. */
  answered(): void {
    if (this.expectations.size > 0 || !this.#drained) return;
    const done = this.#drained;
    this.#drained = undefined;
    done();
  }

  /** Lets go of all that waits for answers which will not come. */
  release(): void {
    this.openCopyGate();
    const done = this.#drained;
    this.#drained = undefined;
    done?.();
    for (let item = this.expectations.shift(); item; item = this.expectations.shift()) {
      if (item.kind === 'internal') item.fail(new Error('the server closed the connection'));
    }
  }

  /**
   * A query of ours on the session's own connection, where it sees what its transaction has changed, once all that was sent is
   * answered. Undefined while the transaction has failed.
   */
  readonly ask = (sql: string): Promise<readonly (readonly (string | null)[])[]> | undefined => {
    if (this.status === 'E' || this.discarding) return undefined;
    const waiting = this.drained();
    return waiting ? waiting.then(() => this.#askNow(sql)) : this.#askNow(sql);
  };

  /** Has the server parse a prepared statement anew, once all that was sent is answered. */
  readonly parseAnew = async ({ name, text, types, bySql }: Prepared): Promise<void> => {
    await this.drained();
    if (bySql) await this.#internal([encodeClose('S', name), ...internalBatch(text)]);
    else
      await this.#internal([
        ...(name === '' ? [] : [encodeClose('S', name)]),
        encodeParse(name, text, types),
        // By its answer the end is known.
        encodeClose('P', INTERNAL),
      ]);
  };

  /**
   * By the extended protocol, since a simple query would drop the client's unnamed statement. It ends with a Sync unless that
   * would commit what the client's batch has done so far.
   */
  #askNow(sql: string): Promise<readonly (readonly (string | null)[])[]> {
    return this.#internal(internalBatch(sql));
  }

  #internal(batch: readonly Buffer[]): Promise<readonly (readonly (string | null)[])[]> {
    if (this.discarding) return Promise.reject(new Error('the batch has failed'));
    const synced = !this.bound;
    const messages = [...batch, synced ? SYNC : FLUSH];
    const closes = messages.filter((message) => message[0] === FRONTEND.close).length;
    return new Promise((done, fail) => {
      this.expectations.push({ kind: 'internal', rows: [], closes, synced, error: undefined, done, fail });
      for (const message of messages) this.toServer.send(message);
      this.toServer.flush();
    });
  }
}

/** Statement and portal of internal queries; the unnamed ones are the client's. */
const INTERNAL = 'sidewarden_internal';

/** Each statement of the text by itself, since the extended protocol takes one at a time. */
function internalBatch(sql: string): readonly Buffer[] {
  const parsed = parse(sql);
  if (parsed.kind !== 'parsed') throw new RangeError('an internal query that cannot be parsed');
  const bind = { portal: INTERNAL, statement: INTERNAL, formats: [], values: [], resultFormats: [] };
  return parsed.statements.flatMap(({ text }) => [
    encodeClose('P', INTERNAL),
    encodeClose('S', INTERNAL),
    encodeParse(INTERNAL, text, []),
    encodeBind(bind, INTERNAL),
    encodeExecute(INTERNAL),
    encodeClose('P', INTERNAL),
    encodeClose('S', INTERNAL),
  ]);
}

function endsTransaction(run: Run | undefined): boolean {
  const kind = run?.statement.session.kind;
  return kind === 'commit' || kind === 'rollback' || kind === 'prepare-transaction';
}

/** Whether a statement changes what later ones mean, other than by opening or ending a transaction. */
export function affectsLater(statement: Statement): boolean {
  if (statement.changesCatalog || statement.changesSettings) return true;
  switch (statement.session.kind) {
    case 'none':
    case 'begin':
    case 'commit':
    case 'rollback':
    case 'savepoint':
    case 'release':
    case 'rollback-to':
    case 'prepare-transaction':
    case 'listen':
    case 'unlisten':
    case 'copy-in':
    case 'copy-out':
      return false;
    case 'set':
    case 'set-role':
    case 'discard':
    case 'prepare':
    case 'deallocate':
    case 'declare':
    case 'close-cursor':
      return true;
  }
}

/** How the answer of a permitted statement is masked. */
function masksOf(statement: Statement): Run['masks'] {
  switch (statement.masks.kind) {
    case 'clear':
      return undefined;
    case 'columns':
      return statement.masks.fields;
    case 'untraceable':
      return 'all';
    case 'refused':
      throw new RangeError('a refused statement has no run');
  }
}

/** Whether the server's messages about a statement could hold a protected value. */
export function messagesWithheld(statement: Statement, rules: MaskRules): boolean {
  if (rules.columns.length === 0) return false;
  const { masks, facts, nearProtected = false } = statement;
  if (masks.kind !== 'clear' || nearProtected || facts.effects.includes('opaque')) return true;
  return facts.tables.length === 0 && EVERY_TABLE.has(facts.verb);
}

/** They say what belongs to statements before them, or to tables that they do not name. */
const EVERY_TABLE = new Set([
  'COMMIT',
  'SET CONSTRAINTS',
  'FETCH',
  'MOVE',
  'ANALYZE',
  'VACUUM',
  'REINDEX',
  'CLUSTER',
]);

export function newRun(number: number, statement: Statement, rules: MaskRules, budget: RowBudget): Run {
  return new Run(number, statement, masksOf(statement), messagesWithheld(statement, rules), budget);
}
