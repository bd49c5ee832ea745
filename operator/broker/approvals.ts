/** What the broker needs of approvals; who is asked and what a decision means is theirs. */
import type {
  ApprovalAnswer,
  ApprovalEnd,
  ApprovalMessage,
  BrokerEvent,
} from '../../sidecar/broker/protocol.ts';
import type { KubeObject } from '../kube/kube.ts';

export interface RunApprovals {
  /** `session` is the run's own; so is its identity. */
  ask(session: KubeObject, message: ApprovalMessage): Promise<ApprovalAnswer>;
  end(session: KubeObject, message: ApprovalEnd): Promise<void>;
  /** Decisions on approvals of this pod's sessions, as events: those that there are soon, later ones at once. Returns how to stop. */
  decisions(podUid: string, listener: (event: BrokerEvent) => void): () => void;
}
