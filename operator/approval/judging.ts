/** Whether a person's word on an Approval counts: when it is said (admission), and again whenever it is read. */
import {
  MAX_APPROVALS,
  type Approval,
  type ApprovalDecision,
  type GivenApproval,
} from '../../crds/approval.ts';
import { deciderOf } from '../../sidecar/approval/object.ts';
import { judge, type Decider } from '../../sidecar/approval/judge.ts';
import type { UserInfo } from '../kube/kube.ts';
import { ownIdentity, speaksForRun } from './run-identity.ts';
import { sessionOf } from './session-owner.ts';
import type { Stamper, StampUse } from './stamp.ts';

/** What a person wrote; the rest of a decision is not theirs to say. */
export type Words = Pick<ApprovalDecision, 'verdict' | 'reason' | 'modified'>;

export type Taken =
  /** Nobody else is needed. */
  | { readonly kind: 'decided'; readonly decision: ApprovalDecision }
  /** Others are: their holds. */
  | { readonly kind: 'given'; readonly given: GivenApproval; readonly awaiting: readonly string[] }
  /** Said before by the same person: nothing changes. */
  | { readonly kind: 'again'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

export interface Speaking {
  readonly user: UserInfo;
  readonly words: Words;
  /** Milliseconds since the epoch, by the operator's clock. */
  readonly now: number;
  readonly use: StampUse;
}

/** What a person's words make of an Approval, stamped. */
export function take(approval: Approval, { user, words, now, use }: Speaking, stamper: Stamper): Taken {
  const { request } = approval.spec;
  if (user.username.length > 512) return refused('your user name is too long to be written down');
  if (speaksForRun(request.identity, user))
    return refused(`the run's own identity cannot decide: ${user.username} asked for it`);
  if (!isProven(approval, stamper))
    return refused('it holds what Sidewarden did not write: it cannot be decided any more');
  const by = deciderFrom(user, approval);
  const { verdict, modified = null, reason } = words;
  const judged = judge(approval, ownIdentity(request.identity), by, { verdict, modified }, now);
  if (judged.kind !== 'counts') return judged;
  const at = new Date(now).toISOString();
  const why = reason === undefined || reason === '' ? {} : { reason };
  if (judged.awaiting.length > 0) {
    const given = { by: deciderOf(by), at, ...why, holds: judged.holds };
    if ((approval.spec.approvals ?? []).length + 1 >= MAX_APPROVALS)
      return refused(`more than ${MAX_APPROVALS} people cannot approve one operation`);
    const stamp = stamper.stamp(approval, { kind: 'given', given }, use);
    return { kind: 'given', given: { ...given, stamp }, awaiting: judged.awaiting };
  }
  const text = modified === null ? {} : { modified };
  const decision = { verdict, ...why, ...text, decidedBy: deciderOf(by), at };
  const stamp = stamper.stamp(approval, { kind: 'decision', decision }, use);
  return { kind: 'decided', decision: { ...decision, stamp } };
}

/** The API server's word on a user, as far as it fits; groups that the rules name come first, so that they always do. */
export function deciderFrom({ username, uid, groups }: UserInfo, { spec }: Approval): Decider {
  const named = new Set(spec.request.requirements.flatMap(({ approvers }) => approvers.groups));
  const sorted = [...groups.filter((group) => named.has(group)), ...groups];
  const fitting = [...new Set(sorted)].filter((group) => group.length <= 512);
  return { username, uid: uid.slice(0, 512), groups: fitting.slice(0, 512) };
}

export type Verified =
  | { readonly kind: 'undecided' }
  | {
      readonly kind: 'decided';
      readonly decision: ApprovalDecision;
      readonly by: readonly Decider[];
      readonly at: number;
    }
  /** Something was written past admission: it does not count, and nothing can any more. */
  | { readonly kind: 'unproven' };

/** Reads a decision anew: each word in it must carry our stamp, and must still be one that its speaker may say. */
export function verified(approval: Approval, stamper: Stamper): Verified {
  const { decision, approvals = [] } = approval.spec;
  if (!isProven(approval, stamper)) return { kind: 'unproven' };
  if (decision === undefined) return { kind: 'undecided' };
  const { decidedBy, at = '', verdict, modified = null } = decision;
  if (decidedBy === undefined || !stamper.verify(approval, { kind: 'decision', decision }, 'real'))
    return { kind: 'unproven' };
  const by = readDecider(decidedBy);
  const time = Date.parse(at);
  const judged = judge(open(approval, approvals), ownOf(approval), by, { verdict, modified }, time);
  if (judged.kind !== 'counts' || judged.awaiting.length > 0) return { kind: 'unproven' };
  const others = verdict === 'Approve' ? approvals.map((one) => readDecider(one.by)) : [];
  return { kind: 'decided', decision, by: [...others, by], at: time };
}

/** Whether the operator made the request, and each of the approvals before a decision is proven and was needed when it was given. */
function isProven(approval: Approval, stamper: Stamper): boolean {
  const session = sessionOf(approval)?.uid;
  const { stamp } = approval.spec;
  return (
    session !== undefined &&
    stamper.verify(approval, { kind: 'request', session, stamp }, 'real') &&
    earlierCount(approval, stamper)
  );
}

function earlierCount(approval: Approval, stamper: Stamper): boolean {
  const { approvals = [] } = approval.spec;
  return approvals.every((given, index) => {
    if (!stamper.verify(approval, { kind: 'given', given }, 'real')) return false;
    const before = open(approval, approvals.slice(0, index));
    const said = { verdict: 'Approve', modified: null } as const;
    const judged = judge(before, ownOf(approval), readDecider(given.by), said, Date.parse(given.at ?? ''));
    return judged.kind === 'counts' && judged.awaiting.length > 0 && same(judged.holds, given.holds);
  });
}

const ownOf = ({ spec }: Approval) => ownIdentity(spec.request.identity);

/** As it was before a decision, with these approvals. */
function open({ apiVersion, kind, metadata, spec }: Approval, approvals: readonly GivenApproval[]): Approval {
  return { apiVersion, kind, metadata, spec: { request: spec.request, approvals } };
}

function readDecider({ username, uid = '', groups }: GivenApproval['by']): Decider {
  return { username, uid, groups };
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((hold, index) => hold === other[index]);
}

function refused(message: string): Taken {
  return { kind: 'refused', message };
}
