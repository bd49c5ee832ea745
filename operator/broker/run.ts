/** The run behind a request: the pod that the token is bound to, and what its annotation asks for. */
import type { Identity } from '../../sidecar/operation.ts';
import type { Key, Kube, KubeObject } from '../kube/kube.ts';
import { PODS } from '../kube/kube.ts';
import { CONNECTIONS_ANNOTATION, INJECTED_LABEL } from '../kube/names.ts';
import { runState } from '../reconcile/run.ts';
import { BrokerFailure } from './broker-failure.ts';
import type { Caller } from './caller.ts';
import { text } from '../kube/field.ts';

export interface Run {
  readonly pod: KubeObject;
  readonly identity: Identity;
  /** What the annotation names, in its order, each once. Whether the run may have them is another question. */
  readonly connections: readonly Key[];
  /** No new session begins and nothing more is approved; what was recorded may still be sent. */
  readonly ended: boolean;
}

/** Who vouches for a run's identity: this cluster's API server. */
const ISSUER = 'sidewarden:serviceAccount';
const QUALIFIED = /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)$/;
const MAX_CONNECTIONS = 64;

/** `cached` asks the API server only when the cache does not know the pod yet. Rejects with `unauthenticated` or `forbidden`. */
export async function runOf(kube: Kube, caller: Caller, how: 'cached' | 'live'): Promise<Run> {
  const { namespace, pod: name, podUid } = caller;
  const stored = how === 'live' ? undefined : kube.stores.pods.get(namespace, name);
  const pod = stored?.metadata.uid === podUid ? stored : await kube.get(PODS, namespace, name);
  if (pod?.metadata.uid !== podUid)
    throw new BrokerFailure('unauthenticated', "the token's pod is gone or another one has its name");
  return runIn(pod, caller);
}

/** As `runOf`, when the pod's object is at hand. */
export function runIn(pod: KubeObject, caller: Caller): Run {
  const { namespace, serviceAccount, node } = caller;
  if ((text(pod, ['spec', 'serviceAccountName']) ?? 'default') !== serviceAccount)
    throw new BrokerFailure('unauthenticated', "the token's service account is not its pod's");
  const runsOn = text(pod, ['spec', 'nodeName']);
  if (node !== undefined && runsOn !== undefined && node !== runsOn)
    throw new BrokerFailure('unauthenticated', "the token was made for another node than its pod's");
  if (pod.metadata.labels?.[INJECTED_LABEL] !== 'true')
    throw new BrokerFailure('forbidden', 'the pod was not injected');
  return {
    pod,
    identity: {
      issuer: ISSUER,
      subject: caller.user.username,
      username: caller.user.username,
      groups: caller.user.groups,
      claims: {},
      serviceAccount: `${namespace}/${serviceAccount}`,
      pod: `${namespace}/${pod.metadata.name}`,
    },
    connections: connectionsOf(pod),
    ended: runEnded(pod),
  };
}

function connectionsOf(pod: KubeObject): readonly Key[] {
  const named = (pod.metadata.annotations?.[CONNECTIONS_ANNOTATION] ?? '')
    .split(',')
    .map((part) => part.trim());
  return [...new Set(named)].slice(0, MAX_CONNECTIONS).flatMap((part) => parseKey(part) ?? []);
}

/** Undefined when it is not `namespace/name`. */
export function parseKey(qualified: string): Key | undefined {
  const [, namespace, name] = QUALIFIED.exec(qualified) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/**
 * As `runState` has it, and from the moment that its pod is to be deleted: that is how a person ends a run, so it opens and asks for
 * nothing more, though its containers may take their time to end.
 */
export function runEnded(pod: KubeObject): boolean {
  const { uid, deletionTimestamp } = pod.metadata;
  return deletionTimestamp !== undefined || runState(pod, uid).kind === 'over';
}
