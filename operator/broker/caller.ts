/**
 * Who sends a request: a pod, by the token that the kubelet wrote for its sidecar. The API server says whether the token is good,
 * for our audience, and which pod it is bound to; that word is kept for `FRESH` at most, by the token's hash.
 */
import { createHash } from 'node:crypto';
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import type { Kube, UserInfo } from '../kube/kube.ts';
import { Shares } from '../shares.ts';
import { BrokerFailure } from './broker-failure.ts';

export interface Caller {
  readonly user: UserInfo;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  /** The node that the token was made for, when it says so. */
  readonly node: string | undefined;
}

const MAX_TOKEN = 8192;
const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]+)$/;
const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const EXTRA = 'authentication.kubernetes.io/';
/** Milliseconds. */
const FRESH = 3_000;
const MAX_KEPT = 8192;
const FRESH_REFUSAL = 1_000;
/** Reviews under way, in all and from one address: what nobody has vouched for yet must not flood the API server. */
const REVIEWS = { whole: 128, each: 16 };

interface Kept {
  readonly caller: Caller | undefined;
  readonly until: number;
}

export class Callers {
  readonly #kube: Pick<Kube, 'tokenReview'>;
  readonly #kept = new Map<string, Kept>();
  readonly #asked = new Map<string, Promise<Caller | undefined>>();
  readonly #reviews = new Shares(REVIEWS);

  constructor(kube: Pick<Kube, 'tokenReview'>) {
    this.#kube = kube;
  }

  /** Rejects with `unauthenticated`, or `unavailable` when the API server cannot be asked. */
  async identify(authorization: string | undefined, address: string): Promise<Caller> {
    const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
    if (token === undefined || token.length > MAX_TOKEN)
      throw new BrokerFailure('unauthenticated', 'a bearer token is required');
    const hash = createHash('sha256').update(token).digest('base64url');
    const kept = this.#kept.get(hash);
    const caller =
      kept !== undefined && kept.until > performance.now()
        ? kept.caller
        : await this.#review(hash, token, address);
    if (caller === undefined)
      throw new BrokerFailure(
        'unauthenticated',
        'the API server does not vouch for this token as one of a pod for the broker',
      );
    return caller;
  }

  #review(hash: string, token: string, address: string): Promise<Caller | undefined> {
    const asked = this.#asked.get(hash);
    if (asked !== undefined) return asked;
    if (!this.#reviews.take(address, 1))
      throw new BrokerFailure('unavailable', 'too many tokens are being reviewed; try again');
    const review = this.#ask(hash, token).finally(() => {
      this.#asked.delete(hash);
      this.#reviews.give(address, 1);
    });
    this.#asked.set(hash, review);
    return review;
  }

  async #ask(hash: string, token: string): Promise<Caller | undefined> {
    const user = isForBrokerAlone(token) ? await this.#kube.tokenReview(token, BROKER_AUDIENCE) : undefined;
    const caller = user === undefined ? undefined : callerOf(user);
    this.#kept.delete(hash);
    // The first key is the oldest.
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size < MAX_KEPT) break;
      this.#kept.delete(oldest);
    }
    this.#kept.set(hash, {
      caller,
      until: performance.now() + (caller === undefined ? FRESH_REFUSAL : FRESH),
    });
    return caller;
  }
}

/**
 * Whoever else a token is for could come here with it; the review tells only that we are among its audiences. Looked at before
 * the signature: what it says wrongly here, the review refuses.
 */
function isForBrokerAlone(token: string): boolean {
  try {
    const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
    const claims: unknown = JSON.parse(payload);
    if (typeof claims !== 'object' || claims === null || !('aud' in claims)) return false;
    const audiences: readonly unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    return audiences.length === 1 && audiences[0] === BROKER_AUDIENCE;
  } catch {
    return false;
  }
}

/** Undefined when the token is good, and no pod's. */
export function callerOf(user: UserInfo): Caller | undefined {
  const [, namespace, serviceAccount] = SERVICE_ACCOUNT.exec(user.username) ?? [];
  const pod = only(user, 'pod-name');
  const podUid = only(user, 'pod-uid');
  const node = user.extra[`${EXTRA}node-name`];
  if (namespace === undefined || serviceAccount === undefined) return undefined;
  if (pod === undefined || podUid === undefined) return undefined;
  if (node !== undefined && node.length !== 1) return undefined;
  return { user, namespace, serviceAccount, pod, podUid, node: node?.[0] };
}

function only({ extra }: UserInfo, name: string): string | undefined {
  const values = extra[`${EXTRA}${name}`];
  return values?.length === 1 && values[0] !== '' ? values[0] : undefined;
}
