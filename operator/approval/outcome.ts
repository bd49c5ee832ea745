/** What a sidecar is told of an Approval. */
import type { Approval } from '../../crds/approval.ts';
import { milliseconds } from '../../crds/schema/duration.ts';
import type { ApprovalOutcome, DecidedBy } from '../../sidecar/approval/gateway.ts';
import { verified } from './judging.ts';
import type { Stamper } from './stamp.ts';

/** A void one needs no telling: the sidecar said so itself, or its session is revoked. */
export type ToldOutcome = Exclude<ApprovalOutcome, { readonly kind: 'void' }>;

/** Undefined while nobody's word counts, and when it is used up or void. Rests on nothing but stamped words and our own status. */
export function outcomeOf(approval: Approval, stamper: Stamper): ToldOutcome | undefined {
  const phase = approval.status?.phase;
  if (phase === 'Used' || phase === 'Void') return undefined;
  if (phase === 'Expired') return { kind: 'expired', after: waited(approval) };
  const known = verified(approval, stamper);
  if (known.kind !== 'decided') return undefined;
  const { verdict, reason = '', modified = '' } = known.decision;
  const by = known.by.map(({ username, uid }): DecidedBy => ({ username, uid }));
  const at = new Date(known.at).toISOString();
  switch (verdict) {
    case 'Approve':
      return { kind: 'approved', by, at, reason };
    case 'Modify':
      return { kind: 'modified', text: modified, by, at, reason };
    case 'Deny': {
      const [one] = by;
      return one === undefined ? undefined : { kind: 'denied', by: one, at, reason };
    }
  }
}

/** Milliseconds. */
function waited({ spec }: Approval): number {
  const each = spec.request.requirements.map(({ timeout }) => milliseconds(timeout));
  return Math.min(...each);
}
