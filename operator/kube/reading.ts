/** What connections refer to, by name, where the operator may read it: only in the namespaces that its installation names. */
import { KubeError, type Kube, type KubeObject, type Resource } from './kube.ts';

export type Reading =
  | { readonly kind: 'found'; readonly object: KubeObject }
  | { readonly kind: 'missing' }
  /** The API server does not let us look; `message` says what to do. */
  | { readonly kind: 'forbidden'; readonly message: string };

/** Rejects with a `KubeError` when the API server cannot be asked. */
export async function readNamed(
  kube: Pick<Kube, 'get'>,
  resource: Resource,
  namespace: string,
  name: string,
): Promise<Reading> {
  try {
    const object = await kube.get(resource, namespace, name);
    return object === undefined ? { kind: 'missing' } : { kind: 'found', object };
  } catch (error) {
    if (!isForbidden(error)) throw error;
    return { kind: 'forbidden', message: forbiddenIn(namespace) };
  }
}

export function isForbidden(error: unknown): boolean {
  return error instanceof KubeError && error.status === 403;
}

export function forbiddenIn(namespace: string): string {
  return `the operator may not read Secrets and ConfigMaps in the namespace ${namespace}: add it to connectionNamespaces of the chart's values`;
}
