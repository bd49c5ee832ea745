/** Approvals and Sessions are the operator's: who else may touch them, and how. */
import type { UserInfo } from '../kube/kube.ts';
import { isJson, object, own, sameJson, type Json } from './json.ts';
import type { AdmissionAnswer, AdmissionRequest } from './review.ts';

/** Kubernetes' own controllers, with and without service accounts of their own. */
const COLLECTORS: ReadonlySet<string> = new Set([
  'system:serviceaccount:kube-system:generic-garbage-collector',
  'system:serviceaccount:kube-system:namespace-controller',
  'system:kube-controller-manager',
]);

/** Deletes what was owned by something that is gone, and what is in a namespace that goes. */
export function isCollector({ username }: UserInfo): boolean {
  return COLLECTORS.has(username);
}

/** The API server's own bookkeeping. */
const BOOKKEEPING = ['managedFields', 'resourceVersion', 'generation'] as const;
const PREFIX = 'sidewarden.dev/';

/** Whether nothing is changed but bookkeeping. */
export function isUnchanged({ object: next, oldObject }: AdmissionRequest): boolean {
  return sameJson(withoutBookkeeping(next), withoutBookkeeping(oldObject));
}

function withoutBookkeeping(value: Json | undefined): Json {
  const metadata = Object.entries(object(own(value ?? {}, 'metadata')));
  const kept = metadata.filter(([key]) => !BOOKKEEPING.some((one) => one === key));
  return { ...value, metadata: Object.fromEntries(kept) };
}

/** What of an object's metadata only its maker may change: owners, finalizers, and our own labels and annotations. */
export function changesOwnMetadata({ object: next, oldObject }: AdmissionRequest): boolean {
  return !sameJson(ownMetadata(next), ownMetadata(oldObject));
}

function ownMetadata(value: Json | undefined): Json {
  const metadata = object(own(value ?? {}, 'metadata'));
  const ours = (field: string) =>
    Object.fromEntries(
      Object.entries(object(own(metadata, field))).filter(([key]) => key.startsWith(PREFIX)),
    );
  const list = (field: string) => own(metadata, field) ?? [];
  return {
    ownerReferences: list('ownerReferences'),
    finalizers: list('finalizers'),
    labels: ours('labels'),
    annotations: ours('annotations'),
  };
}

/** The spec as it is written. */
export function specOf(value: Json | undefined): unknown {
  return value === undefined ? undefined : own(value, 'spec');
}

export function isPhase(value: Json | undefined, phases: readonly string[]): boolean {
  const status = own(value ?? {}, 'status');
  return isJson(status) && phases.some((phase) => phase === own(status, 'phase'));
}

export const ALLOWED: AdmissionAnswer = { kind: 'allowed' };

export function forbidden(message: string): AdmissionAnswer {
  return { kind: 'refused', code: 403, message };
}
