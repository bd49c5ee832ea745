/** Who a client is, by the proof that it brings: a run's token, or being on this machine or in this pod where that is enough. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { Identity } from '../operation.ts';
import type { OidcIssuers, OidcTrust } from './oidc.ts';

export type IdentitySource =
  | { readonly kind: 'token'; readonly token: string; readonly identity: Identity }
  | { readonly kind: 'loopback'; readonly identity: Identity }
  /** The password is a token of this issuer. */
  | { readonly kind: 'oidc'; readonly trust: OidcTrust }
  /** Everything in the pod is the run; who that is, the broker knows from the pod's own token. */
  | { readonly kind: 'pod'; readonly identity: Identity };

export interface Proof {
  /** Undefined when none was asked for. */
  readonly password: string | undefined;
  /** Both ends of the connection are on this machine's loopback. */
  readonly loopback: boolean;
  /** It came to the loopback from an address of this network namespace, which is the pod's. */
  readonly inside: boolean;
}

/** Whether a password must be asked for: where a token is taken, being local is not enough. */
export function asksForPassword(sources: readonly IdentitySource[]): boolean {
  return sources.some(({ kind }) => kind === 'token' || kind === 'oidc');
}

/** Whether anybody is known by the proof; `why` is for the log, the client is not told. */
export type Identified =
  | { readonly kind: 'identified'; readonly identity: Identity }
  | { readonly kind: 'unknown'; readonly why: string };

/** Never rejects. What needs no question to anybody is looked at first. */
export async function identify(sources: readonly IdentitySource[], proof: Proof): Promise<Identified> {
  const here = identifyHere(sources, proof);
  if (here !== undefined) return { kind: 'identified', identity: here };
  let why = 'no source of the connection knows the proof';
  if (proof.password === undefined) return { kind: 'unknown', why };
  for (const source of sources) {
    if (source.kind !== 'oidc') continue;
    const answer = await (await issuers()).verify(source.trust, proof.password);
    if (answer.kind === 'identified') return answer;
    why = `${source.trust.issuer}: ${answer.why}`;
  }
  return { kind: 'unknown', why };
}

let known: Promise<OidcIssuers> | undefined;

/** What verifies tokens is loaded when the first one is brought; issuers' keys are kept for all connections. */
function issuers(): Promise<OidcIssuers> {
  known ??= import('./oidc.ts').then(({ OidcIssuers }) => new OidcIssuers());
  return known;
}

/** Takes as long whether a token nearly fits or not at all. */
function identifyHere(sources: readonly IdentitySource[], proof: Proof): Identity | undefined {
  let found: Identity | undefined;
  for (const source of sources) {
    switch (source.kind) {
      case 'token':
        if (proof.password !== undefined && sameText(source.token, proof.password)) found ??= source.identity;
        break;
      case 'loopback':
        if (proof.password === undefined && proof.loopback) found ??= source.identity;
        break;
      case 'oidc':
        break;
      case 'pod':
        if (proof.inside) found ??= source.identity;
        break;
    }
  }
  return found;
}

export function sameText(one: string, other: string): boolean {
  return timingSafeEqual(digest(one), digest(other));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/**
 * Whether a connection to the loopback began in this network namespace. One that was redirected here keeps the pod's own address
 * as its source; a loopback destination is reached from nowhere else (RFC 1122, 3.2.1.3).
 */
export function isInside(remote: string | undefined, local: string | undefined): boolean {
  if (!isLoopback(local) || remote === undefined) return false;
  if (isLoopback(remote)) return true;
  const plain = remote.startsWith('::ffff:') ? remote.slice(7) : remote;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === plain),
  );
}
