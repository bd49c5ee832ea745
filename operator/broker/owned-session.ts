/** The Session that a run already has on a connection: what it reports on, asks approvals for, and records in. */
import { SESSIONS, type Key, type Kube, type KubeObject } from '../kube/kube.ts';
import { POD_UID_LABEL } from '../kube/names.ts';
import { BrokerFailure } from './broker-failure.ts';
import { text } from '../kube/field.ts';
import type { Run } from './run.ts';

/** Also when the connection is gone, or the session over: what was recorded is still to be sent. Rejects with `forbidden` or `not-found`. */
export async function ownedSession(kube: Kube, run: Run, { namespace, name }: Key): Promise<KubeObject> {
  const asked = run.connections.some((key) => key.namespace === namespace && key.name === name);
  if (!asked) throw new BrokerFailure('forbidden', `the pod does not ask for ${namespace}/${name}`);
  const { uid } = run.pod.metadata;
  const cached = newest(kube.stores.sessions.list(namespace), uid, name);
  if (cached !== undefined) return cached;
  // Made a moment ago, perhaps by the other replica.
  const live = await kube.list(SESSIONS, namespace, `${POD_UID_LABEL}=${uid}`);
  const found = newest(live, uid, name);
  if (found === undefined)
    throw new BrokerFailure('not-found', `the run has no session on ${namespace}/${name}`);
  return found;
}

function newest(sessions: readonly KubeObject[], podUid: string, connection: string): KubeObject | undefined {
  return sessions
    .filter(({ metadata }) => metadata.labels?.[POD_UID_LABEL] === podUid)
    .filter((session) => text(session, ['spec', 'connection']) === connection)
    .toSorted((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1))[0];
}
