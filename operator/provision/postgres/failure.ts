/** What PostgreSQL and the network say, as a `ProvisionError`. */
import { DatabaseError } from 'pg';
import { ProvisionError, type ProvisionFault } from '../provision-error.ts';

const MAX_TEXT = 500;

/** By SQLSTATE, or by its class. */
const FAULTS: ReadonlyMap<string, ProvisionFault> = new Map([
  ['28', 'credentials'],
  ['42501', 'forbidden'],
  ['08', 'unreachable'],
  ['57P01', 'unreachable'],
  ['57P02', 'unreachable'],
  ['57P03', 'unreachable'],
  ['53300', 'unreachable'],
  ['53400', 'unreachable'],
  ['55P03', 'busy'],
  ['57014', 'busy'],
  ['40001', 'busy'],
  ['40P01', 'busy'],
  ['3D000', 'invalid'],
  ['3F000', 'invalid'],
  ['42P01', 'invalid'],
  ['42703', 'invalid'],
  ['42704', 'invalid'],
]);

/** What two sessions that change roles or privileges at once make of each other; the next attempt sees what the other did. */
const CONCURRENT = new Set(['40001', '40P01', '23505', '42710', '42704', '3F000', '42P01']);

export function isConcurrent(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  if (error.code === 'XX000') return /^(tuple concurrently|cache lookup failed)/.test(error.message);
  return CONCURRENT.has(error.code ?? '');
}

/** Of a certificate whose authority is not among those that the connection trusts; Node's own words advise on Node's flags. */
const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string' && UNTRUSTED.has(error.code))
    return "the target's certificate is of no authority that the connection trusts: name its authority in spec.target.tls.caFrom";
  return error.message.slice(0, MAX_TEXT);
}

/** The server's own words about what we sent it hold no password: it gets a verifier only, and repeats no statement. */
export function failure(error: unknown, doing: string): ProvisionError {
  if (error instanceof ProvisionError) return error;
  if (!(error instanceof DatabaseError)) {
    return new ProvisionError('unreachable', `${doing}: ${networkReason(error)}`, error);
  }
  const state = error.code ?? '';
  const fault = FAULTS.get(state) ?? FAULTS.get(state.slice(0, 2)) ?? 'failed';
  if (fault === 'credentials')
    return new ProvisionError(fault, `${doing}: the target refused the administrator's credentials`, error);
  const words = [error.message, error.detail].filter((part) => part !== undefined).join('; ');
  return new ProvisionError(fault, `${doing}: ${words.slice(0, MAX_TEXT)} (SQLSTATE ${state})`, error);
}
