/** How a session asks for a person's decision. Without a cluster `files.ts` answers, in one the broker does. */
import type { ApprovalEvidence, ApprovalOperation } from '../../crds/approval.ts';
import type { ConnectionFacts, Denial, HoldRequirement, Identity } from '../operation.ts';

/** Why a held operation can no longer run, whatever a person says. */
export const VOID_REASONS = [
  'ClientDisconnected',
  'ClientCancelled',
  'TargetDisconnected',
  'SessionEnded',
  'StateChanged',
] as const;
export type VoidReason = (typeof VOID_REASONS)[number];

/** One operation that a policy holds, with all that a person needs to decide on it. */
export interface ApprovalRequest {
  readonly connection: ConnectionFacts;
  readonly session: string;
  /** Id of the client connection's recording, where that is not the session. */
  readonly recording?: string;
  readonly identity: Identity;
  /** The operating system's user that the agent runs as, when known and when it must not decide (four eyes). */
  readonly clientUid?: number;
  /** Its one-line summary is made from the text. */
  readonly operation: Omit<ApprovalOperation, 'summary'>;
  /** `operationDigest` of what is to be sent. */
  readonly digest: string;
  /** Not empty: all must be satisfied. The shortest timeout counts. */
  readonly requirements: readonly HoldRequirement[];
  readonly evidence: ApprovalEvidence;
  /** `spec.limits.maxPendingApprovals` of the connection. */
  readonly maxPending: number;
}

/** Who decided, by the operating system's or the API server's word. */
export interface DecidedBy {
  readonly username: string;
  readonly uid: string;
}

export type ApprovalOutcome =
  | {
      readonly kind: 'approved';
      /** One a requirement at most: several people may have been needed. Never empty. */
      readonly by: readonly DecidedBy[];
      /** ISO 8601. */
      readonly at: string;
      readonly reason: string;
    }
  | { readonly kind: 'denied'; readonly by: DecidedBy; readonly at: string; readonly reason: string }
  /** Another text, to be decided again like a new operation; a `deny` of it stands. */
  | {
      readonly kind: 'modified';
      readonly text: string;
      readonly by: readonly DecidedBy[];
      readonly at: string;
      readonly reason: string;
    }
  /** `after` in milliseconds. */
  | { readonly kind: 'expired'; readonly after: number }
  | { readonly kind: 'void'; readonly why: VoidReason };

export interface PendingApproval {
  readonly kind: 'pending';
  readonly name: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  /** Never rejects. */
  readonly outcome: Promise<ApprovalOutcome>;
}

/** Nobody is asked: too many holds, an equal operation just denied, one that nobody could read, or no store. */
export interface RefusedApproval {
  readonly kind: 'refused';
  readonly denial: Denial;
}

export interface ApprovalGateway {
  /**
   * The approval is there to be decided when it returns, or when what it returns resolves; that never rejects. An abort of the
   * signal makes it void, with the signal's reason when that is a `VoidReason`, else `ClientDisconnected`.
   */
  request(
    request: ApprovalRequest,
    signal: AbortSignal,
  ): PendingApproval | RefusedApproval | Promise<PendingApproval | RefusedApproval>;
  /**
   * The approved operation goes forward, just before it does. True the first time only, and only for an approved one:
   * anything else must not be forwarded.
   */
  used(name: string): boolean;
  /** It can no longer run (state changed, server gone), approved or not. No effect on one that has ended. */
  void(name: string, why: VoidReason): void;
}
