/** The name of the Session of a run on a connection: the same whichever replica makes it, and after a restart. */
import { createHash } from 'node:crypto';
import type { KubeObject } from '../kube/kube.ts';

/** Crockford's base32, in lower case: no two letters that are taken for each other. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LETTERS = 16;
const PREFIX = 40;

/** `orders-db-` and 80 bits of a hash over the uids: a connection or pod made anew under the old name has another session. */
export function sessionName(connection: KubeObject, podUid: string): string {
  const { namespace, name, uid } = connection.metadata;
  const hash = createHash('sha256')
    .update(JSON.stringify([namespace, name, uid, podUid]))
    .digest();
  let letters = '';
  for (const byte of hash.subarray(0, LETTERS)) letters += ALPHABET.charAt(byte % ALPHABET.length);
  const prefix = name.slice(0, PREFIX).replaceAll('.', '-').replace(/-+$/, '');
  return `${prefix}-${letters}`;
}
