/** Whether a run may use a connection: the one place where that is decided, whether from caches or from what was read live. */
import { parseConnection, type ProtectedConnection } from '../../crds/connection.ts';
import type { Parsed } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import type { Key, KubeObject } from '../kube/kube.ts';
import { selects } from './label-selector.ts';
import { manifestOf } from './manifest.ts';
import type { Run } from './run.ts';

export type Entitlement =
  | { readonly kind: 'allowed'; readonly object: KubeObject; readonly connection: ProtectedConnection }
  /** What there is of it is cut. */
  | { readonly kind: 'forbidden'; readonly message: string }
  /** Nobody can say now; who has had it goes on for a while. */
  | { readonly kind: 'broken'; readonly message: string };

export interface Asked {
  /** One of the run's own. */
  readonly key: Key;
  /** Undefined when there is none. */
  readonly connection: KubeObject | undefined;
  /** The pod's. */
  readonly namespace: KubeObject | undefined;
}

export function entitlement(run: Run, { key, connection: object, namespace }: Asked): Entitlement {
  const id = `${key.namespace}/${key.name}`;
  if (run.ended) return { kind: 'forbidden', message: 'the run has ended' };
  if (object === undefined || object.metadata.deletionTimestamp !== undefined)
    return { kind: 'forbidden', message: `there is no ProtectedConnection ${id}` };
  const parsed = connectionIn(object);
  if (parsed.kind === 'invalid') {
    const [first] = parsed.errors;
    const what = first === undefined ? '' : `: ${formatPath(first.path)}: ${first.message}`;
    return { kind: 'broken', message: `ProtectedConnection ${id} is not valid${what}` };
  }
  const connection = parsed.value;
  if (namespace === undefined)
    return { kind: 'broken', message: `the namespace ${run.pod.metadata.namespace} is not known yet` };
  const labels = namespace.metadata.labels ?? {};
  if (!selects(connection.spec.allowedNamespaces, labels)) {
    const message = `ProtectedConnection ${id} does not allow the namespace ${namespace.metadata.name}`;
    return { kind: 'forbidden', message };
  }
  if (!connection.spec.identity.sources.some((source) => source.serviceAccount !== undefined))
    return {
      kind: 'forbidden',
      message: `ProtectedConnection ${id} has no identity source that counts in a pod`,
    };
  return { kind: 'allowed', object, connection };
}

/** By the object as it was read, of which each version is another. */
const known = new WeakMap<KubeObject, Parsed<ProtectedConnection>>();

function connectionIn(object: KubeObject): Parsed<ProtectedConnection> {
  const parsed = known.get(object) ?? parseConnection(manifestOf(object));
  known.set(object, parsed);
  return parsed;
}
