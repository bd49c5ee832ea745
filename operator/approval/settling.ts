/**
 * What the status of an Approval must be. Pure.
 *
 * | decision | session | time | phase |
 * |---|---|---|---|
 * | Deny, proven | any | any | Denied |
 * | Approve or Modify, proven | live | any | Approved, Modified |
 * | Approve or Modify, proven | over | any | Void |
 * | none, or not proven | over | any | Void |
 * | none, or not proven | live | past expiresAt | Expired |
 * | none, or not proven | live | before | Pending |
 *
 * Denied, Expired, Used and Void never change.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Approval, ApprovalPhase } from '../../crds/approval.ts';
import {
  decisionTaken,
  expired,
  stillAwaiting,
  undecided,
  unproven,
  voided,
} from '../../sidecar/approval/object.ts';
import { verified } from './judging.ts';
import type { Stamper } from './stamp.ts';

export interface Circumstances {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly session: 'live' | 'over';
  readonly stamper: Stamper;
}

type Status = NonNullable<Approval['status']>;

export function isOver(phase: ApprovalPhase | undefined): boolean {
  return phase === 'Denied' || phase === 'Expired' || phase === 'Used' || phase === 'Void';
}

/** The Approval with the status that it must have; the same object when it has it. */
export function settled(approval: Approval, circumstances: Circumstances): Approval {
  if (isOver(approval.status?.phase)) return approval;
  return withStatusOf(approval, next(approval, circumstances));
}

function next(approval: Approval, { now, session, stamper }: Circumstances): Approval {
  const known = verified(approval, stamper);
  if (known.kind === 'decided') {
    const taken = decisionTaken(approval, known.decision, known.at);
    const lost = session === 'over' && known.decision.verdict !== 'Deny';
    return lost ? voided(taken, 'SessionEnded', now) : taken;
  }
  const waiting = known.kind === 'unproven' ? unproven(approval, now) : waitingFor(approval, now);
  if (session === 'over') return voided(waiting, 'SessionEnded', now);
  return now >= Date.parse(approval.spec.request.expiresAt) ? expired(waiting, now) : waiting;
}

function waitingFor(approval: Approval, now: number): Approval {
  return (approval.spec.approvals ?? []).length === 0
    ? undecided(approval, now)
    : stillAwaiting(approval, now);
}

/** With `after`'s status, of this generation; a condition that has not turned keeps its time. */
export function withStatusOf(approval: Approval, after: Approval): Approval {
  const { generation } = approval.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const before = new Map(approval.status?.conditions?.map((condition) => [condition.type, condition]));
  const conditions = (after.status?.conditions ?? []).map((condition) => {
    const old = before.get(condition.type);
    const time = old?.status === condition.status ? old.lastTransitionTime : condition.lastTransitionTime;
    return { ...condition, ...observed, lastTransitionTime: time };
  });
  const status: Status = { phase: 'Pending', ...after.status, ...observed, conditions };
  return isDeepStrictEqual(approval.status, status) ? approval : { ...approval, status };
}

/** When it was over, in milliseconds since the epoch: when the last thing happened to it. */
export function endedAt({ metadata, status }: Approval): number {
  const times = [
    ...(status?.conditions ?? []).map(({ lastTransitionTime }) => lastTransitionTime),
    status?.decidedAt ?? '',
    metadata.creationTimestamp ?? '',
  ];
  return Math.max(0, ...times.map((time) => Date.parse(time)).filter((time) => !Number.isNaN(time)));
}
