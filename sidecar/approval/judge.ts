/** Whether a person's decision counts. Pure: no clock, no files. */
import type { Approval } from '../../crds/approval.ts';
import type { Approver } from './approver.ts';
import type { WrittenDecision } from './decision-file.ts';

export interface Held {
  readonly approval: Approval;
  /** Of the whole request, as the approver must have been shown it. */
  readonly shown: string;
  /** Who must not decide, whatever they may otherwise (four eyes). */
  readonly own: OwnIdentity;
}

/** Names and numbers that mean the run itself. */
export interface OwnIdentity {
  readonly names: readonly string[];
  readonly uids: readonly number[];
}

export type Judgement =
  /** `holds` are those that this satisfies, `awaiting` those still open: it is decided when there are none. */
  | { readonly kind: 'counts'; readonly holds: readonly string[]; readonly awaiting: readonly string[] }
  /** Said before by the same person: nothing changes. */
  | { readonly kind: 'again'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

type Requirement = Approval['spec']['request']['requirements'][number];

export function holdOf(requirement: Pick<Requirement, 'policy' | 'rule'>): string {
  return `${requirement.policy}/${requirement.rule}`;
}

/** `now` in milliseconds since the epoch. */
export function judge(held: Held, approver: Approver, written: WrittenDecision, now: number): Judgement {
  const { spec, status } = held.approval;
  const { request } = spec;
  if (written.digest !== request.digest || written.shown !== held.shown) {
    return refused('what was shown to you is not what is held: look at it again');
  }
  if (isOwn(held.own, approver))
    return refused(`the run's own identity cannot decide: ${approver.username} asked for it`);
  const able = request.requirements.filter((requirement) => fulfils(approver, requirement));
  if (able.length === 0)
    return refused(`${approver.username} is not an approver: ${whoMay(request.requirements)}`);
  const earlier = repeated(held.approval, approver, written);
  if (earlier !== null) return earlier;
  if (status?.phase !== 'Pending') return refused(`too late: ${describePhase(held.approval)}`);
  if (now >= Date.parse(request.expiresAt)) return refused(`too late: it expired at ${request.expiresAt}`);
  return weigh(held.approval, able, approver, written);
}

function weigh(
  approval: Approval,
  able: readonly Requirement[],
  approver: Approver,
  written: WrittenDecision,
): Judgement {
  const { requirements } = approval.spec.request;
  const all = [...new Set(requirements.map(holdOf))];
  const mine = new Set(able.map(holdOf));
  switch (written.verdict) {
    case 'Deny':
      return { kind: 'counts', holds: [...mine], awaiting: [] };
    case 'Modify':
      // Others approved another text than this one, so that their approvals say nothing of it.
      if (!all.every((hold) => mine.has(hold))) {
        const rest = requirements.filter((requirement) => !mine.has(holdOf(requirement)));
        return refused(
          `another text needs one person who may decide on every hold; also needed: ${whoMay(rest)}`,
        );
      }
      return { kind: 'counts', holds: all, awaiting: [] };
    case 'Approve': {
      const given = new Set((approval.status?.approvals ?? []).flatMap(({ holds }) => holds));
      const holds = all.filter((hold) => mine.has(hold) && !given.has(hold));
      const awaiting = all.filter((hold) => !mine.has(hold) && !given.has(hold));
      if (holds.length > 0) return { kind: 'counts', holds, awaiting };
      return refused(
        `what ${approver.username} may approve is approved already; still needed: ${whoIsNeeded(approval)}`,
      );
    }
  }
}

function repeated(approval: Approval, approver: Approver, written: WrittenDecision): Judgement | null {
  const { status, spec } = approval;
  const uid = String(approver.uid);
  if (status?.phase === 'Pending') {
    const before = status.approvals?.find((one) => one.uid === uid);
    if (before === undefined || written.verdict !== 'Approve') return null;
    return { kind: 'again', message: `you have approved it already; still needed: ${whoIsNeeded(approval)}` };
  }
  const same =
    spec.decision?.verdict === written.verdict &&
    (spec.decision.modified ?? null) === written.modified &&
    (spec.decision.decidedBy?.uid === uid || (status?.approvals ?? []).some((one) => one.uid === uid));
  return same ? { kind: 'again', message: `you have decided so already: ${describePhase(approval)}` } : null;
}

function isOwn(own: OwnIdentity, approver: Approver): boolean {
  const name = fold(approver.username);
  return own.uids.includes(approver.uid) || own.names.some((one) => fold(one) === name);
}

function fold(name: string): string {
  return name.normalize('NFKC').toLowerCase();
}

function fulfils(approver: Approver, { approvers }: Requirement): boolean {
  return (
    approvers.users.includes(approver.username) ||
    approvers.groups.some((group) => approver.groups.includes(group))
  );
}

/** `user alice or group dba`, for each requirement. */
export function whoMay(requirements: readonly Requirement[]): string {
  const each = requirements.map(({ approvers }) => {
    const names = [
      ...approvers.users.map((user) => `user ${user}`),
      ...approvers.groups.map((group) => `group ${group}`),
    ];
    return names.length === 0 ? 'nobody' : names.join(' or ');
  });
  return [...new Set(each)].join('; and ');
}

/** Who must still approve. */
export function whoIsNeeded({ spec, status }: Approval): string {
  const given = new Set((status?.approvals ?? []).flatMap(({ holds }) => holds));
  return whoMay(spec.request.requirements.filter((requirement) => !given.has(holdOf(requirement))));
}

/** What became of it, in words. */
export function describePhase({ spec, status }: Approval): string {
  const by = spec.decision?.decidedBy?.username ?? '';
  const at = status?.decidedAt ?? '';
  const who = by === '' ? '' : ` by ${by}`;
  const when = at === '' ? '' : ` at ${at}`;
  switch (status?.phase) {
    case undefined:
    case 'Pending':
      return 'it is pending';
    case 'Approved':
      return `it was approved${who}${when}`;
    case 'Used':
      return `it was ${spec.decision?.verdict === 'Modify' ? 'modified' : 'approved'}${who}${when} and is used up`;
    case 'Modified':
      return `it was modified${who}${when}`;
    case 'Denied':
      return `it was denied${who}${when}`;
    case 'Expired':
      return `it expired at ${spec.request.expiresAt}`;
    case 'Void': {
      const why = status.conditions?.find(({ type }) => type === 'Completed')?.message;
      return why === undefined ? 'it is void' : `it is void: ${why}`;
    }
  }
}

function refused(message: string): Judgement {
  return { kind: 'refused', message };
}
