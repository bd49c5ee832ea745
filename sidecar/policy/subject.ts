/** Whom a policy is for. */
import type { PolicySubject } from '../../crds/policy.ts';
import type { ConnectionFacts, Identity } from '../operation.ts';

/** Equal as JSON values; key order does not count. */
function sameJson(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const entries = Object.entries(one);
  if (entries.length !== Object.keys(other).length) return false;
  return entries.every(
    ([key, value]) => Object.hasOwn(other, key) && sameJson(value, Reflect.get(other, key)),
  );
}

function claimMatches(wanted: unknown, claim: unknown): boolean {
  return sameJson(wanted, claim) || (Array.isArray(claim) && claim.some((item) => sameJson(wanted, item)));
}

function claimsMatch(wanted: Readonly<Record<string, unknown>>, identity: Identity): boolean {
  return Object.entries(wanted).every(
    ([name, value]) => Object.hasOwn(identity.claims, name) && claimMatches(value, identity.claims[name]),
  );
}

/** All parts that are named must match, each by any of its values. A subject without parts matches nobody. */
function subjectMatches(subject: PolicySubject, identity: Identity): boolean {
  if (subject.everyone === true) return true;
  const { users, groups, serviceAccounts, claims } = subject;
  const parts: boolean[] = [];
  if (users !== undefined) parts.push(users.includes(identity.username));
  if (groups !== undefined) parts.push(groups.some((group) => identity.groups.includes(group)));
  if (serviceAccounts !== undefined) {
    parts.push(identity.serviceAccount !== '' && serviceAccounts.includes(identity.serviceAccount));
  }
  if (claims !== undefined) parts.push(Object.keys(claims).length > 0 && claimsMatch(claims, identity));
  return parts.length > 0 && parts.every(Boolean);
}

export function isFor(
  policy: {
    readonly namespace: string;
    readonly connections: readonly string[];
    readonly subjects: readonly PolicySubject[];
  },
  identity: Identity,
  connection: ConnectionFacts,
): boolean {
  if (policy.namespace !== connection.namespace || !policy.connections.includes(connection.name))
    return false;
  return policy.subjects.some((subject) => subjectMatches(subject, identity));
}
