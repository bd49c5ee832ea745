/** Keys of hash masks: hashes of small domains can be tried out by whoever has the key, so a session gets its own. */
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { Mask } from './mask.ts';

export interface MaskKeys {
  readonly session: KeyObject;
  readonly connection: KeyObject;
}

/** Characters of a hash that are shown: 22 of base64url are 132 bits. */
const SHOWN = 22;

/**
 * Keys for one session: its own is random and dies with it. Without a `connectionKey` (32 bytes or more) that of the
 * connection is the session's own, so that hashes cannot be compared over sessions, which is the safe side.
 */
export function createMaskKeys(connectionKey?: Uint8Array): MaskKeys {
  const session = createSecretKey(randomBytes(32));
  return { session, connection: connectionKey === undefined ? session : createSecretKey(connectionKey) };
}

/** `h:` and 22 base64url characters of HMAC-SHA-256 over the value's UTF-8. */
export function keyedHash(
  value: string | Uint8Array,
  scope: Extract<Mask, { with: 'Hash' }>['scope'],
  keys: MaskKeys,
): string {
  const key = scope === 'Session' ? keys.session : keys.connection;
  return `h:${createHmac('sha256', key).update(value).digest('base64url').slice(0, SHOWN)}`;
}
