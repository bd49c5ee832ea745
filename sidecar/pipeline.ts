/**
 * Turns decisions into permits. The pipeline knows no protocol: an adapter submits operations, and forwards one only
 * against the permit that came back for it. Nothing leaves without its decision being in the recording first.
 */
import type {
  ApprovalGateway,
  ApprovalOutcome,
  ApprovalRequest,
  DecidedBy,
  VoidReason,
} from './approval/gateway.ts';
import type { MaskRules } from './mask/mask.ts';
import type { Decision, Denial, Facts, HoldRequirement } from './operation.ts';
import type { MaskSummary, RecordingEvent, Verdict } from './record/event.ts';
import type { SessionRecorder } from './record/recorder.ts';
import type { SessionPolicy } from './policy/session-policy.ts';

/** What an adapter asks to be decided. The object stands for the exact bytes that it would send. */
export interface Operation {
  readonly facts: Facts;
  readonly masks: MaskSummary;
  /** Set when only a person may let it run: what is said where a policy alone would allow it. */
  readonly needsPerson: Denial | undefined;
  /** SHA-256 over all that the operation runs under, taken anew at each call. */
  digest(): string;
  /** Resolves when all that was sent before it has been answered. */
  settled(): Promise<void> | undefined;
  /** State of the transaction that a hold would keep open. */
  transaction(): { readonly open: boolean; readonly wrote: boolean };
  /** What the approver is to see; may ask the server for evidence, within its own short deadline. */
  approvalRequest(requirements: readonly HoldRequirement[]): Promise<ApprovalRequest>;
  /** Called when it begins to wait, so that the client can be told. */
  held(approval: string, requirement: HoldRequirement): void;
}

let mint: (operation: Operation, digest: string | undefined) => Permit;

/** Proof that one operation may go forward, once. Only the pipeline makes it. */
export class Permit {
  readonly #operation: Operation;
  /** Of the operation as a person approved it; undefined where nobody had to. */
  readonly #digest: string | undefined;
  #used = false;

  private constructor(operation: Operation, digest: string | undefined) {
    this.#operation = operation;
    this.#digest = digest;
  }

  static {
    mint = (operation, digest) => new Permit(operation, digest);
  }

  /** Uses the permit up for this very operation. False when it is another's, was used, or the state is another by now. */
  redeem(operation: Operation): boolean {
    if (this.#used || this.#operation !== operation) return false;
    if (this.#digest !== undefined && this.#digest !== operation.digest()) return false;
    this.#used = true;
    return true;
  }
}

export type Outcome =
  | { readonly kind: 'permitted'; readonly number: number; readonly permit: Permit }
  | { readonly kind: 'refused'; readonly number: number; readonly denial: Denial }
  /** A person wrote another text: to be analysed and submitted anew, under the same approval. */
  | { readonly kind: 'modified'; readonly number: number; readonly text: string; readonly grant: Grant };

/** What an approval with a modified text stands for: holds by these rules are satisfied for that text. */
export interface Grant {
  readonly approval: string;
  readonly rules: ReadonlySet<string>;
}

/** The clock, so that tests and replays can have their own. Milliseconds since the epoch. */
export type Clock = () => number;

/** The policy in force now for one session; another object after a change. */
export type PolicyInForce = () => SessionPolicy;

export interface PipelineParts {
  readonly policy: PolicyInForce;
  readonly recorder: SessionRecorder;
  readonly approvals: ApprovalGateway;
  readonly clock: Clock;
  /** The policy could not be read anew for longer than it may be used. */
  readonly stale: () => boolean;
  /** Tells what a policy in Observe mode would have done. */
  readonly observed: (decision: Decision) => void;
}

/** One session's way from operations to permits. */
export class Pipeline {
  readonly #parts: PipelineParts;
  #operations = 0;
  #hold: AbortController | undefined;
  #closed = false;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
  }

  get masks(): MaskRules {
    return this.#parts.policy().masks;
  }

  /** A decision that will be `deny` whatever the values turn out to be, or undefined. Records nothing. */
  foresee(facts: Facts): boolean {
    return this.#parts.policy().foresee(facts)?.kind === 'deny';
  }

  /** Whether the operation would be denied now. Pure: records nothing. */
  wouldDeny(facts: Facts): boolean {
    return this.#parts.policy().decide(facts, this.#parts.clock()).kind === 'deny';
  }

  record(event: RecordingEvent): void {
    this.#parts.recorder.append(event);
  }

  /** Records a refusal that no policy made, and gives the operation's number. */
  refuse(
    facts: Facts | { readonly kind: 'unknown'; readonly text: string },
    masks: MaskSummary,
    denial: Denial,
  ): number {
    const number = ++this.#operations;
    this.record({
      kind: 'decision',
      operation: number,
      decision: { kind: 'refuse', denial },
      facts,
      digest: '',
      masks,
    });
    return number;
  }

  /** Decides an operation. Synchronous unless a person or a strict recording must be waited for. */
  submit(operation: Operation, grant?: Grant): Outcome | Promise<Outcome> {
    const { recorder, clock, observed } = this.#parts;
    if (recorder.failed || this.#closed) return this.#unrecorded();
    if (this.#parts.stale()) {
      return { kind: 'refused', number: this.refuse(operation.facts, operation.masks, STALE), denial: STALE };
    }
    const decision = this.#parts.policy().decide(operation.facts, clock());
    if (decision.kind === 'allow' && operation.needsPerson) {
      const number = this.refuse(operation.facts, operation.masks, operation.needsPerson);
      return { kind: 'refused', number, denial: operation.needsPerson };
    }
    const number = ++this.#operations;
    // A permit is bound to its digest where a person approved it. In the recording of a strict session it also fixes the
    // search_path that an allowed statement ran under; it takes 1 to 2 µs, which an fsync hides and a batched session would feel.
    const digest = decision.kind === 'hold' || recorder.durability === 'strict' ? operation.digest() : '';
    recorder.append({
      kind: 'decision',
      operation: number,
      decision,
      facts: operation.facts,
      digest,
      masks: operation.masks,
    });
    if (decision.observed.length > 0) observed(decision);
    switch (decision.kind) {
      case 'deny':
        return { kind: 'refused', number, denial: denialOf(decision) };
      case 'allow':
        return this.#whenDurable(number, operation, undefined);
      case 'hold': {
        const open = decision.requirements.filter((requirement) => !grant?.rules.has(ruleKey(requirement)));
        if (open.length === 0) return this.#whenDurable(number, operation, digest);
        return this.#waitForPerson(number, operation, digest, open);
      }
    }
  }

  /** A person is being waited for. */
  get holding(): boolean {
    return this.#hold !== undefined;
  }

  /** Ends a wait for a person: the client went away, or cancelled. */
  abortHold(why: VoidReason): boolean {
    if (!this.#hold) return false;
    this.#hold.abort(why);
    return true;
  }

  close(): void {
    this.#closed = true;
    this.abortHold('ClientDisconnected');
  }

  #unrecorded(): Outcome {
    return {
      kind: 'refused',
      number: ++this.#operations,
      denial: {
        code: 'recording',
        message: 'the recording of this session cannot be written',
        detail: 'nothing goes forward that is not recorded',
        hint: 'Tell the platform team; a new session works again when its recordings can be written.',
      },
    };
  }

  #whenDurable(number: number, operation: Operation, digest: string | undefined): Outcome | Promise<Outcome> {
    const durable = this.#parts.recorder.durable();
    if (!durable) return { kind: 'permitted', number, permit: mint(operation, digest) };
    return durable.then(
      (): Outcome => ({ kind: 'permitted', number, permit: mint(operation, digest) }),
      () => this.#unrecorded(),
    );
  }

  async #waitForPerson(
    number: number,
    operation: Operation,
    digest: string,
    requirements: readonly HoldRequirement[],
  ): Promise<Outcome> {
    const controller = new AbortController();
    this.#hold = controller;
    try {
      // What came before may write, or fail: only then is it known what a hold would keep open.
      await operation.settled();
      const blocked = transactionDenial(operation, requirements);
      if (blocked) return { kind: 'refused', number, denial: blocked };
      const request = await operation.approvalRequest(requirements);
      const answer = await this.#parts.approvals.request(request, controller.signal);
      if (answer.kind === 'refused') {
        return { kind: 'refused', number, denial: answer.denial };
      }
      const rules = requirements.map((requirement) => requirement.rule);
      this.record({
        kind: 'hold',
        operation: number,
        approval: answer.name,
        rules,
        expiresAt: answer.expiresAt,
      });
      for (const requirement of requirements.slice(0, 1)) operation.held(answer.name, requirement);
      return await this.#decided(number, operation, digest, requirements, answer.name, await answer.outcome);
    } catch (error) {
      return { kind: 'refused', number, denial: internalDenial(error) };
    } finally {
      this.#hold = undefined;
    }
  }

  async #decided(
    number: number,
    operation: Operation,
    digest: string,
    requirements: readonly HoldRequirement[],
    approval: string,
    outcome: ApprovalOutcome,
  ): Promise<Outcome> {
    this.record(approvalEvent(number, approval, outcome, this.#parts.clock()));
    switch (outcome.kind) {
      case 'approved':
        return this.#approved(number, operation, digest, requirements, approval);
      case 'modified':
        if (!this.#parts.approvals.used(approval)) return { kind: 'refused', number, denial: USED_BEFORE };
        return {
          kind: 'modified',
          number,
          text: outcome.text,
          grant: { approval, rules: new Set(requirements.map(ruleKey)) },
        };
      case 'denied':
      case 'expired':
      case 'void':
        return { kind: 'refused', number, denial: approvalDenial(approval, outcome) };
    }
  }

  #approved(
    number: number,
    operation: Operation,
    digest: string,
    requirements: readonly HoldRequirement[],
    approval: string,
  ): Outcome | Promise<Outcome> {
    const objection =
      operation.digest() === digest
        ? this.#objection(operation, requirements, approval)
        : approvalDenial(approval, { kind: 'void', why: 'StateChanged' });
    if (objection) return this.#voided(number, approval, objection);
    if (!this.#parts.approvals.used(approval)) return { kind: 'refused', number, denial: USED_BEFORE };
    return this.#whenDurable(number, operation, digest);
  }

  /** Policies may have changed while a person thought: what they say now stands, and a hold that nobody was asked about too. */
  #objection(operation: Operation, asked: readonly HoldRequirement[], approval: string): Denial | undefined {
    if (this.#parts.stale()) return STALE;
    const now = this.#parts.policy().decide(operation.facts, this.#parts.clock());
    if (now.kind === 'deny') return denialOf(now);
    const known = new Set(asked.map(ruleKey));
    return now.kind === 'hold' && now.requirements.some((requirement) => !known.has(ruleKey(requirement)))
      ? approvalDenial(approval, { kind: 'void', why: 'StateChanged' })
      : undefined;
  }

  /** Approved, and yet it does not run. */
  #voided(number: number, approval: string, denial: Denial): Outcome {
    this.#parts.approvals.void(approval, 'StateChanged');
    this.record({
      kind: 'complete',
      operation: number,
      tag: null,
      error: { code: '42501', message: denial.message },
      rows: 0,
      bytes: 0,
      masked: 0,
      rowsNotRecorded: 0,
    });
    return { kind: 'refused', number, denial };
  }
}

const STALE: Denial = {
  code: 'policy-stale',
  message: 'the policy of this connection is too old to decide by',
  detail: 'It could not be read anew for longer than policyMaxAge.',
  hint: 'Tell the platform team: the manifests cannot be read or are wrong, or the operator does not answer.',
};

const USED_BEFORE: Denial = {
  code: 'approval-void',
  message: 'the approval was used before',
  detail: 'An approval is good for one execution.',
  hint: 'Run the statement again to ask for another approval.',
};

function ruleKey(requirement: HoldRequirement): string {
  return `${requirement.rule.policy}\n${requirement.rule.rule}`;
}

function denialOf(decision: Extract<Decision, { kind: 'deny' }>): Denial {
  const rules = decision.rules.map(({ policy, rule }) =>
    rule === '' ? `policy ${policy}` : `policy ${policy}, rule ${rule}`,
  );
  return {
    code: 'denied',
    message: decision.message,
    detail: `Refused by ${rules.length > 0 ? rules.join('; ') : 'the default: no policy allows it'}.`,
    hint: decision.hint,
  };
}

/** A hold keeps a transaction's locks while a person thinks; whether it may is the rule's to say. */
function transactionDenial(
  operation: Operation,
  requirements: readonly HoldRequirement[],
): Denial | undefined {
  const { open, wrote } = operation.transaction();
  const refused = requirements.find(
    ({ inTransaction }) => (open && inTransaction === 'Refuse') || (wrote && inTransaction === 'Auto'),
  );
  if (!refused) return undefined;
  return {
    code: 'denied',
    message: 'this statement needs an approval, and may not wait for it inside an open transaction',
    detail: `Held by policy ${refused.rule.policy}, rule ${refused.rule.rule}; the transaction would keep its locks while a person decides.`,
    hint: 'COMMIT or ROLLBACK first, then run the statement on its own.',
  };
}

function approvalDenial(
  name: string,
  outcome: Exclude<ApprovalOutcome, { kind: 'approved' | 'modified' }>,
): Denial {
  switch (outcome.kind) {
    case 'denied':
      return {
        code: 'approval-denied',
        message: `approval ${name} was denied by ${outcome.by.username}`,
        detail: outcome.reason === '' ? 'No reason was given.' : `Reason: ${outcome.reason}`,
        hint: 'Do not repeat the same statement; change it by the reason given, or ask the approvers.',
      };
    case 'expired':
      return {
        code: 'approval-expired',
        message: `approval ${name} expired after ${spell(outcome.after)}: nobody decided`,
        detail: 'The statement did not run.',
        hint: 'Run it again when an approver is at hand.',
      };
    case 'void':
      return {
        code: outcome.why === 'ClientCancelled' ? 'cancelled' : 'approval-void',
        message: `approval ${name} is void: ${VOID_WORDS[outcome.why]}`,
        detail: 'The statement did not run.',
        hint: 'Run it again if it is still wanted.',
      };
  }
}

const VOID_WORDS: Record<VoidReason, string> = {
  ClientDisconnected: 'the client went away',
  ClientCancelled: 'the client cancelled the statement',
  TargetDisconnected: 'the server closed the connection',
  SessionEnded: 'the session ended',
  StateChanged: 'what it was asked for has changed since',
};

/** A duration as people write it: 15m, 1h30m, 45s. */
function spell(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'm'],
    [seconds % 60, 's'],
  ];
  const said = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count}${unit}`);
  return said.length > 0 ? said.join('') : `${milliseconds}ms`;
}

function internalDenial(error: unknown): Denial {
  return {
    code: 'internal',
    message: 'the statement needs an approval, which could not be asked for',
    detail: error instanceof Error ? error.name : 'unknown failure',
    hint: 'Tell the platform team.',
  };
}

function names(by: DecidedBy | readonly DecidedBy[]): string {
  return 'username' in by ? by.username : by.map(({ username }) => username).join(', ');
}

function approvalEvent(
  operation: number,
  approval: string,
  outcome: ApprovalOutcome,
  now: number,
): RecordingEvent {
  const verdicts: Record<ApprovalOutcome['kind'], Verdict> = {
    approved: 'Approve',
    denied: 'Deny',
    modified: 'Modify',
    expired: 'Expired',
    void: 'Void',
  };
  return {
    kind: 'approval',
    operation,
    approval,
    verdict: verdicts[outcome.kind],
    by: 'by' in outcome ? names(outcome.by) : '',
    decidedAt: 'at' in outcome ? outcome.at : new Date(now).toISOString(),
    reason: 'reason' in outcome ? outcome.reason : outcome.kind === 'void' ? outcome.why : '',
    modified: outcome.kind === 'modified' ? outcome.text : null,
  };
}
