/** Objects of the API server as manifests in files have them: what the sidecar is sent, and what is parsed here. */
import type { KubeObject } from '../kube/kube.ts';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Without status and all that changes with it, so that equal manifests mean the same. */
export function manifestOf(object: KubeObject): Manifest {
  const { apiVersion, kind, metadata } = object;
  const { name, namespace, labels } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, ...(labels === undefined ? {} : { labels }) },
    spec: object['spec'],
  };
}
