/** Four eyes: by what names the API server could know the run that asks. */
import type { Approval } from '../../crds/approval.ts';
import type { OwnIdentity } from '../../sidecar/approval/judge.ts';
import type { UserInfo } from '../kube/kube.ts';

type Identity = Approval['spec']['request']['identity'];

const POD_NAME = 'authentication.kubernetes.io/pod-name';

/** Names that mean the run itself. */
export function ownIdentity({ issuer, subject, username, serviceAccount }: Identity): OwnIdentity {
  // An API server that takes the same issuer's tokens calls their subject so unless it is told another prefix.
  const names = [username, subject, `${issuer}#${subject}`];
  const account = serviceAccount === undefined ? [] : [accountName(serviceAccount)];
  return { names: [...names, ...account].filter((name) => name !== ''), uids: [subject] };
}

/** What only the API server's own word on a request can show: a token of the same pod, or a prefix before an OIDC subject. */
export function speaksForRun(identity: Identity, user: UserInfo): boolean {
  return hasToken(identity, user) || hasSubject(identity, user.username);
}

function hasToken({ pod, serviceAccount }: Identity, user: UserInfo): boolean {
  const namespace = /^system:serviceaccount:([^:]+):/u.exec(user.username)?.[1];
  const named =
    namespace === undefined ? [] : (user.extra[POD_NAME] ?? []).map((name) => `${namespace}/${name}`);
  if (pod !== undefined && named.includes(pod)) return true;
  return serviceAccount !== undefined && user.username === accountName(serviceAccount);
}

/** `oidc:1234` or `https://issuer#1234` for the subject `1234`. */
function hasSubject({ issuer, subject, username }: Identity, asked: string): boolean {
  if (!issuer.startsWith('https://')) return false;
  return [subject, username].some(
    (name) => name !== '' && [':', '#', '/'].some((separator) => asked.endsWith(`${separator}${name}`)),
  );
}

function accountName(qualified: string): string {
  return `system:serviceaccount:${qualified.replace('/', ':')}`;
}
