/**
 * Tokens of OpenID Connect issuers (GitHub's, GitLab's, your own), verified with the keys that the issuer publishes. The agent brings
 * one as its password. What cannot be verified, whyever, stands for nobody.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { discovery } from 'openid-client';
import type { Identity } from '../operation.ts';

/** As the connection has it. */
export interface OidcTrust {
  readonly issuer: string;
  readonly audience: string;
  /** Each equal to the token's, or in it when the token's is a list. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly usernameClaim: string;
  readonly groupsClaim: string;
}

export type OidcAnswer =
  | { readonly kind: 'identified'; readonly identity: Identity }
  /** For the log: the client is not told more than that nobody vouches for it. No part of the token is in it. */
  | { readonly kind: 'refused'; readonly why: string };

/** No symmetric ones: whoever can verify those can make them. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const MAX_TOKEN = 16_384;
const MAX_NAME = 512;
/** Seconds that clocks may differ. */
const TOLERANCE = 30;
/** Seconds for one answer of the issuer. */
const PATIENCE = 5;

export class OidcIssuers {
  readonly #keys = new Map<string, Promise<JWTVerifyGetKey>>();

  /** Never rejects. */
  async verify(trust: OidcTrust, token: string): Promise<OidcAnswer> {
    if (token.length > MAX_TOKEN) return refused('the token is too long');
    if (token.split('.').length !== 3) return refused('it is no JWT');
    try {
      const keys = await this.#keysOf(trust.issuer);
      const { payload } = await jwtVerify(token, keys, {
        issuer: trust.issuer,
        audience: trust.audience,
        algorithms: ALGORITHMS,
        clockTolerance: TOLERANCE,
        requiredClaims: ['sub', 'exp', 'iat'],
      });
      return identified(trust, payload);
    } catch (error) {
      return refused(reason(error));
    }
  }

  /** The issuer is asked once; its keys again when a token names an unknown one. */
  #keysOf(issuer: string): Promise<JWTVerifyGetKey> {
    const known = this.#keys.get(issuer);
    if (known !== undefined) return known;
    const asked = findKeys(issuer);
    this.#keys.set(issuer, asked);
    asked.catch(() => this.#keys.delete(issuer));
    return asked;
  }
}

async function findKeys(issuer: string): Promise<JWTVerifyGetKey> {
  // No client of ours is known there: its metadata are public.
  const found = await discovery(new URL(issuer), 'sidewarden', undefined, undefined, { timeout: PATIENCE });
  const { issuer: named, jwks_uri: uri } = found.serverMetadata();
  if (named !== issuer) throw new Error('the issuer calls itself something else');
  if (uri === undefined || new URL(uri).protocol !== 'https:')
    throw new Error('the issuer names no keys by https');
  return createRemoteJWKSet(new URL(uri), { timeoutDuration: PATIENCE * 1000 });
}

function identified(trust: OidcTrust, payload: JWTPayload): OidcAnswer {
  for (const [name, wanted] of Object.entries(trust.claims))
    if (!fits(payload[name], wanted)) return refused(`the claim ${name} is not what the connection asks for`);
  const { sub } = payload;
  const username = payload[trust.usernameClaim];
  if (!isName(sub)) return refused('the subject is no name');
  if (!isName(username)) return refused(`the claim ${trust.usernameClaim} is no name`);
  const groups = payload[trust.groupsClaim];
  return {
    kind: 'identified',
    identity: Object.freeze({
      issuer: trust.issuer,
      subject: sub,
      username,
      groups: Array.isArray(groups) ? groups.filter(isName) : [],
      claims: payload,
      serviceAccount: '',
      pod: '',
    }),
  };
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME;
}

function fits(value: unknown, wanted: unknown): boolean {
  return Array.isArray(value) && !Array.isArray(wanted)
    ? value.some((one) => same(one, wanted))
    : same(value, wanted);
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function reason(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed)
    return `the claim ${error.claim} is not what it must be`;
  if (error instanceof errors.JOSEError) return `the token cannot be verified (${error.code})`;
  return `the issuer's keys cannot be had: ${error instanceof Error ? error.message : 'unknown'}`;
}

function refused(why: string): OidcAnswer {
  return { kind: 'refused', why };
}
