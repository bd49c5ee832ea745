/** Which Session an Approval belongs to. */
import type { Approval } from '../../crds/approval.ts';
import { SESSIONS } from '../kube/kube.ts';
import { apiVersionOf } from '../kube/object.ts';

export interface SessionRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The Session goes, the Approval goes with it. */
export function ownerReference({ name, uid }: SessionRef): Readonly<Record<string, unknown>> {
  return { apiVersion: apiVersionOf(SESSIONS), kind: SESSIONS.kind, name, uid, controller: true };
}

/** Undefined when no Session owns it. */
export function sessionOf({ metadata, spec }: Approval): SessionRef | undefined {
  const owner = (metadata.ownerReferences ?? []).find(
    ({ kind, apiVersion, name }) =>
      kind === SESSIONS.kind && apiVersion === apiVersionOf(SESSIONS) && name === spec.request.session,
  );
  const uid = owner?.['uid'];
  return typeof uid === 'string' && uid !== ''
    ? { namespace: metadata.namespace ?? '', name: spec.request.session, uid }
    : undefined;
}
