/**
 * The server's side of a session: each message is checked against what was asked, masked, recorded and passed on.
 * A server that says what nobody asked for ends the session.
 */
import type { Masking } from './masking.ts';
import type { Denial } from '../operation.ts';
import type { OperationCompleted, RecordingEvent } from '../record/event.ts';
import type { Analyst } from './analyst.ts';
import type { Exchange } from './exchange.ts';
import type { Expectation } from './expectation.ts';
import type { Prepared } from './names.ts';
import { denialFields, withoutValues } from './refusal.ts';
import { type Run, recordedColumns } from './run.ts';
import { PINNED } from './settings.ts';
import type { SessionEffect, Statement } from './sql/statement.ts';
import {
  BACKEND,
  type ErrorFields,
  type FieldDescription,
  encodeErrorFields,
  readCommandComplete,
  readErrorFields,
  readParameterDescription,
  readParameterStatus,
  readReadyForQuery,
  readRowDescription,
  readTextRow,
} from './wire/backend.ts';
import { Body } from './wire/body.ts';
import { WireError } from './wire/error.ts';
import type { Frame } from './wire/frame.ts';

export interface AnswerParts {
  readonly exchange: Exchange;
  readonly analyst: Analyst;
  readonly masking: Masking;
  /** Columns are protected in this session now: messages that belong to no statement are withheld too. */
  readonly masked: () => boolean;
  readonly record: (event: RecordingEvent) => void;
}

export class Answers {
  readonly #parts: AnswerParts;
  readonly #exchange: Exchange;
  /** The answer that is coming in was refused: nothing more of it goes out. */
  #muted = false;
  readonly #descriptions = new WeakMap<
    Statement,
    { readonly bytes: Buffer; readonly fields: readonly FieldDescription[] }
  >();

  constructor(parts: AnswerParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
  }

  /** Takes one message of the server. A promise when the next must wait. Throws WireError for what cannot be. */
  handle(frame: Frame): Promise<void> | undefined {
    switch (frame.tag) {
      case BACKEND.dataRow:
        return this.#row(frame);
      case BACKEND.bindComplete:
        return this.#bound(frame);
      case BACKEND.commandComplete:
        return this.#completed(frame);
      case BACKEND.readyForQuery:
        return this.#ready(frame);
      case BACKEND.rowDescription:
        return this.#described(frame, true);
      case BACKEND.noData:
        return this.#described(frame, false);
      case BACKEND.parseComplete:
        return this.#parsed(frame);
      case BACKEND.closeComplete:
        return this.#closed(frame);
      case BACKEND.parameterDescription:
        return this.#parameters(frame);
      case BACKEND.portalSuspended:
        return this.#suspended(frame);
      case BACKEND.emptyQueryResponse:
        return this.#empty(frame);
      case BACKEND.errorResponse:
        return this.#error(readErrorFields(frame), frame);
      case BACKEND.copyInResponse:
        return this.#copyIn(frame);
      case BACKEND.copyOutResponse:
        return this.#copyOut(frame);
      case BACKEND.copyData:
        return this.#copyData(frame);
      case BACKEND.copyDone:
        return this.#copyDone(frame);
      default:
        return this.#aside(frame);
    }
  }

  /** Messages that may come at any time. */
  #aside(frame: Frame): undefined {
    switch (frame.tag) {
      case BACKEND.noticeResponse:
        this.#notice(readErrorFields(frame), frame);
        return;
      case BACKEND.parameterStatus: {
        const { name, value } = readParameterStatus(frame);
        const pinned = PINNED.get(name);
        if (pinned !== undefined && pinned !== value) {
          throw new WireError(
            'unexpected-message',
            `the server changed ${name}, by which statements are read`,
          );
        }
        this.#pass(frame);
        return;
      }
      case BACKEND.notificationResponse:
        // Its payload could be anything: where columns are masked, nobody listens.
        if (!this.#parts.masked()) this.#pass(frame);
        return;
      default:
        throw unexpected(frame);
    }
  }

  #pass(frame: Frame): void {
    if (this.#muted) return;
    this.#exchange.toClient.forward(frame.buffer, frame.start, frame.end);
  }

  #first(frame: Frame): Expectation {
    const first = this.#exchange.expectations.first;
    if (!first) throw unexpected(frame);
    return first;
  }

  #take(): void {
    this.#exchange.expectations.shift();
    this.#exchange.answered();
  }

  #run(frame: Frame): Run {
    const first = this.#first(frame);
    const run =
      first.kind === 'query' && !first.failed
        ? first.runs[first.next]
        : first.kind === 'execute'
          ? first.portal.run
          : undefined;
    if (!run) throw unexpected(frame);
    return run;
  }

  #row(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal') {
      first.rows.push(readTextRow(frame));
      return;
    }
    if (this.#muted) return;
    const run = this.#run(frame);
    const { layout } = run;
    const size = frame.end - frame.start;
    switch (layout.kind) {
      case 'unknown':
        throw new WireError('unexpected-message', 'a row whose layout is not known');
      case 'refused':
        this.#mute(run, layout.reason);
        return;
      case 'clear':
        if (run.wants(size))
          this.#parts.masking.keep(run, layout.fields, frame.buffer, frame.start, frame.end);
        this.#exchange.toClient.forward(frame.buffer, frame.start, frame.end);
        run.bytes += size;
        break;
      case 'masked':
        run.bytes += this.#parts.masking.row(run, layout, frame, this.#exchange.toClient);
        break;
    }
    run.rows += 1;
  }

  #parsed(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal' && first.closes > 0) return;
    if (first.kind !== 'parse') throw unexpected(frame);
    first.prepared.confirmed = true;
    this.#take();
    if (!first.internal) this.#pass(frame);
  }

  #bound(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal' && first.closes > 0) return;
    if (first.kind !== 'bind') throw unexpected(frame);
    first.portal.confirmed = true;
    this.#take();
    this.#pass(frame);
  }

  #closed(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal' && first.closes > 0) {
      first.closes -= 1;
      if (first.closes > 0) return;
      this.#take();
      settle(first);
      return;
    }
    if (first.kind !== 'close') throw unexpected(frame);
    this.#take();
    if (!first.internal) this.#pass(frame);
  }

  #parameters(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind !== 'describe-statement' || first.parametersSeen) throw unexpected(frame);
    first.parametersSeen = true;
    first.prepared.types = readParameterDescription(frame);
    if (!first.internal) this.#pass(frame);
  }

  #described(frame: Frame, rows: boolean): Promise<void> | undefined {
    const first = this.#first(frame);
    switch (first.kind) {
      case 'internal':
        return undefined;
      case 'query': {
        if (!rows) throw unexpected(frame);
        const run = this.#run(frame);
        this.#pass(frame);
        return this.#layOut(run, this.#fields(run.statement, frame));
      }
      case 'describe-statement': {
        const { prepared, internal } = first;
        prepared.fields = rows ? this.#fields(prepared.statement, frame) : null;
        if (!internal) prepared.described = true;
        this.#take();
        if (!internal) this.#pass(frame);
        return undefined;
      }
      case 'describe-portal': {
        const { portal, internal } = first;
        this.#take();
        if (!internal) this.#pass(frame);
        if (!portal?.run) return undefined;
        portal.fields = rows ? this.#fields(portal.run.statement, frame) : null;
        return portal.fields ? this.#layOut(portal.run, portal.fields) : undefined;
      }
      case 'parse':
      case 'bind':
      case 'execute':
      case 'close':
      case 'sync':
      case 'refusal':
        throw unexpected(frame);
    }
  }

  /** The fields of a RowDescription; the same object as the last time when its bytes are the same. */
  #fields(statement: Statement | undefined, frame: Frame): readonly FieldDescription[] {
    const known = statement && this.#descriptions.get(statement);
    if (known && frame.buffer.compare(known.bytes, 0, known.bytes.length, frame.start, frame.end) === 0)
      return known.fields;
    const fields = readRowDescription(frame);
    if (statement)
      this.#descriptions.set(statement, {
        bytes: Buffer.from(frame.buffer.subarray(frame.start, frame.end)),
        fields,
      });
    return fields;
  }

  /** Fixes how the rows of a run are let out. */
  #layOut(run: Run, fields: readonly FieldDescription[]): Promise<void> | undefined {
    const layout = this.#parts.masking.layout(run, fields);
    if (layout instanceof Promise) {
      return layout.then((known) => {
        run.layout = known;
      });
    }
    run.layout = layout;
    return undefined;
  }

  /**
   * Withholds the rest of an answer: the error goes out now, and nothing more until the server is ready. The server may
   * have done what it was asked; its transaction status is told truly.
   */
  #mute(run: Run, reason: string): void {
    const denial: Denial = {
      code: 'mask',
      message: 'the answer cannot be masked, and is withheld',
      detail: reason,
      hint: 'The statement itself may have run. Select columns of plain types, in text form.',
    };
    this.#exchange.toClient.send(encodeErrorFields('error', denialFields(denial)));
    this.#muted = true;
    this.#complete(run, null, { code: '42501', message: denial.message });
    if (this.#exchange.midBatch && this.#exchange.expectations.first?.kind === 'execute')
      this.#exchange.discarding = true;
  }

  #completed(frame: Frame): Promise<void> | undefined {
    const first = this.#first(frame);
    switch (first.kind) {
      case 'internal':
        return undefined;
      case 'query': {
        const run = first.runs[first.next];
        if (!run || first.failed) throw unexpected(frame);
        first.next += 1;
        this.#finish(run, readCommandComplete(frame));
        this.#pass(frame);
        return undefined;
      }
      case 'execute': {
        const { run } = first.portal;
        if (!run) throw unexpected(frame);
        this.#take();
        this.#finish(run, readCommandComplete(frame));
        this.#pass(frame);
        return undefined;
      }
      case 'parse':
      case 'bind':
      case 'describe-statement':
      case 'describe-portal':
      case 'close':
      case 'sync':
      case 'refusal':
        throw unexpected(frame);
    }
  }

  /** A statement ran: what it changed is noted. */
  #finish(run: Run, tag: string): void {
    const exchange = this.#exchange;
    if (!this.#muted) this.#complete(run, tag, null);
    if (exchange.copyIn === run) exchange.copyIn = undefined;
    exchange.openCopyGate();
    const { statement } = run;
    this.#apply(statement.session);
    exchange.settled(run);
    this.#parts.analyst.completed(statement, exchange.status === 'T' || exchange.open);
    if (statement.facts.effects.some((effect) => effect !== 'read' && effect !== 'session'))
      exchange.wrote = true;
  }

  #apply(effect: SessionEffect): void {
    const { names } = this.#exchange;
    switch (effect.kind) {
      case 'prepare':
        names.setPrepared(sqlPrepared(effect.name, effect.statement, this.#exchange.batch));
        return;
      case 'deallocate':
        if (effect.name === null) names.removeAllPrepared();
        else names.removePrepared(effect.name);
        return;
      case 'declare':
        names.setCursor(effect.name, effect.masks, effect.hold);
        return;
      case 'close-cursor':
        names.removeCursor(effect.name);
        return;
      case 'discard':
        if (effect.what === 'ALL') {
          names.removeAllPrepared();
          names.removeCursor(null);
        }
        return;
      case 'begin':
      case 'commit':
      case 'rollback':
      case 'savepoint':
      case 'release':
      case 'rollback-to':
      case 'prepare-transaction':
      case 'set':
      case 'set-role':
      case 'listen':
      case 'unlisten':
      case 'copy-in':
      case 'copy-out':
      case 'none':
        return;
    }
  }

  #complete(run: Run, tag: string | null, error: OperationCompleted['error']): void {
    this.#recordRows(run);
    this.#parts.record({
      kind: 'complete',
      operation: run.number,
      tag,
      error,
      rows: run.rows,
      bytes: run.bytes,
      rowsNotRecorded: run.rows - run.recordedRows,
    });
  }

  #recordRows(run: Run): void {
    const rows = run.kept();
    if (rows.length === 0 || !('fields' in run.layout)) return;
    this.#parts.record({
      kind: 'rows',
      operation: run.number,
      columns: recordedColumns(run.layout.fields),
      rows,
    });
  }

  #suspended(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind !== 'execute' || !first.portal.run) throw unexpected(frame);
    this.#take();
    this.#recordRows(first.portal.run);
    this.#pass(frame);
  }

  #empty(frame: Frame): undefined {
    const first = this.#first(frame);
    switch (first.kind) {
      case 'query':
        break;
      case 'execute':
        this.#take();
        break;
      case 'parse':
      case 'bind':
      case 'describe-statement':
      case 'describe-portal':
      case 'close':
      case 'sync':
      case 'refusal':
      case 'internal':
        throw unexpected(frame);
    }
    this.#pass(frame);
  }

  #ready(frame: Frame): undefined {
    const exchange = this.#exchange;
    const first = this.#first(frame);
    const status = readReadyForQuery(frame);
    switch (first.kind) {
      case 'query':
        if (!first.failed && first.next < first.runs.length) throw unexpected(frame);
        break;
      case 'refusal':
        if (!first.failed)
          throw new WireError('unexpected-message', 'the server took a message that was refused');
        break;
      case 'sync':
        break;
      case 'internal':
        if (first.closes > 0) throw unexpected(frame);
        break;
      case 'parse':
      case 'bind':
      case 'describe-statement':
      case 'describe-portal':
      case 'execute':
      case 'close':
        throw unexpected(frame);
    }
    this.#muted = false;
    exchange.status = status;
    exchange.copyIn = undefined;
    exchange.openCopyGate();
    if (exchange.expectations.size === 1) exchange.open = status !== 'I';
    if (status === 'I') {
      exchange.wrote = false;
      // Portals of a batch that is under way already must not go with the transaction before it.
      if (exchange.expectations.size === 1 && !exchange.midBatch) exchange.names.transactionEnded();
      this.#parts.analyst.transactionEnded();
    }
    this.#take();
    if (first.kind === 'internal') settle(first);
    else this.#pass(frame);
  }

  #error(fields: ErrorFields, frame: Frame): undefined {
    const exchange = this.#exchange;
    const first = exchange.expectations.first;
    if (!first) {
      // Nobody asked: the server is about to close (shutdown, terminated by an administrator).
      this.#sendError(fields, this.#parts.masked(), frame);
      return;
    }
    switch (first.kind) {
      case 'internal':
        first.error = fields;
        if (first.closes === 0) return;
        // The client's batch has failed with it, and it must hear of that.
        this.#sendError(fields, true, frame);
        this.#skipToSync();
        settle(first);
        return;
      case 'refusal':
        // Anything but the syntax error that it must be (a shutdown, a cancel) is told as it is.
        if (fields.get('C') !== '42601') this.#sendError(fields, this.#parts.masked(), frame);
        else if (!this.#muted) exchange.toClient.send(encodeErrorFields('error', first.fields));
        first.failed = true;
        if (!first.simple) this.#skipToSync();
        return;
      case 'query': {
        const run = first.runs[first.next];
        if (!this.#muted) {
          const seen = this.#sendError(fields, run ? run.withheld : this.#parts.masked(), frame);
          if (run) this.#failed(run, seen);
        }
        first.failed = true;
        for (const skipped of first.runs.slice(first.next + 1)) this.#failed(skipped, NOT_RUN);
        exchange.copyIn = undefined;
        exchange.openCopyGate();
        return;
      }
      case 'sync':
        // The transaction could not be committed; ReadyForQuery still comes.
        this.#sendError(fields, this.#parts.masked(), frame);
        return;
      case 'parse':
      case 'bind':
      case 'describe-statement':
      case 'describe-portal':
      case 'execute':
      case 'close': {
        const run = first.kind === 'execute' || first.kind === 'bind' ? first.portal.run : undefined;
        const statement = first.kind === 'parse' ? first.prepared.statement : undefined;
        const withheld =
          run?.withheld ??
          (statement === undefined ? this.#parts.masked() : statement.masks.kind !== 'clear');
        const seen = this.#sendError(fields, withheld, frame);
        if (run) this.#failed(run, seen);
        this.#skipToSync(run);
        return;
      }
    }
  }

  #failed(run: Run, error: OperationCompleted['error']): void {
    if (!this.#muted) this.#complete(run, null, error);
    this.#exchange.settled(run);
    if (this.#exchange.copyIn === run) this.#exchange.copyIn = undefined;
  }

  /** After an error in the extended protocol the server answers nothing up to Sync: neither will we. */
  #skipToSync(failed?: Run): void {
    const exchange = this.#exchange;
    const { dropped, sync } = exchange.expectations.dropToSync();
    const ended = new Set<Run>(failed ? [failed] : []);
    for (const item of dropped) {
      const run = item.kind === 'bind' || item.kind === 'execute' ? item.portal.run : undefined;
      if (!run || ended.has(run)) continue;
      ended.add(run);
      this.#failed(run, NOT_RUN);
    }
    for (const item of dropped.toReversed()) if ('undo' in item) item.undo();
    exchange.copyIn = undefined;
    exchange.openCopyGate();
    if (!sync) exchange.discarding = true;
    exchange.answered();
  }

  #sendError(fields: ErrorFields, withheld: boolean, frame: Frame): NonNullable<OperationCompleted['error']> {
    const seen = withheld ? withoutValues(fields) : fields;
    if (!withheld) this.#pass(frame);
    else if (!this.#muted) this.#exchange.toClient.send(encodeErrorFields('error', seen));
    return { code: seen.get('C') ?? '', message: seen.get('M') ?? '' };
  }

  #notice(fields: ErrorFields, frame: Frame): void {
    const first = this.#exchange.expectations.first;
    if (first?.kind === 'internal' || first?.kind === 'refusal') return;
    const run =
      first?.kind === 'query'
        ? first.runs[first.next]
        : first?.kind === 'execute' || first?.kind === 'bind'
          ? first.portal.run
          : undefined;
    const withheld = run ? run.withheld : this.#parts.masked();
    const seen = withheld ? withoutValues(fields) : fields;
    if (!withheld) this.#pass(frame);
    else if (!this.#muted) this.#exchange.toClient.send(encodeErrorFields('notice', seen));
    this.#parts.record({
      kind: 'notice',
      operation: run?.number ?? null,
      severity: seen.get('V') ?? '',
      code: seen.get('C') ?? '',
      message: seen.get('M') ?? '',
    });
  }

  #copyIn(frame: Frame): undefined {
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-in') throw unexpected(frame);
    this.#exchange.copyIn = run;
    this.#pass(frame);
    this.#exchange.openCopyGate();
  }

  /** `H`: Int8 format, Int16 n, n × Int16 format. */
  #copyOut(frame: Frame): undefined {
    const run = this.#run(frame);
    const { session } = run.statement;
    if (session.kind !== 'copy-out') throw unexpected(frame);
    const body = Body.of('CopyOutResponse', frame);
    body.byte();
    const masker = this.#parts.masking.copy(run, session.options, body.count(2));
    if (masker?.kind === 'refused') {
      this.#mute(run, masker.reason);
      return;
    }
    run.copyMasker = masker;
    this.#pass(frame);
  }

  #copyData(frame: Frame): undefined {
    if (this.#muted) return;
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-out') throw unexpected(frame);
    this.#parts.masking.copyOut(run, frame, this.#exchange.toClient, this.#parts.record);
  }

  #copyDone(frame: Frame): undefined {
    if (this.#muted) return;
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-out') throw unexpected(frame);
    run.copyMasker?.end();
    this.#pass(frame);
  }
}

const NOT_RUN = { code: '25P02', message: 'not run: an earlier statement of the same batch failed' };

function settle(item: Extract<Expectation, { kind: 'internal' }>): void {
  if (item.error)
    item.fail(new Error(`internal query failed: ${item.error.get('C') ?? ''} ${item.error.get('M') ?? ''}`));
  else item.done(item.rows);
}

function unexpected(frame: Frame): WireError {
  return new WireError(
    'unexpected-message',
    `the server sent '${String.fromCharCode(frame.tag)}' out of turn`,
  );
}

function sqlPrepared(name: string, statement: Prepared['statement'], batch: number): Prepared {
  return {
    name,
    text: statement?.facts.text ?? '',
    statement,
    context: { catalog: {}, version: -1, masks: {}, path: '' },
    types: [],
    fields: undefined,
    described: false,
    bySql: true,
    confirmed: true,
    batch,
  };
}
