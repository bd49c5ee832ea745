/** The end of a client's sign-in: what the server said of itself, our own cancel key, and that a query may come. */
import type { Socket } from 'node:net';
import type { ServerLink } from './server.ts';
import {
  encodeAuthentication,
  encodeBackendKeyData,
  encodeParameterStatus,
  encodeReadyForQuery,
} from './wire/backend.ts';

export function welcome(socket: Socket, link: ServerLink, processId: number, secret: Buffer): void {
  const messages = [encodeAuthentication(0)];
  for (const [name, value] of link.parameters) messages.push(encodeParameterStatus(name, value));
  messages.push(encodeBackendKeyData(processId, secret), encodeReadyForQuery('I'));
  socket.write(Buffer.concat(messages));
}
