/** The `Approval` object through its life. Pure: each function gives a new object. */
import {
  parseApproval,
  type Approval,
  type ApprovalDecision,
  type ApprovalReason,
  type GivenApproval,
} from '../../crds/approval.ts';
import type { HoldRequirement } from '../operation.ts';
import { sha256 } from './digest.ts';
import { summarize } from './display.ts';
import type { ApprovalRequest, VoidReason } from './gateway.ts';
import type { Verdict } from './decision-file.ts';
import { givenHolds, holdOf, whoIsNeeded, type Decider } from './judge.ts';
import { operationWarnings } from './suspicion.ts';

/** Of text and parameters together: nobody reads more, and it is gone through while others wait. */
const MAX_SHOWN = 524_288;
const SUMMARY_WIDTH = 160;

type Request = Approval['spec']['request'];
type Status = NonNullable<Approval['status']>;
type Conditions = NonNullable<Status['conditions']>;

export type NewApproval =
  | { readonly kind: 'new'; readonly approval: Approval }
  /** It does not fit the kind's schema, such as a text that is too long to be read by a person. */
  | { readonly kind: 'unfit'; readonly why: string };

/** `now` in milliseconds since the epoch. */
export function newApproval(name: string, uid: string, asked: ApprovalRequest, now: number): NewApproval {
  const shown = asked.operation.parameters.reduce(
    (sum, value) => sum + (value?.length ?? 0),
    asked.operation.text.length,
  );
  if (shown > MAX_SHOWN)
    return { kind: 'unfit', why: `it has ${shown} characters with its parameters, more than ${MAX_SHOWN}` };
  const createdAt = stamp(now);
  const { connection, identity, operation } = asked;
  const object = {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Approval',
    metadata: { name, namespace: connection.namespace, uid, creationTimestamp: createdAt },
    spec: {
      request: {
        connection: connection.name,
        session: asked.session,
        ...(asked.recording === undefined ? {} : { recording: asked.recording }),
        identity: {
          issuer: identity.issuer,
          subject: identity.subject,
          username: identity.username,
          groups: identity.groups,
          ...(identity.serviceAccount === '' ? {} : { serviceAccount: identity.serviceAccount }),
          ...(identity.pod === '' ? {} : { pod: identity.pod }),
        },
        operation: { ...operation, summary: summarize(operation.text, SUMMARY_WIDTH) },
        digest: asked.digest,
        requirements: asked.requirements.map(requirementOf),
        evidence: fitting(asked.evidence),
        warnings: operationWarnings(operation.text, operation.parameters),
        createdAt,
        expiresAt: stamp(now + shortestTimeout(asked.requirements)),
      },
    },
  };
  const parsed = parseApproval(object);
  if (parsed.kind === 'parsed') return { kind: 'new', approval: undecided(parsed.value, now) };
  const [first] = parsed.errors;
  return { kind: 'unfit', why: first === undefined ? 'unknown' : `${first.path.join('.')} ${first.message}` };
}

/** Nobody has decided yet. */
export function undecided(approval: Approval, now: number): Approval {
  return awaiting(approval, 'AwaitingDecision', 'nobody has decided yet', now);
}

/** Some have approved, others are needed. */
export function stillAwaiting(approval: Approval, now: number): Approval {
  const who = (approval.spec.approvals ?? []).map(({ by }) => by.username).join(', ');
  const message = `approved by ${who}; still needed: ${whoIsNeeded(approval)}`;
  return awaiting(approval, 'AwaitingDecision', message, now);
}

/** Something in it was written past the operator's admission. */
export function unproven(approval: Approval, now: number): Approval {
  const message =
    "it holds a decision or an approval that did not pass Sidewarden's admission: it does not count, and nothing can be decided any more";
  return awaiting(approval, 'DecisionNotStamped', message, now);
}

function awaiting(approval: Approval, reason: ApprovalReason, message: string, now: number): Approval {
  const given = givenHolds(approval);
  const holds = new Set(approval.spec.request.requirements.map(holdOf));
  return withStatus(approval, {
    phase: 'Pending',
    awaiting: [...holds].filter((hold) => !given.has(hold)),
    needed: neededBy(approval),
    conditions: [condition('Decided', 'False', reason, message, now)],
  });
}

const neededBy = (approval: Approval) => whoIsNeeded(approval).slice(0, 4_096);

const MAX_PLAN = 65_536;
const MAX_LOCKS = 1_024;

/** Evidence helps and binds nothing: what is too long is cut, and says so, rather than that nobody can be asked. */
export function fitting(evidence: Request['evidence']): Request['evidence'] {
  const { plan, unavailable, locks } = evidence;
  return {
    ...evidence,
    ...(plan === undefined ? {} : { plan: cut(plan, MAX_PLAN) }),
    ...(unavailable === undefined ? {} : { unavailable: cut(unavailable, 1_024) }),
    ...(locks === undefined ? {} : { locks: locks.slice(0, MAX_LOCKS) }),
  };
}

function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const kept = limit - 40;
  return `${text.slice(0, kept)} … (${text.length - kept} characters more)`;
}

/** Milliseconds. */
export function shortestTimeout(requirements: readonly HoldRequirement[]): number {
  return Math.min(...requirements.map(({ timeout }) => timeout));
}

/** SHA-256 of all that an approver is shown; the same for the object that `serve` holds and the one read from its file. */
export function shownDigest(request: Request): string {
  return sha256(JSON.stringify(request));
}

/** Equal for the same operation of the same identity on the same connection, whatever session it comes in. */
export function sameOperationKey({ spec, metadata }: Pick<Approval, 'spec' | 'metadata'>): string {
  const { connection, identity, operation } = spec.request;
  const { text, parameters, role, searchPath, database = '' } = operation;
  const { issuer, subject } = identity;
  const parts = [
    metadata.namespace ?? '',
    connection,
    issuer,
    subject,
    text,
    parameters,
    role,
    searchPath,
    database,
  ];
  return sha256(JSON.stringify(parts));
}

export interface Given {
  readonly by: Decider;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly modified: string | null;
  readonly holds: readonly string[];
  readonly awaiting: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** One of several people that are needed has approved. */
export function partlyApproved(approval: Approval, given: Given): Approval {
  const approvals = [...(approval.spec.approvals ?? []), approvalOf(given)];
  return stillAwaiting({ ...approval, spec: { ...approval.spec, approvals } }, given.at);
}

const PHASES = { Approve: 'Approved', Deny: 'Denied', Modify: 'Modified' } as const;
const REASONS = { Approve: 'ApprovedByPerson', Deny: 'DeniedByPerson', Modify: 'ModifiedByPerson' } as const;

export function decided(approval: Approval, given: Given): Approval {
  const { by, verdict, reason, modified, at } = given;
  const decision = {
    verdict,
    ...(reason === '' ? {} : { reason }),
    ...(modified === null ? {} : { modified }),
    decidedBy: deciderOf(by),
    at: stamp(at),
  };
  return decisionTaken({ ...approval, spec: { ...approval.spec, decision } }, decision, at);
}

/** What a decision that counts makes of the status. */
export function decisionTaken(
  approval: Approval,
  { verdict, decidedBy = NOBODY }: ApprovalDecision,
  at: number,
): Approval {
  const message = `${PHASES[verdict]} by ${decidedBy.username}`;
  return withStatus(approval, {
    phase: PHASES[verdict],
    decidedBy,
    decidedAt: stamp(at),
    awaiting: [],
    needed: '',
    conditions: [condition('Decided', 'True', REASONS[verdict], message, at)],
  });
}

const NOBODY = { username: '', groups: [] };

export function deciderOf({ username, uid, groups }: Decider): NonNullable<ApprovalDecision['decidedBy']> {
  return { username, ...(uid === '' ? {} : { uid }), groups };
}

export function expired(approval: Approval, now: number): Approval {
  return completed(approval, 'Expired', 'TimedOut', 'nobody decided in time', now);
}

export function used(approval: Approval, now: number): Approval {
  return completed(approval, 'Used', 'OperationForwarded', 'the operation went forward', now);
}

const VOID_MESSAGES: Readonly<Record<VoidReason, string>> = {
  ClientDisconnected: 'the client went away',
  ClientCancelled: 'the client cancelled the operation',
  TargetDisconnected: 'the connection to the target was lost',
  SessionEnded: 'the session ended',
  StateChanged: 'the state that it was asked for is another now',
};

export function voided(approval: Approval, why: VoidReason, now: number): Approval {
  return completed(approval, 'Void', why, VOID_MESSAGES[why], now);
}

function completed(
  approval: Approval,
  phase: 'Expired' | 'Used' | 'Void',
  reason: ApprovalReason,
  message: string,
  now: number,
): Approval {
  const kept = (approval.status?.conditions ?? []).filter(({ type }) => type !== 'Completed');
  return withStatus(approval, {
    phase,
    needed: '',
    conditions: [...kept, condition('Completed', 'True', reason, message, now)],
  });
}

function withStatus(approval: Approval, change: Partial<Status>): Approval {
  return { ...approval, status: { phase: 'Pending', ...approval.status, ...change } };
}

function approvalOf({ by, at, reason, holds }: Given): GivenApproval {
  return { by: deciderOf(by), at: stamp(at), ...(reason === '' ? {} : { reason }), holds };
}

function condition(
  type: Conditions[number]['type'],
  status: 'True' | 'False',
  reason: ApprovalReason,
  message: string,
  now: number,
): Conditions[number] {
  return { type, status, reason, message: message.slice(0, 4096), lastTransitionTime: stamp(now) };
}

function requirementOf({
  rule,
  approvers,
  timeout,
  inTransaction,
}: HoldRequirement): Request['requirements'][number] {
  return { policy: rule.policy, rule: rule.rule, approvers, timeout: durationOf(timeout), inTransaction };
}

/** As the kinds write durations: `15m`, `1h30m`, `1s500ms`. */
function durationOf(milliseconds: number): string {
  const total = Math.max(0, Math.round(milliseconds));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(total / 3_600_000), 'h'],
    [Math.floor(total / 60_000) % 60, 'm'],
    [Math.floor(total / 1000) % 60, 's'],
    [total % 1000, 'ms'],
  ];
  const text = parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('');
  return text === '' ? '0s' : text;
}

function stamp(now: number): string {
  return new Date(now).toISOString();
}
