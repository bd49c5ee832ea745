/** Cached objects as the kinds that they are; each is parsed once, however often it is read. */
import { type Approval, parseApproval } from '../../crds/approval.ts';
import { type ProtectedConnection, parseConnection } from '../../crds/connection.ts';
import { type AccessPolicy, parsePolicy } from '../../crds/policy.ts';
import type { Parsed } from '../../crds/schema/failure.ts';
import { type Session, parseSession } from '../../crds/session.ts';
import type { KubeObject } from './kube.ts';

export const readConnection: (object: KubeObject) => Parsed<ProtectedConnection> = once(parseConnection);
export const readPolicy: (object: KubeObject) => Parsed<AccessPolicy> = once(parsePolicy);
export const readApproval: (object: KubeObject) => Parsed<Approval> = once((object) => parseApproval(object));
export const readSession: (object: KubeObject) => Parsed<Session> = once((object) => parseSession(object));

function once<T>(parse: (object: unknown) => Parsed<T>): (object: KubeObject) => Parsed<T> {
  const known = new WeakMap<KubeObject, Parsed<T>>();
  return (object) => {
    const before = known.get(object);
    if (before) return before;
    const parsed = parse(object);
    known.set(object, parsed);
    return parsed;
  };
}
