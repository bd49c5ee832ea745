/**
 * A kubeconfig, by the client library, which knows all ways to sign in. It is loaded only where one is named: a pod's own service
 * account needs none of it, and it costs the operator 20 MB (docs/decisions/memory.md).
 */
import { KubeConfig } from '@kubernetes/client-node';
import { KubeError } from './kube.ts';
import type { ClusterAccess } from './transport.ts';

/** Throws a `KubeError` when the file is none. */
export function readKubeconfig(path: string): ClusterAccess {
  const config = new KubeConfig();
  try {
    config.loadFromFile(path);
  } catch (error) {
    // A kubeconfig holds credentials: a parser's message may quote them.
    const why = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw new KubeError(`${path} cannot be read ${why}`.trimEnd(), undefined);
  }
  return config;
}
