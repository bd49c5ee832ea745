/**
 * What the operator's certificate Secret holds, and what it is to hold next: a function of what it holds, of the time and of the
 * host names. A new authority is in the bundle long before it signs (`settle`), and the old one stays in it until it expires, so
 * that nobody ever meets a certificate whose authority it has not heard of.
 *
 * | age of the newest authority | bundle | signs |
 * |---|---|---|
 * | to 2/3 of its life | it | it |
 * | from 2/3 on | it and a new one | it |
 * | `settle` later, until it expires | both | the new one |
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createAuthority, issueServing, type KeyPair } from './authority.ts';

export interface Material {
  /** Oldest first; at least one. */
  readonly authorities: readonly KeyPair[];
  readonly serving: KeyPair;
}

/** Milliseconds. */
export interface Lifetimes {
  readonly authority: number;
  readonly serving: number;
  /** How long an authority is in the bundle before it signs: longer than any run that knows only the old bundle. */
  readonly settle: number;
}

const DAY = 86_400_000;
export const LIFETIMES: Lifetimes = { authority: 3650 * DAY, serving: 90 * DAY, settle: 180 * DAY };
/** Valid from a little before, for clocks that are behind ours. */
const SKEW = 300_000;

/** The very same value when nothing is to be done. */
export async function renewed(
  material: Material | undefined,
  hosts: readonly string[],
  now: number,
  lifetimes: Lifetimes,
): Promise<Material> {
  const authorities = await renewedAuthorities(material?.authorities ?? [], now, lifetimes);
  const signing = signingAuthority(authorities, now, lifetimes);
  const kept = material !== undefined && serves(material.serving, signing, hosts, now);
  if (kept && authorities === material.authorities) return material;
  const serving = kept
    ? material.serving
    : await issueServing(signing, hosts, now - SKEW, now + lifetimes.serving);
  return { authorities, serving };
}

/** PEM of all authorities. */
export function bundleOf(material: Material): string {
  return material.authorities.map(({ certificate }) => `${certificate.trim()}\n`).join('');
}

async function renewedAuthorities(
  known: readonly KeyPair[],
  now: number,
  lifetimes: Lifetimes,
): Promise<readonly KeyPair[]> {
  const alive = known.filter((pair) => isAuthority(pair) && notAfter(pair) > now);
  const newest = alive.at(-1);
  if (newest !== undefined && !isAged(newest, now)) return alive.length === known.length ? known : alive;
  // When nobody trusts any yet it signs at once: there is nothing to wait for.
  const from = newest === undefined ? now - SKEW - lifetimes.settle : now - SKEW;
  return [...alive, await createAuthority(from, now + lifetimes.authority)];
}

function signingAuthority(authorities: readonly KeyPair[], now: number, { settle }: Lifetimes): KeyPair {
  const settled = authorities.filter((pair) => notBefore(pair) + settle <= now).at(-1);
  const signing = settled ?? authorities[0];
  if (signing === undefined) throw new Error('there is always an authority');
  return signing;
}

/** Whether the certificate is of this authority, for these hosts, with its key, and young enough. */
function serves(serving: KeyPair, authority: KeyPair, hosts: readonly string[], now: number): boolean {
  const certificate = read(serving);
  const issuer = read(authority);
  if (certificate === undefined || issuer === undefined || !matches(serving)) return false;
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return false;
  return hosts.every((host) => certificate.checkHost(host) !== undefined) && !isAged(serving, now);
}

/** Past two thirds of its life. */
function isAged(pair: KeyPair, now: number): boolean {
  return now >= notBefore(pair) + ((notAfter(pair) - notBefore(pair)) * 2) / 3;
}

function isAuthority(pair: KeyPair): boolean {
  return read(pair)?.ca === true && matches(pair);
}

function matches(pair: KeyPair): boolean {
  try {
    return read(pair)?.checkPrivateKey(createPrivateKey(pair.key)) === true;
  } catch {
    return false;
  }
}

function notBefore(pair: KeyPair): number {
  return read(pair)?.validFromDate.getTime() ?? 0;
}

function notAfter(pair: KeyPair): number {
  return read(pair)?.validToDate.getTime() ?? 0;
}

function read({ certificate }: KeyPair): X509Certificate | undefined {
  try {
    return new X509Certificate(certificate);
  } catch {
    return undefined;
  }
}
