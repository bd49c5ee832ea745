/**
 * Keeps a ProtectedConnection there until all that was provisioned on it is revoked: revoking needs its target and its Secret.
 *
 * | Sessions on it with the revoking finalizer | the connection's own finalizer |
 * |---|---|
 * | at least one | is put, unless the connection is being deleted |
 * | none | is taken away |
 */
import { type Key, CONNECTIONS, type Kube, type KubeObject, SESSIONS } from '../kube/kube.ts';
import { CONNECTION_FINALIZER, SESSION_FINALIZER } from '../kube/names.ts';
import { text } from '../kube/field.ts';
import { ChangedMeanwhile } from './condition.ts';
import { type Controller, own } from './controller.ts';

type Objects = Pick<Kube, 'stores' | 'get' | 'list' | 'patch'>;

const ATTEMPTS = 5;

/**
 * For whoever is about to provision, after its Session was stored: puts the finalizer at once, where it is not there yet. Resolves to
 * whether the connection is held as it was read; not when it is another one by now, or goes. Rejects when the finalizer is refused.
 */
export async function holdConnection(
  kube: Pick<Kube, 'get' | 'patch'>,
  connection: KubeObject,
): Promise<boolean> {
  const { namespace, name, uid, generation } = connection.metadata;
  let object: KubeObject | undefined = connection;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    // Statuses change all the time; what is provisioned on is the spec, and a deletion counts as a change of it.
    if (object?.metadata.uid !== uid || object.metadata.generation !== generation) return false;
    const finalizers = object.metadata.finalizers ?? [];
    if (finalizers.includes(CONNECTION_FINALIZER)) return true;
    if ((await put(kube, object, [...finalizers, CONNECTION_FINALIZER])) === 'written') return true;
    object = await kube.get(CONNECTIONS, namespace, name);
  }
  return false;
}

export function connectionHoldController(kube: Objects): Controller {
  return {
    name: 'connection-hold',
    sources: [
      own(kube.stores.connections),
      {
        store: kube.stores.sessions,
        keys: ({ namespace }, object, old) => {
          const name = text(object ?? old, ['spec', 'connection']);
          const changed = object === undefined || old === undefined || isHeld(object) !== isHeld(old);
          return name === undefined || !changed ? [] : [{ namespace, name }];
        },
      },
    ],
    reconcile: async (key) => {
      const connection = kube.stores.connections.get(key.namespace, key.name);
      if (!connection) return undefined;
      const finalizers = connection.metadata.finalizers ?? [];
      const has = finalizers.includes(CONNECTION_FINALIZER);
      const wanted = kube.stores.sessions.list(key.namespace).some((session) => holds(session, key));
      if (wanted && !has && connection.metadata.deletionTimestamp === undefined)
        await bound(kube, connection, [...finalizers, CONNECTION_FINALIZER]);
      // The cache may not know a session that was just made.
      if (!wanted && has && !(await heldLive(kube, key)))
        await bound(
          kube,
          connection,
          finalizers.filter((each) => each !== CONNECTION_FINALIZER),
        );
      return undefined;
    },
  };
}

function isHeld({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(SESSION_FINALIZER) === true;
}

function holds(session: KubeObject, { name }: Key): boolean {
  return isHeld(session) && text(session, ['spec', 'connection']) === name;
}

async function heldLive(kube: Objects, key: Key): Promise<boolean> {
  return (await kube.list(SESSIONS, key.namespace)).some((session) => holds(session, key));
}

/** Of a connection that is gone there is nothing to put. */
async function bound(kube: Objects, object: KubeObject, finalizers: readonly string[]): Promise<void> {
  if ((await put(kube, object, finalizers)) !== 'conflict') return;
  const { namespace, name } = object.metadata;
  throw new ChangedMeanwhile(`ProtectedConnection ${namespace}/${name} has changed meanwhile`);
}

/** Rejects when they are refused. */
async function put(
  kube: Pick<Kube, 'patch'>,
  { metadata }: KubeObject,
  finalizers: readonly string[],
): Promise<'written' | 'conflict' | 'not-found'> {
  const { namespace, name, uid, resourceVersion } = metadata;
  const patch = { metadata: { uid, resourceVersion, finalizers } };
  const written = await kube.patch(CONNECTIONS, namespace, name, patch);
  if (written.kind === 'rejected')
    throw new Error(
      `the finalizer of ProtectedConnection ${namespace}/${name} is refused: ${written.message}`,
    );
  return written.kind;
}
