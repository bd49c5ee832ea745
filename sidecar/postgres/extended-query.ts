/** The extended protocol: Parse, Bind, Describe, Execute, Close, in batches that end with Sync. A statement is decided when it is bound. */
import type { DigestParameter } from '../approval/digest.ts';
import type { Denial } from '../operation.ts';
import { BY_NAMES, NO_CONTEXT } from './analyst.ts';
import { type Deciding, NO_RAW, type Permitted } from './deciding.ts';
import { type Exchange, newRun } from './exchange.ts';
import type { Masking } from './masking.ts';
import type { Analysed, Portal, Prepared } from './names.ts';
import { parameterTexts } from './parameters.ts';
import { POISON, denialFields, errorFields } from './refusal.ts';
import { Preparing, noSuchStatement, sameFields } from './preparing.ts';
import { type RowBudget, type Run, STATE_CHANGED, takesCopy } from './run.ts';
import type { Statement } from './sql/statement.ts';
import type { StatementOperation } from './statement-operation.ts';
import { type Step, step } from './step.ts';
import type { ErrorFields, FieldDescription } from './wire/backend.ts';
import type { Frame } from './wire/frame.ts';
import {
  type Bind,
  encodeBind,
  encodeDescribe,
  encodeParse,
  readExecute,
  readParse,
  readTarget,
} from './wire/frontend.ts';

export class ExtendedQuery {
  readonly #exchange: Exchange;
  readonly #deciding: Deciding;
  readonly #masking: Masking;
  readonly #budget: RowBudget;
  readonly #preparing: Preparing;
  #modified = 0;

  constructor(exchange: Exchange, deciding: Deciding, masking: Masking, budget: RowBudget) {
    this.#exchange = exchange;
    this.#deciding = deciding;
    this.#masking = masking;
    this.#budget = budget;
    this.#preparing = new Preparing(exchange, deciding);
  }

  #forward(frame: Frame): void {
    this.#exchange.toServer.forward(frame.buffer, frame.start, frame.end);
  }

  parse(frame: Frame): Step {
    const { name, text, types } = readParse(frame);
    if (isLong(name)) return this.#refuse(LONG_NAME);
    return this.#deciding.onceSettled(false, () =>
      step(this.#deciding.analyzeNamed(text), (analysed) => {
        if (this.#exchange.discarding) return undefined;
        if ('fields' in analysed) return this.#refuseParse(name, analysed.fields);
        const { analysis, context } = analysed;
        if (analysis.kind === 'unparseable')
          return this.#refuseParse(name, this.#deciding.unparseable(text, analysis));
        if (analysis.statements.length > 1) return this.#refuseParse(name, MULTIPLE);
        const statement = analysis.statements[0];
        const refusal = statement && this.#deciding.foreseen(statement);
        if (refusal) return this.#refuseParse(name, refusal);
        this.#sendParse({
          name,
          text,
          statement,
          context,
          meant: statement,
          types,
          fields: undefined,
          described: false,
          bySql: false,
          confirmed: false,
          batch: this.#exchange.batch,
        });
        this.#forward(frame);
        return undefined;
      }),
    );
  }

  #sendParse(prepared: Prepared): void {
    const exchange = this.#exchange;
    exchange.midBatch = true;
    exchange.expectations.push({
      kind: 'parse',
      prepared,
      undo: exchange.names.setPrepared(prepared),
      internal: false,
    });
  }

  bind(bind: Bind, frame: Frame): Step {
    const exchange = this.#exchange;
    if (isLong(bind.portal) || isLong(bind.statement)) return this.#refuse(LONG_NAME);
    const known = exchange.names.prepared(bind.statement);
    // Whether the server took a Parse of an earlier batch decides what this name means.
    const unsure = known !== undefined && !known.confirmed && known.batch !== exchange.batch;
    return this.#deciding.onceSettled(unsure, () => {
      const prepared = exchange.names.prepared(bind.statement);
      if (!prepared) return this.#refuse(noSuchStatement(bind.statement));
      // First what must be waited for: what the statement means is looked at last.
      return step(this.#preparing.typed(bind, prepared), () => {
        if (exchange.discarding) return undefined;
        return step(this.#preparing.current(prepared), (statement) => {
          if (exchange.discarding) return undefined;
          if (statement && 'fields' in statement) return this.#refuse(statement.fields);
          if (!statement) return this.#sendBind(bind, prepared, undefined, frame);
          return this.#decideBind(bind, prepared, statement.statement, frame);
        });
      });
    });
  }

  #decideBind(bind: Bind, prepared: Prepared, statement: Statement, frame: Frame): Step {
    const raw = rawParameters(bind, prepared.types);
    const texts = parameterTexts(bind, prepared.types);
    const operation = this.#deciding.operation(statement, texts, raw, this.#exchange.open);
    // Taken now: the prepared statement may be analysed anew while a person thinks.
    const analysed: Analysed = {
      analysis: { kind: 'parsed', statements: [statement] },
      context: prepared.context,
    };
    const deciding = this.#deciding.decide(operation);
    const waited = deciding instanceof Promise;
    return step(deciding, (decided) => {
      if (decided.kind === 'refused') return this.#refuse(decided.fields);
      const same = waited ? this.#deciding.meansTheSame(prepared.text, analysed) : true;
      return step(same, (unchanged) =>
        unchanged
          ? this.#permittedBind(bind, prepared, decided.permitted, operation, frame)
          : this.#changed(decided.permitted),
      );
    });
  }

  #changed({ outcome }: Permitted): undefined {
    this.#deciding.notRun(outcome.number);
    if (!this.#exchange.discarding) this.#refuse(denialFields(STATE_CHANGED));
  }

  #permittedBind(
    bind: Bind,
    prepared: Prepared,
    { operation, outcome }: Permitted,
    asked: StatementOperation,
    frame: Frame,
  ): Step {
    const discarded = this.#exchange.discarding;
    if (discarded || !outcome.permit.redeem(operation)) {
      this.#deciding.notRun(outcome.number);
      if (!discarded) this.#refuse(denialFields(STATE_CHANGED));
      return undefined;
    }
    const run = newRun(outcome.number, operation.statement, this.#deciding.masks, this.#budget);
    if (operation === asked) return this.#sendBind(bind, prepared, run, frame);
    return this.#bindModified(bind, prepared, run);
  }

  #sendBind(bind: Bind, prepared: Prepared, run: Run | undefined, frame: Frame): Step {
    this.#forward(frame);
    return this.#expectBind(bind, prepared, run);
  }

  #expectBind(bind: Bind, prepared: Prepared, run: Run | undefined): Step {
    const exchange = this.#exchange;
    const portal: Portal = {
      name: bind.portal,
      prepared,
      run,
      under: this.#deciding.under,
      late: run && lookedUpLate(run.statement, prepared),
      resultFormats: bind.resultFormats,
      fields: undefined,
      confirmed: false,
      begun: false,
      batch: exchange.batch,
    };
    exchange.midBatch = true;
    exchange.bound = true;
    exchange.expectations.push({ kind: 'bind', portal, undo: exchange.names.setPortal(portal) });
    if (!run || !prepared.fields) return undefined;
    return this.#layOut(portal, run, withFormats(prepared.fields, bind.resultFormats));
  }

  #layOut(portal: Portal, run: Run, fields: readonly FieldDescription[]): Step {
    portal.fields = fields;
    return step(this.#masking.layout(run, fields), (layout) => {
      run.layout = layout;
      return undefined;
    });
  }

  /** The approver's text in place of the client's, under a name of ours; its answer must have the form that the client expects. */
  async #bindModified(bind: Bind, prepared: Prepared, run: Run): Promise<void> {
    const exchange = this.#exchange;
    const { text } = run.statement.facts;
    const name = `sidewarden_modified_${++this.#modified}`;
    const modified: Prepared = {
      ...prepared,
      name,
      text,
      statement: run.statement,
      meant: run.statement,
      context: NO_CONTEXT,
      fields: undefined,
      confirmed: false,
      batch: exchange.batch,
    };
    this.#preparing.parseOurs(
      modified,
      exchange.names.setPrepared(modified),
      encodeParse(name, text, prepared.types),
    );
    await exchange.drained();
    const analysis = { kind: 'parsed', statements: [run.statement] } as const;
    const same = await this.#deciding.meansTheSame(text, { analysis, context: NO_CONTEXT });
    if (exchange.discarding) return this.#deciding.notRun(run.number);
    if (!same) {
      this.#deciding.notRun(run.number);
      this.#refuse(denialFields(STATE_CHANGED));
      return;
    }
    if (prepared.described && !sameFields(prepared.fields, modified.fields)) {
      this.#deciding.notRun(run.number);
      this.#refuse(denialFields(OTHER_COLUMNS));
      return;
    }
    exchange.toServer.send(encodeBind(bind, name));
    await this.#expectBind(bind, modified, run);
  }

  describe(frame: Frame): Step {
    const { kind, name } = readTarget('Describe', frame);
    const exchange = this.#exchange;
    if (isLong(name)) return this.#refuse(LONG_NAME);
    return step(this.#known(kind, name), () => {
      if (exchange.discarding) return undefined;
      if (kind === 'statement') {
        const prepared = exchange.names.prepared(name);
        if (!prepared) return this.#refuse(noSuchStatement(name));
        exchange.expectations.push({
          kind: 'describe-statement',
          prepared,
          internal: false,
          parametersSeen: false,
        });
      } else {
        const portal = exchange.names.portal(name);
        if (!portal && !exchange.names.isCursor(name)) return this.#refuse(noSuchPortal(name));
        exchange.expectations.push({ kind: 'describe-portal', portal, internal: false });
      }
      exchange.midBatch = true;
      this.#forward(frame);
      return undefined;
    });
  }

  /** Waits when an earlier batch may yet turn out to have failed to make this name. */
  #known(kind: 'statement' | 'portal', name: string): Step {
    const exchange = this.#exchange;
    if (exchange.pendingEffects > 0) return exchange.drained();
    const named = kind === 'statement' ? exchange.names.prepared(name) : exchange.names.portal(name);
    return named && !named.confirmed && named.batch !== exchange.batch ? exchange.drained() : undefined;
  }

  execute(frame: Frame): Step {
    const { portal: name } = readExecute(frame);
    const exchange = this.#exchange;
    if (isLong(name)) return this.#refuse(LONG_NAME);
    return step(this.#known('portal', name), () => {
      if (exchange.discarding) return undefined;
      const portal = exchange.names.portal(name);
      if (!portal)
        return this.#refuse(
          exchange.names.isCursor(name) ? denialFields(EXECUTE_CURSOR) : noSuchPortal(name),
        );
      if (portal.late && !portal.begun) return this.#executeLate(portal, portal.late, frame);
      if (!dependsOnSettings(portal)) return this.#executePortal(portal, frame);
      // What has begun was planned: names mean what they meant, and only who reads it and what is masked count.
      const under = portal.begun ? 'begun' : 'bound';
      return step(this.#deciding.stillUnder(portal.under, under), (same) => {
        if (exchange.discarding) return undefined;
        return same ? this.#executePortal(portal, frame) : this.#refuse(denialFields(STATE_CHANGED));
      });
    });
  }

  /** The server looks its names up only now: they must mean what they meant when it was decided. */
  #executeLate(portal: Portal, late: Analysed, frame: Frame): Step {
    const exchange = this.#exchange;
    return this.#deciding.onceSettled(false, () =>
      step(this.#deciding.meansTheSame(portal.prepared.text, late), (unchanged) => {
        if (exchange.discarding) return undefined;
        if (!unchanged) return this.#refuse(denialFields(STATE_CHANGED));
        return step(this.#deciding.stillUnder(portal.under, 'bound'), (same) => {
          if (exchange.discarding) return undefined;
          return same ? this.#executePortal(portal, frame) : this.#refuse(denialFields(STATE_CHANGED));
        });
      }),
    );
  }

  #executePortal(portal: Portal, frame: Frame): Step {
    const exchange = this.#exchange;
    const { run, name } = portal;
    // A row must not come before its layout is known.
    if (run?.statement.returnsRows && run.layout.kind === 'unknown' && !this.#describing(portal)) {
      exchange.expectations.push({ kind: 'describe-portal', portal, internal: true });
      exchange.toServer.send(encodeDescribe('P', name));
    }
    exchange.midBatch = true;
    exchange.executed = true;
    exchange.expectations.push({ kind: 'execute', portal });
    this.#forward(frame);
    if (!run) return undefined;
    exchange.sent(run);
    return takesCopy(run) ? exchange.copyStarted(run) : undefined;
  }

  #describing(portal: Portal): boolean {
    const { last } = this.#exchange.expectations;
    return last?.kind === 'describe-portal' && last.portal === portal;
  }

  close(frame: Frame): undefined {
    const { kind, name } = readTarget('Close', frame);
    if (isLong(name)) return this.#refuse(LONG_NAME);
    const { names, expectations } = this.#exchange;
    const undo = kind === 'statement' ? names.removePrepared(name) : names.removePortal(name);
    if (kind === 'portal') names.removeCursor(name);
    this.#exchange.midBatch = true;
    expectations.push({ kind: 'close', undo, internal: false });
    this.#forward(frame);
  }

  /** A Parse of the unnamed statement drops the one that is there even when it fails: nobody binds the old one in its place. */
  #refuseParse(name: string, fields: ErrorFields): undefined {
    if (name !== '' || this.#exchange.discarding) return this.#refuse(fields);
    this.#exchange.names.removePrepared('');
    return this.#refuse(fields, '');
  }

  #refuse(fields: ErrorFields, name = 'sidewarden_refused'): undefined {
    const exchange = this.#exchange;
    // The batch has failed already: the server answers nothing more up to its Sync.
    if (exchange.discarding) return;
    exchange.toServer.send(encodeParse(name, POISON, []));
    exchange.expectations.push({ kind: 'refusal', fields, simple: false, failed: false });
    exchange.midBatch = true;
    exchange.discarding = true;
  }
}

const OTHER_COLUMNS: Denial = {
  code: 'approval-void',
  message: "the approver's text returns other columns than the client was told",
  detail: 'The client has described the statement before it was held.',
  hint: 'Ask the approver for a text that returns the same columns, or run it by the simple protocol.',
};

const EXECUTE_CURSOR: Denial = {
  code: 'unsupported',
  message: 'a cursor made by DECLARE is read by FETCH here, not by the Execute message',
  detail: '',
  hint: 'Use FETCH.',
};

/** Longer ones the server cuts: two names here would be one there. */
const MAX_NAME = 63;

function isLong(name: string): boolean {
  return name.length * 3 > MAX_NAME && Buffer.byteLength(name) > MAX_NAME;
}

const LONG_NAME = errorFields(
  'ERROR',
  '42622',
  `names of prepared statements and portals have at most ${MAX_NAME} bytes here`,
);
/** What the server plans when it is bound; of all else it looks names up when it runs. */
const PLANNED = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'VALUES']);

function lookedUpLate(statement: Statement, { context }: Prepared): Analysed | undefined {
  const { facts, session } = statement;
  const nothing = session.kind !== 'prepare' && facts.effects.every((effect) => effect === 'session');
  // An approver's text, too, may be one of names.
  const named = context === BY_NAMES || (!nothing && (context === NO_CONTEXT || !PLANNED.has(facts.verb)));
  if (!named) return undefined;
  return { analysis: { kind: 'parsed', statements: [statement] }, context };
}

const MULTIPLE = errorFields('ERROR', '42601', 'cannot insert multiple commands into a prepared statement');

/** COMMIT and its like mean the same under any role and path, and may have to be a transaction's first statement. */
function dependsOnSettings({ run }: Portal): boolean {
  return run !== undefined && run.statement.facts.effects.some((effect) => effect !== 'session');
}

function noSuchPortal(name: string): ErrorFields {
  return errorFields('ERROR', '34000', `portal "${name}" does not exist`);
}

function rawParameters(bind: Bind, types: readonly number[]): readonly DigestParameter[] {
  if (bind.values.length === 0) return NO_RAW;
  return bind.values.map((value, index) => {
    const format = bind.formats.length === 1 ? bind.formats[0] : bind.formats[index];
    return { type: types[index] ?? 0, format: format === 1 ? 'binary' : 'text', value };
  });
}

function withFormats(
  fields: readonly FieldDescription[],
  formats: readonly number[],
): readonly FieldDescription[] {
  if (formats.length === 0 || (formats.length === 1 && formats[0] === 0)) return fields;
  return fields.map((field, index) => ({
    ...field,
    format: (formats.length === 1 ? formats[0] : formats[index]) ?? 0,
  }));
}
