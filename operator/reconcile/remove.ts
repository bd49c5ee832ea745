/** Deleting what is kept no longer. */
import type { Kube, KubeObject, Resource } from '../kube/kube.ts';

/** This very object, which may be gone already. Rejects when somebody refuses it, so that it is tried again. */
export async function remove(
  kube: Pick<Kube, 'delete'>,
  resource: Resource,
  { metadata: { namespace, name, uid } }: Pick<KubeObject, 'metadata'>,
): Promise<void> {
  const gone = await kube.delete(resource, namespace, name, uid);
  if (gone.kind === 'rejected')
    throw new Error(`${resource.kind} ${namespace}/${name} cannot be deleted: ${gone.message}`);
}
