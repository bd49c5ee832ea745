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
        await put(kube, connection, [...finalizers, CONNECTION_FINALIZER]);
      // The cache may not know a session that was just made.
      if (!wanted && has && !(await heldLive(kube, key)))
        await put(
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

async function put(kube: Objects, { metadata }: KubeObject, finalizers: readonly string[]): Promise<void> {
  const { namespace, name, uid, resourceVersion } = metadata;
  const patch = { metadata: { uid, resourceVersion, finalizers } };
  const written = await kube.patch(CONNECTIONS, namespace, name, patch);
  if (written.kind === 'conflict')
    throw new ChangedMeanwhile(`ProtectedConnection ${namespace}/${name} has changed meanwhile`);
  if (written.kind === 'rejected')
    throw new Error(
      `the finalizer of ProtectedConnection ${namespace}/${name} is refused: ${written.message}`,
    );
}
