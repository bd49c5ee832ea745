/**
 * The client's side of a session: each message is parsed, what would run is decided, and what was permitted is sent on
 * byte for byte. In place of a refused message the server gets one that must fail, so that it is the server which fails
 * the batch and the transaction, and its own answers tell the client the truth about both.
 */
import type { MaskRules } from '../mask/mask.ts';
import type { DigestParameter } from '../approval/digest.ts';
import type { Denial } from '../operation.ts';
import type { Grant, Outcome, Pipeline } from '../pipeline.ts';
import type { RecordingEvent } from '../record/event.ts';
import { type Analysed, AnalysisError, type Analyst } from './analyst.ts';
import { type Exchange, newRun } from './exchange.ts';
import type { Masking } from './masking.ts';
import type { Portal, Prepared } from './names.ts';
import { parameterTexts } from './parameters.ts';
import { POISON, denialFields, errorFields } from './refusal.ts';
import type { RowBudget, Run } from './run.ts';
import { changesReading } from './settings.ts';
import { type Step, step, then } from './step.ts';
import { StatementOperation, type StatementState, maskDenial } from './statement-operation.ts';
import type { Statement } from './sql/statement.ts';
import type { ErrorFields, FieldDescription } from './wire/backend.ts';
import { WireError } from './wire/error.ts';
import type { Frame } from './wire/frame.ts';
import {
  type Bind,
  FRONTEND,
  encodeBind,
  encodeDescribe,
  encodeParse,
  encodeQuery,
  readBind,
  readEmpty,
  readExecute,
  readParse,
  readQuery,
  readTarget,
} from './wire/frontend.ts';

export interface RequestParts {
  readonly exchange: Exchange;
  readonly analyst: Analyst;
  readonly pipeline: Pipeline;
  readonly masking: Masking;
  readonly state: StatementState;
  readonly budget: RowBudget;
  readonly record: (event: RecordingEvent) => void;
  readonly terminate: () => void;
}

/** A statement that may run, and the permit for it. */
interface Permitted {
  readonly operation: StatementOperation;
  readonly outcome: Extract<Outcome, { kind: 'permitted' }>;
}

type Decided =
  | { readonly kind: 'permitted'; readonly permitted: Permitted }
  | { readonly kind: 'refused'; readonly fields: ErrorFields };

export class Requests {
  readonly #parts: RequestParts;
  readonly #exchange: Exchange;
  #modified = 0;

  constructor(parts: RequestParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
  }

  /**
   * Takes one message of the client. A promise when the next must wait; the frame's bytes stay as they are until then.
   * Throws WireError for bytes that are no valid message.
   */
  handle(frame: Frame): Step {
    const exchange = this.#exchange;
    if (frame.tag === FRONTEND.terminate) {
      this.#parts.terminate();
      return undefined;
    }
    if (exchange.copyIn) return this.#copy(exchange.copyIn, frame);
    if (frame.tag === FRONTEND.sync) return this.#sync(frame);
    if (exchange.discarding) return undefined;
    switch (frame.tag) {
      case FRONTEND.bind:
        return this.#bind(readBind(frame), { ...frame });
      case FRONTEND.execute:
        return this.#execute({ ...frame });
      case FRONTEND.parse:
        return this.#parse({ ...frame });
      case FRONTEND.query:
        return this.#query(readQuery(frame), { ...frame });
      case FRONTEND.describe:
        return this.#describe({ ...frame });
      case FRONTEND.close:
        return this.#close(frame);
      case FRONTEND.flush:
        readEmpty('Flush', frame);
        this.#forward(frame);
        return undefined;
      case FRONTEND.copyData:
      case FRONTEND.copyDone:
      case FRONTEND.copyFail:
        // Left over from a COPY that failed; the server, too, takes no notice.
        return undefined;
      case FRONTEND.functionCall:
        this.#refuseQuery(denialFields(FUNCTION_CALL));
        return undefined;
      default:
        throw new WireError('unexpected-message', `'${String.fromCharCode(frame.tag)}' out of turn`);
    }
  }

  #forward(frame: Frame): void {
    this.#exchange.toServer.forward(frame.buffer, frame.start, frame.end);
  }

  #sync(frame: Frame): undefined {
    readEmpty('Sync', frame);
    const exchange = this.#exchange;
    exchange.discarding = false;
    exchange.midBatch = false;
    exchange.batch += 1;
    exchange.expectations.push({ kind: 'sync' });
    this.#forward(frame);
  }

  // --- simple protocol

  #query(text: string, frame: Frame): Step {
    return this.#onceSettled(true, () =>
      step(this.#analyze(text), (analysed) => {
        if ('fields' in analysed) {
          this.#refuseQuery(analysed.fields);
          return undefined;
        }
        if (analysed.analysis.kind === 'unparseable') {
          this.#refuseQuery(this.#unparseable(text, analysed.analysis));
          return undefined;
        }
        return this.#decideQuery(analysed.analysis.statements, frame);
      }),
    );
  }

  #decideQuery(statements: readonly Statement[], frame: Frame): Step {
    const operations = this.#operationsOf(statements);
    // One that will be refused is found before anybody is asked about the others.
    const hopeless =
      operations.length > 1 ? operations.find((operation) => this.#hopeless(operation)) : undefined;
    const order = hopeless ? [hopeless] : operations;
    return step(this.#decideAll(order, 0, []), (decided) => {
      if (decided.kind === 'refused') {
        this.#refuseQuery(decided.fields);
        return undefined;
      }
      return this.#sendQuery(decided.permitted, statements, frame);
    });
  }

  #operationsOf(statements: readonly Statement[]): readonly StatementOperation[] {
    let open = this.#exchange.open;
    return statements.map((statement) => {
      const operation = new StatementOperation(this.#parts.state, statement, NO_PARAMETERS, NO_RAW, open);
      if (statement.session.kind === 'begin') open = true;
      if (statement.session.kind === 'commit' || statement.session.kind === 'rollback')
        open = statement.session.chain;
      return operation;
    });
  }

  #hopeless(operation: StatementOperation): boolean {
    const { statement } = operation;
    return (
      statement.masks.kind === 'refused' ||
      pinned(statement) !== undefined ||
      this.#parts.pipeline.wouldDeny(operation.facts)
    );
  }

  #decideAll(
    operations: readonly StatementOperation[],
    from: number,
    permitted: readonly Permitted[],
  ):
    | { kind: 'refused'; fields: ErrorFields }
    | { kind: 'permitted'; permitted: readonly Permitted[] }
    | Promise<
        { kind: 'refused'; fields: ErrorFields } | { kind: 'permitted'; permitted: readonly Permitted[] }
      > {
    const operation = operations[from];
    if (!operation) return { kind: 'permitted', permitted };
    return then(this.#decide(operation), (decided) => {
      if (decided.kind === 'refused') {
        for (const { outcome } of permitted) this.#notRun(outcome.number);
        return decided;
      }
      return this.#decideAll(operations, from + 1, [...permitted, decided.permitted]);
    });
  }

  #sendQuery(permitted: readonly Permitted[], statements: readonly Statement[], frame: Frame): Step {
    const exchange = this.#exchange;
    if (!permitted.every(({ operation, outcome }) => outcome.permit.redeem(operation))) {
      for (const { outcome } of permitted) this.#notRun(outcome.number);
      this.#refuseQuery(denialFields(STATE_CHANGED));
      return undefined;
    }
    const masks = this.#parts.pipeline.masks;
    const runs = permitted.map(({ operation, outcome }) =>
      newRun(outcome.number, operation.statement, masks, this.#parts.budget),
    );
    const asDecided = permitted.every(({ operation }, index) => operation.statement === statements[index]);
    if (asDecided) this.#forward(frame);
    else
      exchange.toServer.send(
        encodeQuery(permitted.map(({ operation }) => operation.statement.facts.text).join(';\n')),
      );
    for (const run of runs) exchange.sent(run);
    exchange.midBatch = false;
    exchange.expectations.push({ kind: 'query', runs, next: 0, failed: false });
    return runs.some(takesCopy) ? exchange.copyStarted() : undefined;
  }

  #refuseQuery(fields: ErrorFields): void {
    this.#exchange.midBatch = false;
    this.#exchange.toServer.send(encodeQuery(POISON));
    this.#exchange.expectations.push({ kind: 'refusal', fields, simple: true, failed: false });
  }

  // --- extended protocol

  #parse(frame: Frame): Step {
    const { name, text, types } = readParse(frame);
    return this.#onceSettled(false, () =>
      step(this.#analyze(text), (analysed) => {
        if ('fields' in analysed) return this.#refuse(analysed.fields);
        const { analysis, context } = analysed;
        if (analysis.kind === 'unparseable') return this.#refuse(this.#unparseable(text, analysis));
        if (analysis.statements.length > 1) return this.#refuse(MULTIPLE);
        const statement = analysis.statements[0];
        const refusal = statement && this.#foreseen(statement);
        if (refusal) return this.#refuse(refusal);
        this.#sendParse({
          name,
          text,
          statement,
          context,
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

  /** What is refused whatever the Bind values will be. */
  #foreseen(statement: Statement): ErrorFields | undefined {
    if (statement.masks.kind !== 'refused' && pinned(statement) === undefined) {
      const probe = new StatementOperation(
        this.#parts.state,
        statement,
        NO_PARAMETERS,
        NO_RAW,
        this.#exchange.open,
      );
      if (!this.#parts.pipeline.foresee(probe.facts)) return undefined;
    }
    const operation = new StatementOperation(
      this.#parts.state,
      statement,
      NO_PARAMETERS,
      NO_RAW,
      this.#exchange.open,
    );
    const decided = this.#decide(operation);
    return decided instanceof Promise || decided.kind === 'permitted' ? undefined : decided.fields;
  }

  #bind(bind: Bind, frame: Frame): Step {
    const exchange = this.#exchange;
    const known = exchange.names.prepared(bind.statement);
    // Whether the server took a Parse of an earlier batch decides what this name means.
    const unsure = known !== undefined && !known.confirmed && known.batch !== exchange.batch;
    return this.#onceSettled(unsure, () => {
      const prepared = exchange.names.prepared(bind.statement);
      if (!prepared) return this.#refuse(noSuchStatement(bind.statement));
      return step(this.#current(prepared), (statement) => {
        if (statement && 'fields' in statement) return this.#refuse(statement.fields);
        if (!statement) return this.#sendBind(bind, prepared, undefined, frame);
        return this.#decideBind(bind, prepared, statement.statement, frame);
      });
    });
  }

  /** The statement as it is to be read now: analysed again when the catalog, the path or the masks are others. */
  #current(
    prepared: Prepared,
  ):
    | { statement: Statement }
    | { fields: ErrorFields }
    | undefined
    | Promise<{ statement: Statement } | { fields: ErrorFields } | undefined> {
    const { analyst, pipeline } = this.#parts;
    if (!prepared.statement) return undefined;
    if (analyst.holds(prepared.context, pipeline.masks)) return { statement: prepared.statement };
    return then(this.#analyze(prepared.text), (analysed) => {
      if ('fields' in analysed) return analysed;
      const { analysis, context } = analysed;
      const statement =
        analysis.kind === 'parsed' && analysis.statements.length === 1 ? analysis.statements[0] : undefined;
      if (!statement) return { fields: noSuchStatement(prepared.name) };
      prepared.statement = statement;
      prepared.context = context;
      return { statement };
    });
  }

  #decideBind(bind: Bind, prepared: Prepared, statement: Statement, frame: Frame): Step {
    const raw = rawParameters(bind, prepared.types);
    const texts = parameterTexts(bind, prepared.types);
    const operation = new StatementOperation(this.#parts.state, statement, texts, raw, this.#exchange.open);
    return step(this.#decide(operation), (decided) => {
      if (decided.kind === 'refused') return this.#refuse(decided.fields);
      return this.#permittedBind(bind, prepared, decided.permitted, operation, frame);
    });
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
      this.#notRun(outcome.number);
      return discarded ? undefined : this.#refuse(denialFields(STATE_CHANGED));
    }
    const run = newRun(outcome.number, operation.statement, this.#parts.pipeline.masks, this.#parts.budget);
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
      resultFormats: bind.resultFormats,
      fields: undefined,
      confirmed: false,
      batch: exchange.batch,
    };
    exchange.midBatch = true;
    exchange.expectations.push({ kind: 'bind', portal, undo: exchange.names.setPortal(portal) });
    if (!run || !prepared.fields) return undefined;
    return this.#layOut(portal, run, withFormats(prepared.fields, bind.resultFormats));
  }

  #layOut(portal: Portal, run: Run, fields: readonly FieldDescription[]): Step {
    portal.fields = fields;
    return step(this.#parts.masking.layout(run, fields), (layout) => {
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
      fields: undefined,
      confirmed: false,
      batch: exchange.batch,
    };
    exchange.midBatch = true;
    exchange.expectations.push({
      kind: 'parse',
      prepared: modified,
      undo: exchange.names.setPrepared(modified),
      internal: true,
    });
    exchange.toServer.send(encodeParse(name, text, prepared.types));
    exchange.expectations.push({
      kind: 'describe-statement',
      prepared: modified,
      internal: true,
      parametersSeen: false,
    });
    exchange.toServer.send(encodeDescribe('S', name));
    await exchange.drained();
    if (exchange.discarding) {
      this.#notRun(run.number);
      return;
    }
    if (prepared.described && !sameFields(prepared.fields, modified.fields)) {
      this.#notRun(run.number);
      this.#refuse(denialFields(OTHER_COLUMNS));
      return;
    }
    exchange.toServer.send(encodeBind(bind, name));
    await this.#expectBind(bind, modified, run);
  }

  #describe(frame: Frame): Step {
    const { kind, name } = readTarget('Describe', frame);
    const exchange = this.#exchange;
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

  #execute(frame: Frame): Step {
    const { portal: name } = readExecute(frame);
    const exchange = this.#exchange;
    return step(this.#known('portal', name), () => {
      if (exchange.discarding) return undefined;
      const portal = exchange.names.portal(name);
      if (!portal)
        return this.#refuse(
          exchange.names.isCursor(name) ? denialFields(EXECUTE_CURSOR) : noSuchPortal(name),
        );
      const { run } = portal;
      // A row must not come before its layout is known.
      if (run?.statement.returnsRows && run.layout.kind === 'unknown' && !this.#describing(portal)) {
        exchange.expectations.push({ kind: 'describe-portal', portal, internal: true });
        exchange.toServer.send(encodeDescribe('P', name));
      }
      exchange.midBatch = true;
      exchange.expectations.push({ kind: 'execute', portal });
      this.#forward(frame);
      if (!run) return undefined;
      exchange.sent(run);
      return takesCopy(run) ? exchange.copyStarted() : undefined;
    });
  }

  #describing(portal: Portal): boolean {
    const { last } = this.#exchange.expectations;
    return last?.kind === 'describe-portal' && last.portal === portal;
  }

  #close(frame: Frame): undefined {
    const { kind, name } = readTarget('Close', frame);
    const { names, expectations } = this.#exchange;
    const undo = kind === 'statement' ? names.removePrepared(name) : names.removePortal(name);
    if (kind === 'portal') names.removeCursor(name);
    this.#exchange.midBatch = true;
    expectations.push({ kind: 'close', undo, internal: false });
    this.#forward(frame);
  }

  #refuse(fields: ErrorFields): undefined {
    const exchange = this.#exchange;
    // The batch has failed already: the server answers nothing more up to its Sync.
    if (exchange.discarding) return;
    // A name of its own, since a Parse of the unnamed statement would drop the one that is there.
    exchange.toServer.send(encodeParse('sidewarden_refused', POISON, []));
    exchange.expectations.push({ kind: 'refusal', fields, simple: false, failed: false });
    exchange.midBatch = true;
    exchange.discarding = true;
  }

  // --- COPY FROM STDIN

  #copy(run: Run, frame: Frame): undefined {
    switch (frame.tag) {
      case FRONTEND.copyData:
        this.#parts.masking.copyIn(run, frame, this.#parts.record);
        this.#forward(frame);
        return;
      case FRONTEND.copyDone:
        readEmpty('CopyDone', frame);
        this.#exchange.copyIn = undefined;
        this.#forward(frame);
        return;
      case FRONTEND.copyFail:
        this.#exchange.copyIn = undefined;
        this.#forward(frame);
        return;
      case FRONTEND.flush:
      case FRONTEND.sync:
        // The server takes no notice of them while it copies.
        return;
      default:
        throw new WireError('unexpected-message', `'${String.fromCharCode(frame.tag)}' during COPY`);
    }
  }

  // --- deciding

  #decide(operation: StatementOperation, grant?: Grant): Decided | Promise<Decided> {
    const { statement } = operation;
    const { pipeline } = this.#parts;
    const setting = pinned(statement);
    const denial = statement.masks.kind === 'refused' ? maskDenial(statement.masks) : setting;
    if (denial) {
      pipeline.refuse(operation.facts, operation.masks, denial);
      return { kind: 'refused', fields: denialFields(denial) };
    }
    return then(pipeline.submit(operation, grant), (outcome) => this.#outcome(operation, outcome));
  }

  #outcome(operation: StatementOperation, outcome: Outcome): Decided | Promise<Decided> {
    switch (outcome.kind) {
      case 'permitted':
        return { kind: 'permitted', permitted: { operation, outcome } };
      case 'refused':
        return { kind: 'refused', fields: denialFields(outcome.denial) };
      case 'modified':
        return this.#decideModified(operation, outcome.text, outcome.grant);
    }
  }

  /** The approver's text is analysed and decided like a new operation: a denial of it stands. */
  async #decideModified(original: StatementOperation, text: string, grant: Grant): Promise<Decided> {
    const analysed = await this.#analyze(text);
    if ('fields' in analysed) return { kind: 'refused', fields: analysed.fields };
    const { analysis } = analysed;
    if (analysis.kind === 'unparseable')
      return { kind: 'refused', fields: this.#unparseable(text, analysis) };
    const [statement, second] = analysis.statements;
    if (!statement || second)
      return { kind: 'refused', fields: denialFields(modifiedDenial('it must be one statement')) };
    if (statement.parameterCount > original.parameters.length) {
      return {
        kind: 'refused',
        fields: denialFields(modifiedDenial('it has more parameters than the client sent values')),
      };
    }
    const inTransaction = original.facts.kind === 'postgres' && original.facts.sql.inTransaction;
    const operation = original.withStatement(statement, inTransaction);
    return this.#decide(operation, grant);
  }

  #notRun(operation: number): void {
    this.#parts.record({
      kind: 'complete',
      operation,
      tag: null,
      error: NOT_SENT,
      rows: 0,
      bytes: 0,
      rowsNotRecorded: 0,
    });
  }

  // --- analysis

  /**
   * Goes on when all that the meaning of the next statement depends on is known: what was sent before (all of it, or what
   * changes names and settings). Does not when the batch has failed meanwhile.
   */
  #onceSettled(all: boolean, next: () => Step): Step {
    const exchange = this.#exchange;
    const waiting =
      all || exchange.pendingEffects > 0 || this.#parts.analyst.stale ? exchange.drained() : undefined;
    return step(waiting, () => (exchange.discarding ? undefined : next()));
  }

  #analyze(text: string): AnalysedOrRefused | Promise<AnalysedOrRefused> {
    const masks: MaskRules = this.#parts.pipeline.masks;
    try {
      const analysed = this.#parts.analyst.analyze(text, masks);
      return analysed instanceof Promise
        ? analysed.catch((error: unknown) => this.#unknown(text, error))
        : analysed;
    } catch (error) {
      return this.#unknown(text, error);
    }
  }

  /** Facts cannot be had: refused. */
  #unknown(text: string, error: unknown): { fields: ErrorFields } {
    const detail =
      error instanceof AnalysisError ? error.message : 'The catalog of the database could not be read.';
    const denial: Denial = {
      code: 'internal',
      message: 'what the statement would do could not be found out',
      detail,
      hint: 'Try again; if it stays so, tell the platform team.',
    };
    this.#parts.pipeline.refuse({ kind: 'unknown', text }, CLEAR, denial);
    return { fields: denialFields(denial) };
  }

  #unparseable(
    text: string,
    { message, position }: { readonly message: string; readonly position: number },
  ): ErrorFields {
    const denial: Denial = { code: 'unparseable', message, detail: '', hint: '' };
    this.#parts.pipeline.refuse({ kind: 'unknown', text }, CLEAR, denial);
    return denialFields(denial, position);
  }
}

type AnalysedOrRefused = Analysed | { readonly fields: ErrorFields; readonly analysis?: undefined };

const CLEAR = { kind: 'clear' } as const;
const NO_PARAMETERS: readonly (string | null)[] = [];
const NO_RAW: readonly DigestParameter[] = [];
const NOT_SENT = { code: '42501', message: 'not run: another statement of the same message was refused' };

const FUNCTION_CALL: Denial = {
  code: 'unsupported',
  message: 'the FunctionCall message is not taken here',
  detail: '',
  hint: 'Call the function by a SELECT.',
};

const STATE_CHANGED: Denial = {
  code: 'approval-void',
  message: 'what the statement runs under has changed since it was decided',
  detail: '',
  hint: 'Run it again.',
};

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

const MULTIPLE = errorFields('ERROR', '42601', 'cannot insert multiple commands into a prepared statement');

function noSuchStatement(name: string): ErrorFields {
  const what = name === '' ? 'unnamed prepared statement' : `prepared statement "${name}"`;
  return errorFields('ERROR', '26000', `${what} does not exist`);
}

function noSuchPortal(name: string): ErrorFields {
  return errorFields('ERROR', '34000', `portal "${name}" does not exist`);
}

function modifiedDenial(why: string): Denial {
  return {
    code: 'approval-void',
    message: `the approver's text cannot run in place of the statement: ${why}`,
    detail: '',
    hint: 'Run the statement again to ask anew.',
  };
}

/** A change of a setting by which statements are read: never, whatever the policy says. */
function pinned(statement: Statement): Denial | undefined {
  const { session } = statement;
  if (session.kind !== 'set' || !changesReading(session.name, session.value)) return undefined;
  return {
    code: 'unsupported',
    message: `${session.name} is pinned here, since it changes how statements are read`,
    detail: '',
    hint: 'Leave client_encoding at UTF8 and standard_conforming_strings on.',
  };
}

function takesCopy(run: Run): boolean {
  return run.statement.session.kind === 'copy-in';
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

function sameFields(one: Prepared['fields'], other: Prepared['fields']): boolean {
  if (!one || !other) return (one ?? null) === (other ?? null);
  return (
    one.length === other.length &&
    one.every((field, index) => field.name === other[index]?.name && field.typeOid === other[index].typeOid)
  );
}
