/** Names of approvals: short enough to say, safe in a path, and found again by their beginning. */
import { randomBytes } from 'node:crypto';

/** Crockford's base32, in lower case: no two letters that are taken for each other. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_LETTERS = 6;
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** `orders-db-7f3k2m`: the connection and 30 bits, random ones unless others are given; the maker checks that it is not taken. */
export function newApprovalName(connection: string, bits: Uint8Array = randomBytes(RANDOM_LETTERS)): string {
  const random = Array.from(bits.subarray(0, RANDOM_LETTERS), (byte) =>
    ALPHABET.charAt(byte % ALPHABET.length),
  ).join('');
  const prefix = connection
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 60);
  return `${prefix === '' ? 'approval' : prefix}-${random}`;
}

export function isApprovalName(value: string): boolean {
  return value.length <= 128 && !value.includes('..') && NAME.test(value);
}

/** Those that are meant by what a person typed: the whole name, its beginning, or the beginning of its random part. */
export function matchingNames(typed: string, names: readonly string[]): readonly string[] {
  const wanted = typed.toLowerCase();
  if (wanted === '') return [];
  if (names.includes(wanted)) return [wanted];
  return names.filter((name) => name.startsWith(wanted) || name.slice(-RANDOM_LETTERS).startsWith(wanted));
}
