/**
 * What the rest of the operator sees of Kubernetes. Stores are informers' caches: read them at once, trust them for reading only;
 * whatever a decision about rights rests on is read live. Objects are as the API server gave them: each consumer parses the kinds
 * that it uses (`read.ts`), so that one that cannot be parsed is an error there and never merely absent.
 */

/** The kinds that are cached; all namespaces. Pods: only injected ones. They, and Approvals that are over, without what nobody here reads. */
export const CACHED = ['connections', 'policies', 'approvals', 'sessions', 'pods', 'namespaces'] as const;
export type Cached = (typeof CACHED)[number];

export interface KubeMetadata {
  readonly name: string;
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
}

/** Any object: the metadata checked, the rest not. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: KubeMetadata;
  readonly [field: string]: unknown;
}

export interface Key {
  readonly namespace: string;
  readonly name: string;
}

export interface Store {
  get(namespace: string, name: string): KubeObject | undefined;
  /** All, or those of one namespace. */
  list(namespace?: string): readonly KubeObject[];
  /**
   * Called after every change, and for each object when first listed, or soon for those that are there already; `object` is undefined
   * when it is gone. An object deleted and made again is first gone, then there. Returns how to stop.
   */
  watch(
    listener: (key: Key, object: KubeObject | undefined, old: KubeObject | undefined) => void,
  ): () => void;
}

/** Where the API's objects are: `/apis/sidewarden.dev/v1alpha1/…`, `/api/v1/…`. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export type Written =
  | { readonly kind: 'written'; readonly object: KubeObject }
  | { readonly kind: 'not-found' }
  /** The resourceVersion or uid given is not the object's, or the name is taken. */
  | { readonly kind: 'conflict' }
  /** An admission check or the schema said no. */
  | { readonly kind: 'rejected'; readonly message: string };

/** The API server's own word on a token or a request. */
export interface UserInfo {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface AccessQuestion {
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace: string;
  readonly name: string;
}

/** All calls reject with a `KubeError` when the API server cannot be asked or answers something unexpected. */
export interface Kube {
  readonly stores: Readonly<Record<Cached, Store>>;
  /** Live, never from a cache. */
  get(resource: Resource, namespace: string, name: string): Promise<KubeObject | undefined>;
  /** Live; pages through all. */
  list(resource: Resource, namespace?: string, labelSelector?: string): Promise<readonly KubeObject[]>;
  create(resource: Resource, object: unknown): Promise<Written>;
  /** A JSON merge patch; put `metadata.resourceVersion` or `metadata.uid` in it to bind it to what was read. */
  patch(
    resource: Resource,
    namespace: string,
    name: string,
    mergePatch: unknown,
    subresource?: 'status',
  ): Promise<Written>;
  delete(
    resource: Resource,
    namespace: string,
    name: string,
    uid?: string,
  ): Promise<Written | { readonly kind: 'deleted' }>;
  /** Records an Event about an object; never rejects, equal ones are counted together. */
  event(about: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Undefined when the API server does not vouch for it with this audience. */
  tokenReview(token: string, audience: string): Promise<UserInfo | undefined>;
  /** True only when the API server says that it is allowed. */
  mayAccess(question: AccessQuestion): Promise<boolean>;
}

/** What went wrong between us and the API server; `status` is HTTP's, undefined when there was no answer. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code = 'kube';
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

const ours = (kind: string, plural: string): Resource => ({
  group: 'sidewarden.dev',
  version: 'v1alpha1',
  kind,
  plural,
  namespaced: true,
});
const core = (kind: string, plural: string, namespaced = true): Resource => ({
  group: '',
  version: 'v1',
  kind,
  plural,
  namespaced,
});

export const CONNECTIONS = ours('ProtectedConnection', 'protectedconnections');
export const POLICIES = ours('AccessPolicy', 'accesspolicies');
export const APPROVALS = ours('Approval', 'approvals');
export const SESSIONS = ours('Session', 'sessions');
export const PODS = core('Pod', 'pods');
export const NAMESPACES = core('Namespace', 'namespaces', false);
export const SECRETS = core('Secret', 'secrets');
export const CONFIG_MAPS = core('ConfigMap', 'configmaps');
export const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};
