/** What injection and the guard know besides the pod itself; plain data and look-ups, no calls. */
import type { ProtectedConnectionSpec } from '../../../crds/connection.ts';

export interface InjectSettings {
  /** The sidecar's image; also that of the redirect's init container. */
  readonly image: string;
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** As in a container's `resources`. */
  readonly resources: Readonly<Record<string, unknown>>;
  /** A Kubernetes quantity. */
  readonly spoolLimit: string;
  /** `https://host:port`. */
  readonly brokerUrl: string;
}

export type FoundConnection =
  | { readonly kind: 'found'; readonly spec: ProtectedConnectionSpec }
  | { readonly kind: 'missing' }
  /** It is there, and cannot be read; `message` says what is wrong with it. */
  | { readonly kind: 'invalid'; readonly message: string };

export interface InjectContext {
  readonly settings: InjectSettings;
  /** PEM. */
  readonly brokerCa: string;
  /** Labels of the pod's namespace. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** The namespace is enforced. */
  readonly enforced: boolean;
  connection(namespace: string, name: string): FoundConnection;
}
