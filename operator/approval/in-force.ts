/** Approvers who were taken off a rule while its holds waited: they may still deny, and approve nothing any more. */
import type { Approval } from '../../crds/approval.ts';
import { judge, type Judgement } from '../../sidecar/approval/judge.ts';
import type { Store, UserInfo } from '../kube/kube.ts';
import { deciderFrom, type Words } from './judging.ts';
import { holdInForce } from './request.ts';
import { ownIdentity } from './run-identity.ts';

interface Speaking {
  readonly user: UserInfo;
  readonly words: Words;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Why words that count by the rules as they were when it was asked do not by those of now; null when they do. A rule that is gone
 * keeps its approvers: the sidecar decides again before anything goes forward.
 */
export function objectionInForce(
  approval: Approval,
  { user, words, now }: Speaking,
  policies: Store,
): string | null {
  const { verdict, modified = null } = words;
  if (verdict === 'Deny') return null;
  const { request } = approval.spec;
  const judged = (one: Approval): Judgement =>
    judge(one, ownIdentity(request.identity), deciderFrom(user, one), { verdict, modified }, now);
  const [then, today] = [judged(approval), judged(asOfNow(approval, policies))];
  if (today.kind !== 'counts') return `the policy was changed since it was asked for: ${today.message}`;
  const lost = then.kind === 'counts' ? then.holds.filter((hold) => !today.holds.includes(hold)) : [];
  return lost.length === 0
    ? null
    : `the policy was changed since it was asked for: you are no approver of ${lost.join(', ')} any more`;
}

function asOfNow(approval: Approval, policies: Store): Approval {
  const { request } = approval.spec;
  const place = { namespace: approval.metadata.namespace ?? '', connection: request.connection };
  const requirements = request.requirements.map((requirement) => {
    const found = holdInForce(requirement, place, policies);
    if (found === undefined) return requirement;
    const { users, groups } = found.approvers;
    return { ...requirement, approvers: { users: [...users], groups: [...groups] } };
  });
  return { ...approval, spec: { ...approval.spec, request: { ...request, requirements } } };
}
