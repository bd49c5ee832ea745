/** Bytes over TLS, and tokens that nobody issued. */
import { createPrivateKey, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { World } from './world.ts';

export async function dial(world: World, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca: world.ca, servername: world.host, ...options });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** All that comes back until the other side closes, or after so many milliseconds. */
export async function exchange(
  world: World,
  port: number,
  bytes: string | Buffer,
  limit = 60_000,
): Promise<{ readonly text: string; readonly closed: boolean }> {
  const socket = await dial(world, port);
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  socket.write(bytes);
  const closed = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), limit);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
  socket.destroy();
  return { text, closed };
}

/** Status lines in an answer. */
export const statuses = (text: string): readonly number[] =>
  [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, code]) => Number(code));

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token with other claims, signed with the API server's own key. */
export async function resigned(
  world: World,
  token: string,
  claims: object,
  header: object = {},
): Promise<string> {
  const [head = '', body = ''] = token.split('.');
  // Tokens are made of objects.
  const read = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString()) as object;
  const signed = `${part({ ...read(head), ...header })}.${part({ ...read(body), ...claims })}`;
  const key = createPrivateKey(await readFile(join(world.plane.folder, 'pki', 'tokens.key'), 'utf8'));
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
}

/** What a token says of its pod: the field `kubernetes.io`. */
export function boundTo(token: string): { readonly pod: object } {
  const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
  // Of a token that is bound to a pod.
  return (JSON.parse(text) as { readonly 'kubernetes.io': { readonly pod: object } })['kubernetes.io'];
}
