/** Errors and notices of the server: told to the client as far as they hold no protected value, and acted on. */
import type { MaskRules } from '../mask/mask.ts';
import type { OperationCompleted, RecordingEvent } from '../record/event.ts';
import type { Completion } from './completion.ts';
import type { Exchange } from './exchange.ts';
import { settle } from './expectation.ts';
import { withoutValues } from './refusal.ts';
import type { Run } from './run.ts';
import { type ErrorFields, encodeErrorFields } from './wire/backend.ts';
import type { Frame } from './wire/frame.ts';

export class Failures {
  readonly #exchange: Exchange;
  readonly #completion: Completion;
  readonly #rules: () => MaskRules;
  readonly #record: (event: RecordingEvent) => void;

  constructor(
    exchange: Exchange,
    completion: Completion,
    rules: () => MaskRules,
    record: (event: RecordingEvent) => void,
  ) {
    this.#exchange = exchange;
    this.#completion = completion;
    this.#rules = rules;
    this.#record = record;
  }

  /** Columns are protected now: messages that belong to no statement are withheld too. */
  #masked(): boolean {
    return this.#rules().columns.length > 0;
  }

  error(fields: ErrorFields, frame: Frame): undefined {
    const exchange = this.#exchange;
    const first = exchange.expectations.first;
    exchange.failed = true;
    if (!first) {
      // Nobody asked: the server is about to close (shutdown, terminated by an administrator).
      this.#sendError(fields, this.#masked(), frame);
      return;
    }
    switch (first.kind) {
      case 'internal':
        first.error = fields;
        if (first.synced) return;
        // The client's batch has failed with it, and it must hear of that.
        this.#sendError(fields, true, frame);
        this.#skipToSync();
        settle(first);
        return;
      case 'refusal':
        // Anything but the syntax error that it must be (a shutdown, a cancel) is told as it is.
        if (fields.get('C') !== '42601') this.#sendError(fields, this.#masked(), frame);
        else if (!this.#exchange.muted) exchange.toClient.send(encodeErrorFields('error', first.fields));
        first.failed = true;
        if (!first.simple) this.#skipToSync();
        return;
      case 'query': {
        const run = first.runs[first.next];
        if (!this.#exchange.muted) {
          const seen = this.#sendError(fields, run ? run.withheld : this.#masked(), frame);
          if (run) this.#completion.failed(run, seen);
        }
        first.failed = true;
        for (const skipped of first.runs.slice(first.next + 1)) this.#completion.failed(skipped, NOT_RUN);
        exchange.copyIn = undefined;
        for (const each of first.runs) exchange.openCopyGate(each);
        return;
      }
      case 'sync':
        // The transaction could not be committed; ReadyForQuery still comes.
        this.#sendError(fields, this.#masked(), frame);
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
          run?.withheld ?? (statement === undefined ? this.#masked() : statement.masks.kind !== 'clear');
        const seen = this.#sendError(fields, withheld, frame);
        if (run) this.#completion.failed(run, seen);
        this.#skipToSync(run);
        return;
      }
    }
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
      this.#completion.failed(run, NOT_RUN);
    }
    for (const item of dropped.toReversed()) if ('undo' in item) item.undo();
    exchange.copyIn = undefined;
    for (const item of dropped)
      if (item.kind === 'execute' && item.portal.run) exchange.openCopyGate(item.portal.run);
    if (!sync) exchange.discarding = true;
    exchange.answered();
  }

  #sendError(fields: ErrorFields, withheld: boolean, frame: Frame): NonNullable<OperationCompleted['error']> {
    const seen = withheld ? withoutValues(fields) : fields;
    if (!withheld) this.#exchange.pass(frame);
    else if (!this.#exchange.muted) this.#exchange.toClient.send(encodeErrorFields('error', seen));
    return { code: seen.get('C') ?? '', message: seen.get('M') ?? '' };
  }

  notice(fields: ErrorFields, frame: Frame): void {
    const first = this.#exchange.expectations.first;
    if (first?.kind === 'internal' || first?.kind === 'refusal') return;
    const run =
      first?.kind === 'query'
        ? first.runs[first.next]
        : first?.kind === 'execute' || first?.kind === 'bind'
          ? first.portal.run
          : undefined;
    const withheld = run ? run.withheld : this.#masked();
    const seen = withheld ? withoutValues(fields) : fields;
    if (!withheld) this.#exchange.pass(frame);
    else if (!this.#exchange.muted) this.#exchange.toClient.send(encodeErrorFields('notice', seen));
    this.#record({
      kind: 'notice',
      operation: run?.number ?? null,
      severity: seen.get('V') ?? '',
      code: seen.get('C') ?? '',
      message: seen.get('M') ?? '',
    });
  }
}

const NOT_RUN = { code: '25P02', message: 'not run: an earlier statement of the same batch failed' };
