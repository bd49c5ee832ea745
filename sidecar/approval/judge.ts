/** Whether a person's decision counts. Pure: no clock, no files. */
import type { Approval } from '../../crds/approval.ts';
import type { Verdict } from './decision-file.ts';

/** A person, by the word of the operating system or the API server. */
export interface Decider {
  readonly username: string;
  /** Empty when there is none. */
  readonly uid: string;
  readonly groups: readonly string[];
}

/** Names and ids that mean the run itself: it must not decide, whatever it may otherwise (four eyes). */
export interface OwnIdentity {
  readonly names: readonly string[];
  readonly uids: readonly string[];
}

export interface Saying {
  readonly verdict: Verdict;
  /** Null unless the verdict is Modify. */
  readonly modified: string | null;
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
export function judge(
  approval: Approval,
  own: OwnIdentity,
  approver: Decider,
  said: Saying,
  now: number,
): Judgement {
  const { request } = approval.spec;
  if (isOwn(own, approver))
    return refused(`the run's own identity cannot decide: ${approver.username} asked for it`);
  const able = request.requirements.filter((requirement) => fulfils(approver, requirement));
  if (able.length === 0)
    return refused(`${approver.username} is not an approver: ${whoMay(request.requirements)}`);
  const earlier = repeated(approval, approver, said);
  if (earlier !== null) return earlier;
  if (!isPending(approval)) return refused(`too late: ${describePhase(approval)}`);
  if (now >= Date.parse(request.expiresAt)) return refused(`too late: it expired at ${request.expiresAt}`);
  return weigh(approval, able, approver, said);
}

function weigh(approval: Approval, able: readonly Requirement[], approver: Decider, said: Saying): Judgement {
  const { requirements } = approval.spec.request;
  const all = [...new Set(requirements.map(holdOf))];
  const mine = new Set(able.map(holdOf));
  switch (said.verdict) {
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
      const given = givenHolds(approval);
      const holds = all.filter((hold) => mine.has(hold) && !given.has(hold));
      const awaiting = all.filter((hold) => !mine.has(hold) && !given.has(hold));
      if (holds.length > 0) return { kind: 'counts', holds, awaiting };
      return refused(
        `what ${approver.username} may approve is approved already; still needed: ${whoIsNeeded(approval)}`,
      );
    }
  }
}

function repeated(approval: Approval, approver: Decider, said: Saying): Judgement | null {
  const { decision, approvals = [] } = approval.spec;
  const before = approvals.some(({ by }) => samePerson(by, approver));
  if (isPending(approval)) {
    if (!before || said.verdict !== 'Approve') return null;
    return { kind: 'again', message: `you have approved it already; still needed: ${whoIsNeeded(approval)}` };
  }
  const same =
    decision?.verdict === said.verdict &&
    (decision.modified ?? null) === said.modified &&
    (before || (decision.decidedBy !== undefined && samePerson(decision.decidedBy, approver)));
  return same ? { kind: 'again', message: `you have decided so already: ${describePhase(approval)}` } : null;
}

/** Neither decided nor over. One that is new has no status yet. */
function isPending({ spec, status }: Approval): boolean {
  return spec.decision === undefined && (status === undefined || status.phase === 'Pending');
}

function samePerson(one: { readonly username: string; readonly uid?: string }, other: Decider): boolean {
  return one.username === other.username && (one.uid ?? '') === other.uid;
}

/** Holds that somebody has approved. */
export function givenHolds({ spec }: Approval): ReadonlySet<string> {
  return new Set((spec.approvals ?? []).flatMap(({ holds }) => holds));
}

function isOwn(own: OwnIdentity, approver: Decider): boolean {
  const name = fold(approver.username);
  return (
    (approver.uid !== '' && own.uids.includes(approver.uid)) || own.names.some((one) => fold(one) === name)
  );
}

function fold(name: string): string {
  return name.normalize('NFKC').toLowerCase();
}

function fulfils(approver: Decider, { approvers }: Requirement): boolean {
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
export function whoIsNeeded(approval: Approval): string {
  const given = givenHolds(approval);
  return whoMay(approval.spec.request.requirements.filter((requirement) => !given.has(holdOf(requirement))));
}

/** What became of it, in words. */
export function describePhase({ spec, status }: Approval): string {
  const by = spec.decision?.decidedBy?.username ?? '';
  const at = spec.decision?.at ?? status?.decidedAt ?? '';
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
