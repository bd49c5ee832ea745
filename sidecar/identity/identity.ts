/** Who a client is, by the proof that it brings: a run's token, or being on this machine where the connection says so. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Identity } from '../operation.ts';

export type IdentitySource =
  | { readonly kind: 'token'; readonly token: string; readonly identity: Identity }
  | { readonly kind: 'loopback'; readonly identity: Identity };

export interface Proof {
  /** Undefined when none was asked for. */
  readonly password: string | undefined;
  /** Both ends of the connection are on this machine's loopback. */
  readonly loopback: boolean;
}

/** Whether a password must be asked for: where a token is taken, being local is not enough. */
export function asksForPassword(sources: readonly IdentitySource[]): boolean {
  return sources.some(({ kind }) => kind === 'token');
}

/** The identity that the proof stands for, or undefined. Takes as long whether a token nearly fits or not at all. */
export function identify(sources: readonly IdentitySource[], proof: Proof): Identity | undefined {
  let found: Identity | undefined;
  for (const source of sources) {
    switch (source.kind) {
      case 'token':
        if (proof.password !== undefined && sameText(source.token, proof.password)) found ??= source.identity;
        break;
      case 'loopback':
        if (proof.password === undefined && proof.loopback) found ??= source.identity;
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
