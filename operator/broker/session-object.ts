/** The Session object of a run on a connection: made once, whoever asks, and found again. */
import { API_VERSION } from '../../crds/schema/kind.ts';
import { SESSIONS, type Kube, type KubeObject } from '../kube/kube.ts';
import { POD_NAME_ANNOTATION, POD_NAMESPACE_LABEL, POD_UID_LABEL, SESSION_FINALIZER } from '../kube/names.ts';
import { BrokerFailure } from './broker-failure.ts';
import { sessionOver } from './changes.ts';
import { text } from '../kube/field.ts';
import type { Run } from './run.ts';
import { sessionName } from './session-name.ts';

type Objects = Pick<Kube, 'get' | 'create' | 'patch'>;

/**
 * It has its finalizer before anything is provisioned, so nothing that is provisioned can outlive it unseen. Rejects with `ended` when
 * it was ended before.
 */
export async function ensureSession(kube: Objects, run: Run, connection: KubeObject): Promise<KubeObject> {
  const wanted = sessionOf(run, connection);
  const { namespace, name } = wanted.metadata;
  const found = (await kube.get(SESSIONS, namespace, name)) ?? (await create(kube, wanted));
  if (text(found, ['spec', 'connection']) !== wanted.spec.connection || podUidOf(found) !== podUidOf(wanted))
    throw new BrokerFailure('forbidden', `the Session ${namespace}/${name} is another run's`);
  if (sessionOver(found)) throw new BrokerFailure('ended', `the session ${namespace}/${name} was ended`);
  return found;
}

async function create(kube: Objects, wanted: ReturnType<typeof sessionOf>): Promise<KubeObject> {
  const { namespace, name } = wanted.metadata;
  const made = await kube.create(SESSIONS, wanted);
  switch (made.kind) {
    case 'written':
      return begin(kube, made.object);
    case 'conflict': {
      // The other replica was faster.
      const found = await kube.get(SESSIONS, namespace, name);
      if (found !== undefined) return found;
      throw new BrokerFailure('unavailable', 'the session could not be made; try again');
    }
    case 'not-found':
    case 'rejected':
      throw new BrokerFailure('unavailable', 'the API server does not take the session');
  }
}

/** Bound to the object as it was made: who has set its status meanwhile knows better. */
async function begin(kube: Objects, session: KubeObject): Promise<KubeObject> {
  const { namespace, name, resourceVersion, generation = 1 } = session.metadata;
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const ready = {
    type: 'Ready',
    status: 'True',
    observedGeneration: generation,
    lastTransitionTime: now,
    reason: 'Started',
    message: 'the run may use the connection',
  };
  const status = { phase: 'Active', observedGeneration: generation, conditions: [ready] };
  const patch = { metadata: { resourceVersion }, status };
  const begun = await kube.patch(SESSIONS, namespace, name, patch, 'status');
  return begun.kind === 'written' ? begun.object : session;
}

function sessionOf(run: Run, connection: KubeObject) {
  const { uid, namespace: podNamespace, name: podName } = run.pod.metadata;
  const { issuer, subject, username, groups, serviceAccount, pod } = run.identity;
  return {
    apiVersion: API_VERSION,
    kind: 'Session',
    metadata: {
      name: sessionName(connection, uid),
      namespace: connection.metadata.namespace,
      labels: { [POD_UID_LABEL]: uid, [POD_NAMESPACE_LABEL]: podNamespace },
      annotations: { [POD_NAME_ANNOTATION]: podName },
      finalizers: [SESSION_FINALIZER],
    },
    spec: {
      connection: connection.metadata.name,
      identity: { issuer, subject, username, groups, serviceAccount, pod },
      startedAt: `${new Date().toISOString().slice(0, 19)}Z`,
    },
  };
}

function podUidOf({ metadata: { labels } }: { readonly metadata: Pick<KubeObject['metadata'], 'labels'> }) {
  return labels?.[POD_UID_LABEL];
}
