/** What the broker needs of approvals: who is asked, and what a decision means, is theirs. */
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { ApprovalOutcome } from '../../sidecar/approval/gateway.ts';
import type {
  ApprovalAnswer,
  ApprovalEnd,
  ApprovalMessage,
  BrokerEvent,
} from '../../sidecar/broker/protocol.ts';
import type { Identity } from '../../sidecar/operation.ts';

export interface SessionRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A void one needs no telling. */
type Told = Exclude<ApprovalOutcome, { readonly kind: 'void' }>;

export interface RunApprovals {
  ask(
    run: {
      readonly identity: Identity;
      readonly session: SessionRef;
      readonly connection: ProtectedConnection;
    },
    message: ApprovalMessage,
  ): Promise<ApprovalAnswer>;
  /** Nothing happens for an approval of another session. */
  end(run: { readonly session: SessionRef }, end: ApprovalEnd): Promise<void>;
  /** Makes void all that the session has asked for so far and not used. */
  lost(run: { readonly session: SessionRef }): Promise<void>;
  /** Calls with each outcome once, those that are there already at first. Returns how to stop. */
  outcomes(
    run: { readonly session: SessionRef },
    listener: (approval: string, outcome: Told) => void,
  ): () => void;
}

/** `connection`: `namespace/name`. */
export function decisionEvent(connection: string, approval: string, outcome: Told): BrokerEvent {
  return { kind: 'decision', connection, approval, outcome: said(outcome) };
}

function said(outcome: Told): NonNullable<BrokerEvent['outcome']> {
  switch (outcome.kind) {
    case 'expired':
      return { kind: 'expired', after: outcome.after };
    case 'denied':
      return { kind: 'denied', by: [outcome.by], at: outcome.at, reason: outcome.reason };
    case 'approved':
      return { kind: 'approved', by: [...outcome.by], at: outcome.at, reason: outcome.reason };
    case 'modified': {
      const { text, at, reason } = outcome;
      return { kind: 'modified', text, by: [...outcome.by], at, reason };
    }
  }
}
