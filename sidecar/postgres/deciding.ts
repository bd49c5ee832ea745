/** What one session asks about a statement: its analysis, the pipeline's decision, and what a refusal says. */
import type { Logger } from 'pino';
import type { DigestParameter } from '../approval/digest.ts';
import type { MaskRules } from '../mask/mask.ts';
import type { Denial } from '../operation.ts';
import type { Grant, Outcome, Pipeline } from '../pipeline.ts';
import { AnalysisError, type Analyst, BY_NAMES } from './analyst.ts';
import type { Exchange } from './exchange.ts';
import { sameMeaning } from './meaning.ts';
import type { Analysed, Under } from './names.ts';
import { denialFields, errorFields } from './refusal.ts';
import { STATE_CHANGED } from './run.ts';
import { changesReading } from './settings.ts';
import type { Statement } from './sql/statement.ts';
import { StatementOperation, type StatementState, maskDenial } from './statement-operation.ts';
import { type Step, step, then } from './step.ts';
import type { ErrorFields } from './wire/backend.ts';

export interface DecidingParts {
  readonly exchange: Exchange;
  readonly analyst: Analyst;
  readonly pipeline: Pipeline;
  readonly state: StatementState;
  readonly log: Logger;
}

/** A statement that may run, and the permit for it. */
export interface Permitted {
  readonly operation: StatementOperation;
  readonly outcome: Extract<Outcome, { kind: 'permitted' }>;
}

export interface Refused {
  readonly kind: 'refused';
  readonly fields: ErrorFields;
}

export type Decided = { readonly kind: 'permitted'; readonly permitted: Permitted } | Refused;

export type AnalysedOrRefused = Analysed | { readonly fields: ErrorFields; readonly analysis?: undefined };

export const NO_PARAMETERS: readonly (string | null)[] = [];
export const NO_RAW: readonly DigestParameter[] = [];

export class Deciding {
  readonly #parts: DecidingParts;
  /** As last asked for; the same object while nothing is another. */
  #under: Under | undefined;

  constructor(parts: DecidingParts) {
    this.#parts = parts;
  }

  get masks(): MaskRules {
    return this.#parts.pipeline.masks;
  }

  /** An operation of this session. */
  operation(
    statement: Statement,
    parameters: readonly (string | null)[],
    raw: readonly DigestParameter[],
    inTransaction: boolean,
  ): StatementOperation {
    return new StatementOperation(this.#parts.state, statement, parameters, raw, inTransaction);
  }

  /** Whether an earlier analysis still holds. */
  holds(context: Analysed['context']): boolean {
    return this.#parts.analyst.holds(context, this.masks);
  }

  /** Role and search_path that a statement would run under now, as last read. */
  get under(): Under {
    const { state } = this.#parts;
    const role = state.role();
    const searchPath = state.searchPath();
    const { masks } = this;
    const known = this.#under;
    if (known?.role === role && known.searchPath === searchPath && known.masks === masks) return known;
    this.#under = { role, searchPath, masks };
    return this.#under;
  }

  /** Whether what a portal was bound under is what it would run under. Reads the settings first when they may be others. */
  stillUnder(before: Under, portal: 'bound' | 'begun'): boolean | Promise<boolean> {
    const { analyst } = this.#parts;
    return then(analyst.stale ? analyst.refresh() : undefined, () => {
      const now = this.under;
      return sameUnder(before, portal === 'begun' ? { ...now, searchPath: before.searchPath } : now);
    });
  }

  /**
   * Whether a text means what it meant when it was analysed: a person may have thought for long, while tables, views and
   * masks became others.
   */
  meansTheSame(text: string, { analysis, context }: Analysed): boolean | Promise<boolean> {
    if (this.holds(context)) return true;
    return then(
      this.analyzeNamed(text),
      (now) => now.analysis !== undefined && sameMeaning(analysis, now.analysis),
    );
  }

  /**
   * Goes on when all that the meaning of the next statement depends on is known: what was sent before (all of it, or what
   * changes names and settings). Does not when the batch has failed meanwhile.
   */
  onceSettled(all: boolean, next: () => Step): Step {
    const { exchange, analyst } = this.#parts;
    const unsettled = exchange.pendingEffects > 0 || analyst.stale;
    // What a transaction changed for itself is changed back by its end.
    const ending = analyst.touched && exchange.ending;
    const waiting = all || unsettled || ending ? exchange.drained() : undefined;
    return step(waiting, () => (exchange.discarding ? undefined : next()));
  }

  /** As `analyze`; by names of the session only when the server has told which of them it took. */
  analyzeNamed(text: string): AnalysedOrRefused | Promise<AnalysedOrRefused> {
    const { exchange } = this.#parts;
    return then(this.analyze(text), (analysed) => {
      if (!('context' in analysed) || analysed.context !== BY_NAMES || !exchange.namesPending)
        return analysed;
      return then(exchange.drained(), () => (exchange.discarding ? analysed : this.analyze(text)));
    });
  }

  analyze(text: string): AnalysedOrRefused | Promise<AnalysedOrRefused> {
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
    // The server would say so itself.
    if (error instanceof AnalysisError && error.code === 'transaction-failed') return { fields: FAILED };
    this.#parts.log.error({ err: error }, 'a statement could not be analysed');
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

  unparseable(
    text: string,
    { message, position }: { readonly message: string; readonly position: number },
  ): ErrorFields {
    const denial: Denial = { code: 'unparseable', message, detail: '', hint: '' };
    this.#parts.pipeline.refuse({ kind: 'unknown', text }, CLEAR, denial);
    return denialFields(denial, position);
  }

  /** What is refused whatever the Bind values will be. */
  foreseen(statement: Statement): ErrorFields | undefined {
    const operation = this.operation(statement, NO_PARAMETERS, NO_RAW, this.#parts.exchange.open);
    if (!ownDenial(statement) && !this.#parts.pipeline.foresee(operation.facts)) return undefined;
    const decided = this.decide(operation);
    return decided instanceof Promise || decided.kind === 'permitted' ? undefined : decided.fields;
  }

  hopeless({ statement, facts }: StatementOperation): boolean {
    return ownDenial(statement) !== undefined || this.#parts.pipeline.wouldDeny(facts);
  }

  decide(operation: StatementOperation, grant?: Grant): Decided | Promise<Decided> {
    const { pipeline } = this.#parts;
    const denial = ownDenial(operation.statement);
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
    const analysed = await this.analyze(text);
    if ('fields' in analysed) return { kind: 'refused', fields: analysed.fields };
    const { analysis } = analysed;
    if (analysis.kind === 'unparseable') return { kind: 'refused', fields: this.unparseable(text, analysis) };
    const [statement, second] = analysis.statements;
    if (!statement || second)
      return { kind: 'refused', fields: denialFields(modifiedDenial('it must be one statement')) };
    if (statement.parameterCount > original.parameters.length) {
      return {
        kind: 'refused',
        fields: denialFields(modifiedDenial('it has more parameters than the client sent values')),
      };
    }
    const inTransaction = original.facts.sql.inTransaction;
    const operation = original.withStatement(statement, inTransaction);
    const decided = await this.decide(operation, grant);
    if (decided.kind === 'refused' || (await this.meansTheSame(text, analysed))) return decided;
    this.notRun(decided.permitted.outcome.number);
    return { kind: 'refused', fields: denialFields(STATE_CHANGED) };
  }

  notRun(operation: number): void {
    this.#parts.pipeline.record({
      kind: 'complete',
      operation,
      tag: null,
      error: NOT_SENT,
      rows: 0,
      bytes: 0,
      masked: 0,
      rowsNotRecorded: 0,
    });
  }
}

function sameUnder(one: Under, other: Under): boolean {
  if (one === other) return true;
  return (
    one.masks === other.masks &&
    one.role === other.role &&
    (one.searchPath === other.searchPath ||
      (one.searchPath.length === other.searchPath.length &&
        one.searchPath.every((schema, index) => schema === other.searchPath[index])))
  );
}

const FAILED = errorFields(
  'ERROR',
  '25P02',
  'current transaction is aborted, commands ignored until end of transaction block',
);
const CLEAR = { kind: 'clear' } as const;
const NOT_SENT = { code: '42501', message: 'not run: another statement of the same message was refused' };

function modifiedDenial(why: string): Denial {
  return {
    code: 'approval-void',
    message: `the approver's text cannot run in place of the statement: ${why}`,
    detail: '',
    hint: 'Run the statement again to ask anew.',
  };
}

/** Why a statement is refused whatever the policy says. */
function ownDenial(statement: Statement): Denial | undefined {
  return statement.masks.kind === 'refused' ? maskDenial(statement.masks) : pinned(statement);
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
