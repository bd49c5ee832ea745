/** Ends of statements: what they changed is noted, and what the client saw of them is recorded. */
import type { MaskRules } from '../mask/mask.ts';
import type { Denial } from '../operation.ts';
import type { OperationCompleted, RecordingEvent } from '../record/event.ts';
import type { Analyst } from './analyst.ts';
import type { Exchange } from './exchange.ts';
import type { Prepared } from './names.ts';
import { denialFields } from './refusal.ts';
import { type Run, recordedColumns } from './run.ts';
import type { SessionEffect } from './sql/statement.ts';
import { encodeErrorFields } from './wire/backend.ts';

export class Completion {
  readonly #exchange: Exchange;
  readonly #analyst: Analyst;
  readonly #rules: () => MaskRules;
  readonly #record: (event: RecordingEvent) => void;

  constructor(
    exchange: Exchange,
    analyst: Analyst,
    rules: () => MaskRules,
    record: (event: RecordingEvent) => void,
  ) {
    this.#exchange = exchange;
    this.#analyst = analyst;
    this.#rules = rules;
    this.#record = record;
  }

  /** A statement ran: what it changed is noted. Within a batch nobody else sees that before its Sync. */
  finish(run: Run, tag: string, inBatch: boolean): void {
    const exchange = this.#exchange;
    if (!this.#exchange.muted) this.complete(run, tag, null);
    if (exchange.copyIn === run) exchange.copyIn = undefined;
    exchange.openCopyGate(run);
    const { statement } = run;
    this.#apply(statement.session, tag);
    exchange.settled(run);
    this.#analyst.completed(statement, inBatch || exchange.status === 'T' || exchange.open);
    if (statement.facts.effects.some((effect) => effect !== 'read' && effect !== 'session'))
      exchange.wrote = true;
  }

  #apply(effect: SessionEffect, tag: string): void {
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
        names.setCursor(effect.name, { masks: effect.masks, hold: effect.hold, rules: this.#rules() });
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
      case 'commit':
      case 'rollback':
        // Of a transaction that had failed, COMMIT says so as well.
        if (tag === 'ROLLBACK') names.rolledBack();
        return;
      case 'release':
        names.released(effect.name);
        return;
      case 'rollback-to':
        names.rolledBackTo(effect.name);
        return;
      case 'begin':
      case 'savepoint':
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

  complete(run: Run, tag: string | null, error: OperationCompleted['error']): void {
    this.recordRows(run);
    this.#record({
      kind: 'complete',
      operation: run.number,
      tag,
      error,
      rows: run.rows,
      bytes: run.bytes,
      masked: run.masked,
      rowsNotRecorded: run.rows - run.recordedRows,
    });
  }

  recordRows(run: Run): void {
    const rows = run.kept();
    if (rows.length === 0 || !('fields' in run.layout)) return;
    this.#record({
      kind: 'rows',
      operation: run.number,
      columns: recordedColumns(run.layout.fields),
      rows,
    });
  }

  failed(run: Run, error: OperationCompleted['error']): void {
    if (!this.#exchange.muted) this.complete(run, null, error);
    this.#exchange.settled(run);
    this.#exchange.names.noSavepoint(run);
    if (this.#exchange.copyIn === run) this.#exchange.copyIn = undefined;
  }

  /**
   * Withholds the rest of an answer: the error goes out now, and nothing more until the server is ready. The server may
   * have done what it was asked; its transaction status is told truly.
   */
  mute(run: Run, reason: string): void {
    const denial: Denial = {
      code: 'mask',
      message: 'the answer cannot be masked, and is withheld',
      detail: reason,
      hint: 'The statement itself may have run. Select columns of plain types, in text form.',
    };
    this.#exchange.toClient.send(encodeErrorFields('error', denialFields(denial)));
    this.#exchange.muted = true;
    this.complete(run, null, { code: '42501', message: denial.message });
    if (this.#exchange.midBatch && this.#exchange.expectations.first?.kind === 'execute')
      this.#exchange.discarding = true;
  }
}

function sqlPrepared(name: string, statement: Prepared['statement'], batch: number): Prepared {
  return {
    name,
    text: statement?.facts.text ?? '',
    statement,
    context: { catalog: {}, version: -1, masks: {}, path: '' },
    meant: statement,
    types: [],
    fields: undefined,
    described: false,
    bySql: true,
    confirmed: true,
    batch,
  };
}
