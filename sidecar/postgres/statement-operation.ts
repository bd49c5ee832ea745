/** One SQL statement as the pipeline sees it: facts to decide on, and all that an approval is bound to. */
import type { ApprovalEvidence } from '../../crds/approval.ts';
import { type DigestParameter, operationDigest } from '../approval/digest.ts';
import type { ApprovalRequest } from '../approval/gateway.ts';
import type { ConnectionFacts, Denial, Facts, HoldRequirement, Identity } from '../operation.ts';
import type { Operation } from '../pipeline.ts';
import type { MaskSummary } from '../record/event.ts';
import type { MaskOutcome, Statement } from './sql/statement.ts';

/** What the operation runs under; read anew whenever it is asked. */
export interface StatementState {
  readonly connection: ConnectionFacts;
  readonly identity: Identity;
  readonly session: string;
  readonly maxPendingApprovals: number;
  /** The operating system's user that the client runs as, when it is known and not the one that enforces. */
  clientUser(): Promise<number | undefined>;
  role(): string;
  searchPath(): readonly string[];
  /** All that was sent is answered. */
  settled(): Promise<void> | undefined;
  transaction(): { readonly open: boolean; readonly failed: boolean; readonly wrote: boolean };
  evidence(operation: StatementOperation): Promise<ApprovalEvidence>;
  held(approval: string, requirement: HoldRequirement): void;
}

export class StatementOperation implements Operation {
  readonly facts: Facts;
  readonly masks: MaskSummary;
  readonly statement: Statement;
  /** Oids, 0 where unknown. */
  readonly parameterTypes: readonly number[];
  readonly #state: StatementState;
  readonly #raw: readonly DigestParameter[];

  constructor(
    state: StatementState,
    statement: Statement,
    parameters: readonly (string | null)[],
    raw: readonly DigestParameter[],
    inTransaction: boolean,
  ) {
    this.#state = state;
    this.#raw = raw;
    this.statement = statement;
    this.parameterTypes = raw.length === 0 ? NO_TYPES : raw.map(({ type }) => type);
    this.masks = maskSummary(statement.masks);
    this.facts = {
      kind: 'postgres',
      sql: { statement: statement.facts, parameters, role: state.role(), inTransaction },
    };
  }

  get parameters(): readonly (string | null)[] {
    return this.facts.sql.parameters;
  }

  /** What cannot be traced may run only when a person has seen it. */
  get needsPerson(): Denial | undefined {
    const { masks } = this.statement;
    return masks.kind === 'untraceable' ? untraceableDenial(masks) : undefined;
  }

  /** The same values under an approver's text. */
  withStatement(statement: Statement, inTransaction: boolean): StatementOperation {
    return new StatementOperation(this.#state, statement, this.parameters, this.#raw, inTransaction);
  }

  digest(): string {
    const state = this.#state;
    const { open, failed } = state.transaction();
    return operationDigest({
      connection: state.connection,
      session: state.session,
      identity: state.identity,
      text: this.statement.facts.text,
      parameters: this.#raw,
      role: state.role(),
      searchPath: state.searchPath(),
      transaction: failed ? 'failed' : open ? 'open' : 'idle',
    });
  }

  settled(): Promise<void> | undefined {
    return this.#state.settled();
  }

  transaction(): { readonly open: boolean; readonly wrote: boolean } {
    return this.#state.transaction();
  }

  async approvalRequest(requirements: readonly HoldRequirement[]): Promise<ApprovalRequest> {
    const state = this.#state;
    const { facts } = this.statement;
    const { open, wrote } = state.transaction();
    const clientUid = await state.clientUser();
    return {
      ...(clientUid === undefined ? {} : { clientUid }),
      connection: state.connection,
      session: state.session,
      identity: state.identity,
      operation: {
        text: facts.text,
        parameters: [...this.parameters],
        verb: facts.verb,
        effects: [...facts.effects],
        tables: facts.tables.map(({ name, access, indirect }) => ({ name, access: [...access], indirect })),
        database: state.connection.database,
        role: state.role(),
        searchPath: [...state.searchPath()],
        inTransaction: open,
        transactionWrote: wrote,
      },
      digest: this.digest(),
      requirements,
      evidence: await state.evidence(this),
      maxPending: state.maxPendingApprovals,
    };
  }

  held(approval: string, requirement: HoldRequirement): void {
    this.#state.held(approval, requirement);
  }
}

const NO_TYPES: readonly number[] = [];
const summaries = new WeakMap<MaskOutcome, MaskSummary>();
const CLEAR: MaskSummary = { kind: 'clear' };

/** The same object for the same outcome, so that a recording can keep its text. */
function maskSummary(outcome: MaskOutcome): MaskSummary {
  if (outcome.kind === 'clear') return CLEAR;
  let summary = summaries.get(outcome);
  if (!summary) {
    summary = Object.freeze(summarize(outcome));
    summaries.set(outcome, summary);
  }
  return summary;
}

function summarize(outcome: Exclude<MaskOutcome, { kind: 'clear' }>): MaskSummary {
  switch (outcome.kind) {
    case 'columns':
      return {
        kind: 'columns',
        fields: outcome.fields.map((field) => (field.kind === 'value' ? field.mask.with : field.kind)),
      };
    case 'untraceable':
      return { kind: 'all', reason: outcome.reason };
    case 'refused':
      return { kind: 'refused', reason: outcome.reason };
  }
}

export function maskDenial(outcome: Extract<MaskOutcome, { kind: 'refused' }>): Denial {
  return {
    code: 'mask',
    message: outcome.reason,
    detail: 'A mask of this connection protects the column; the statement could reveal its values.',
    hint: outcome.hint,
  };
}

function untraceableDenial(outcome: Extract<MaskOutcome, { kind: 'untraceable' }>): Denial {
  return {
    code: 'mask',
    message: outcome.reason,
    detail:
      'This connection masks columns, and what this statement does with them cannot be traced; only a person may let it run.',
    hint: outcome.hint,
  };
}
