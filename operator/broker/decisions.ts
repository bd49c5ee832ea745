/** Decisions on the approvals of a pod's sessions, also of those that begin later, perhaps at the other replica. */
import type { BrokerEvent } from '../../sidecar/broker/protocol.ts';
import type { KubeObject, Store } from '../kube/kube.ts';
import { POD_UID_LABEL } from '../kube/names.ts';
import { text } from '../kube/field.ts';
import { decisionEvent, type RunApprovals } from './approvals.ts';

type Listener = (event: BrokerEvent) => void;

interface Subscription {
  readonly listener: Listener;
  /** How to stop, by uid of the session. */
  readonly sessions: Map<string, () => void>;
}

export class Decisions {
  readonly #sessions: Store;
  readonly #approvals: RunApprovals;
  /** By pod uid. */
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  readonly #stop: () => void;

  constructor(sessions: Store, approvals: RunApprovals) {
    this.#sessions = sessions;
    this.#approvals = approvals;
    this.#stop = sessions.watch((_key, object, old) => {
      if (object !== undefined && old === undefined) this.#begun(object);
    });
  }

  /** Those that were made before are told at once. Returns how to stop. */
  listen(podUid: string, listener: Listener): () => void {
    const subscription = { listener, sessions: new Map<string, () => void>() };
    const all = this.#subscriptions.get(podUid) ?? new Set();
    all.add(subscription);
    this.#subscriptions.set(podUid, all);
    for (const session of this.#sessions.list())
      if (podOf(session) === podUid) this.#follow(subscription, session);
    return () => {
      all.delete(subscription);
      if (all.size === 0 && this.#subscriptions.get(podUid) === all) this.#subscriptions.delete(podUid);
      for (const stop of subscription.sessions.values()) stop();
    };
  }

  close(): void {
    this.#stop();
  }

  #begun(session: KubeObject): void {
    for (const subscription of this.#subscriptions.get(podOf(session) ?? '') ?? [])
      this.#follow(subscription, session);
  }

  #follow({ listener, sessions }: Subscription, session: KubeObject): void {
    const { namespace, name, uid } = session.metadata;
    const connection = `${namespace}/${text(session, ['spec', 'connection']) ?? ''}`;
    if (sessions.has(uid)) return;
    const stop = this.#approvals.outcomes({ session: { namespace, name, uid } }, (approval, outcome) =>
      listener(decisionEvent(connection, approval, outcome)),
    );
    sessions.set(uid, stop);
  }
}

function podOf({ metadata: { labels } }: KubeObject): string | undefined {
  return labels?.[POD_UID_LABEL];
}
