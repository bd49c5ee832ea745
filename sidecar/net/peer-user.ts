/** Whose process has the other end of a connection on this machine, by the kernel's own word. */
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';

export interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localPort?: number | undefined;
}

/** The user's number; undefined where the system does not tell, or the other end is on another machine. */
export async function peerUser(peer: Peer): Promise<number | undefined> {
  const { remoteAddress, remotePort, localPort } = peer;
  if (remoteAddress === undefined || remotePort === undefined || localPort === undefined) return undefined;
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'latin1').catch(() => '');
    const uid = userIn(text, remoteAddress, remotePort, localPort);
    if (uid !== undefined) return uid;
  }
  return undefined;
}

/** As `peerUser`, unless it is who runs this process: they can do all that it can, and keeping them out would keep out nobody. */
export async function otherUser(peer: Peer): Promise<number | undefined> {
  const user = await peerUser(peer);
  return user === process.geteuid?.() ? undefined : user;
}

/**
 * `sl local:port remote:port state queues timer retransmits uid …`, addresses in the machine's byte order and hexadecimal.
 * Only connections that are established: one that was closed belongs to nobody.
 */
export function userIn(table: string, address: string, port: number, otherPort: number): number | undefined {
  const ends = new Set(hexOf(address).map((host) => `${host}:${hexPort(port)}`));
  for (const line of table.split('\n').slice(1)) {
    const [, local = '', remote = '', state, , , , uid] = line.trim().split(/\s+/);
    if (state !== '01' || !ends.has(local) || !remote.endsWith(`:${hexPort(otherPort)}`)) continue;
    return uid === undefined || !/^\d+$/.test(uid) ? undefined : Number(uid);
  }
  return undefined;
}

const MAPPED = '0000000000000000FFFF0000';

/** As the tables write it. IPv6 on loopback only: a local client has no other that would matter here. */
function hexOf(address: string): readonly string[] {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (plain === '::1') return ['00000000000000000000000001000000'];
  if (!isIPv4(plain)) return [];
  const bytes = plain.split('.').map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase());
  const host = bytes.reverse().join('');
  return [host, MAPPED + host];
}

function hexPort(port: number): string {
  return port.toString(16).padStart(4, '0').toUpperCase();
}
