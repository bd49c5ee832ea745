/**
 * The server's side of a session: each message is checked against what was asked, masked, recorded and passed on.
 * A server that says what nobody asked for ends the session.
 */
import type { MaskRules } from '../mask/mask.ts';
import type { RecordingEvent } from '../record/event.ts';
import type { Analyst } from './analyst.ts';
import { Completion } from './completion.ts';
import type { Exchange } from './exchange.ts';
import { type Expectation, settle } from './expectation.ts';
import { Failures } from './failures.ts';
import type { Masking } from './masking.ts';
import type { Run } from './run.ts';
import { PINNED } from './settings.ts';
import type { Statement } from './sql/statement.ts';
import {
  BACKEND,
  type FieldDescription,
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
  /** The masks in force now. */
  readonly rules: () => MaskRules;
  readonly record: (event: RecordingEvent) => void;
}

export class Answers {
  readonly #parts: AnswerParts;
  readonly #exchange: Exchange;
  readonly #completion: Completion;
  readonly #failures: Failures;
  readonly #descriptions = new WeakMap<
    object,
    { readonly bytes: Buffer; readonly fields: readonly FieldDescription[] }
  >();

  constructor(parts: AnswerParts) {
    const { exchange, analyst, rules, record } = parts;
    this.#parts = parts;
    this.#exchange = exchange;
    this.#completion = new Completion(exchange, analyst, rules, record);
    this.#failures = new Failures(exchange, this.#completion, rules, record);
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
        return this.#failures.error(readErrorFields(frame), frame);
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
        this.#failures.notice(readErrorFields(frame), frame);
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
        this.#exchange.pass(frame);
        return;
      }
      case BACKEND.notificationResponse:
        // Its payload could be anything: where columns are masked, nobody listens.
        if (this.#parts.rules().columns.length === 0) this.#exchange.pass(frame);
        return;
      default:
        throw unexpected(frame);
    }
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
    if (this.#exchange.muted) return;
    const run = this.#run(frame);
    const { layout } = run;
    const size = frame.end - frame.start;
    switch (layout.kind) {
      case 'unknown':
        throw new WireError('unexpected-message', 'a row whose layout is not known');
      case 'refused':
        this.#completion.mute(run, layout.reason);
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
    if (!first.internal) this.#exchange.pass(frame);
  }

  #bound(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal' && first.closes > 0) return;
    if (first.kind !== 'bind') throw unexpected(frame);
    first.portal.confirmed = true;
    this.#take();
    this.#exchange.pass(frame);
  }

  #closed(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind === 'internal' && first.closes > 0) {
      first.closes -= 1;
      if (first.closes > 0 || first.synced) return;
      this.#take();
      settle(first);
      return;
    }
    if (first.kind !== 'close') throw unexpected(frame);
    this.#take();
    if (!first.internal) this.#exchange.pass(frame);
  }

  #parameters(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind !== 'describe-statement' || first.parametersSeen) throw unexpected(frame);
    first.parametersSeen = true;
    first.prepared.types = readParameterDescription(frame);
    if (!first.internal) this.#exchange.pass(frame);
  }

  #described(frame: Frame, rows: boolean): Promise<void> | undefined {
    const first = this.#first(frame);
    switch (first.kind) {
      case 'internal':
        return undefined;
      case 'query': {
        if (!rows) throw unexpected(frame);
        const run = this.#run(frame);
        if (run.layout.kind !== 'unknown') throw unexpected(frame);
        this.#exchange.pass(frame);
        return this.#layOut(run, this.#fields(run.statement, frame));
      }
      case 'describe-statement': {
        const { prepared, internal } = first;
        prepared.fields = rows ? this.#fields(prepared.statement, frame) : null;
        if (!internal) prepared.described = true;
        this.#take();
        if (!internal) this.#exchange.pass(frame);
        return undefined;
      }
      case 'describe-portal': {
        const { portal, internal } = first;
        this.#take();
        if (!internal) this.#exchange.pass(frame);
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
    const shape = statement && (statement.facts.shape ?? statement.facts);
    const known = shape && this.#descriptions.get(shape);
    if (known && frame.buffer.compare(known.bytes, 0, known.bytes.length, frame.start, frame.end) === 0)
      return known.fields;
    const fields = readRowDescription(frame);
    if (shape)
      this.#descriptions.set(shape, {
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

  #completed(frame: Frame): Promise<void> | undefined {
    const first = this.#first(frame);
    switch (first.kind) {
      case 'internal':
        return undefined;
      case 'query': {
        const run = first.runs[first.next];
        if (!run || first.failed) throw unexpected(frame);
        first.next += 1;
        this.#completion.finish(run, readCommandComplete(frame), false);
        this.#exchange.pass(frame);
        return undefined;
      }
      case 'execute': {
        const { run } = first.portal;
        first.portal.begun = true;
        if (!run) throw unexpected(frame);
        this.#take();
        this.#completion.finish(run, readCommandComplete(frame), true);
        this.#exchange.pass(frame);
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

  #suspended(frame: Frame): undefined {
    const first = this.#first(frame);
    if (first.kind !== 'execute' || !first.portal.run) throw unexpected(frame);
    this.#take();
    first.portal.begun = true;
    this.#completion.recordRows(first.portal.run);
    this.#exchange.pass(frame);
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
    this.#exchange.pass(frame);
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
        if (!first.synced || (first.closes > 0 && !first.error)) throw unexpected(frame);
        break;
      case 'parse':
      case 'bind':
      case 'describe-statement':
      case 'describe-portal':
      case 'execute':
      case 'close':
        throw unexpected(frame);
    }
    this.#exchange.muted = false;
    exchange.status = status;
    exchange.copyIn = undefined;
    if (first.kind === 'query') for (const run of first.runs) exchange.openCopyGate(run);
    if (exchange.expectations.size === 1) exchange.open = status !== 'I';
    if (status === 'I') {
      exchange.wrote = false;
      if (exchange.failed) exchange.names.rolledBack();
      // Portals of a batch that is under way already must not go with the transaction before it.
      if (exchange.expectations.size === 1 && !exchange.midBatch) exchange.names.transactionEnded();
      this.#parts.analyst.transactionEnded();
    }
    exchange.failed = false;
    this.#take();
    if (first.kind === 'internal') settle(first);
    else this.#exchange.pass(frame);
  }

  #copyIn(frame: Frame): undefined {
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-in') throw unexpected(frame);
    this.#exchange.copyIn = run;
    this.#exchange.pass(frame);
    this.#exchange.openCopyGate(run);
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
      this.#completion.mute(run, masker.reason);
      return;
    }
    run.copyMasker = masker;
    this.#exchange.pass(frame);
  }

  #copyData(frame: Frame): undefined {
    if (this.#exchange.muted) return;
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-out') throw unexpected(frame);
    this.#parts.masking.copyOut(run, frame, this.#exchange.toClient, this.#parts.record);
  }

  #copyDone(frame: Frame): undefined {
    if (this.#exchange.muted) return;
    const run = this.#run(frame);
    if (run.statement.session.kind !== 'copy-out') throw unexpected(frame);
    run.copyMasker?.end();
    this.#exchange.pass(frame);
  }
}

function unexpected(frame: Frame): WireError {
  return new WireError(
    'unexpected-message',
    `the server sent '${String.fromCharCode(frame.tag)}' out of turn`,
  );
}
