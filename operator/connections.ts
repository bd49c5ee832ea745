/** The connections of a server: how many at a time, in all and from one address; and how soon one that is late is seen. */
import type { Server, Socket } from 'node:net';
import { Shares, type ShareLimits } from './shares.ts';

/** Milliseconds between looks for requests that are late. Node's own 30 s would be the least that any time-out takes. */
export const CHECKING_INTERVAL = 1_000;

/**
 * One too many is closed at once and counts no more. Node's own `maxConnections` counts it until its handle is gone: those of one address
 * that come together would shut others out.
 */
export function limitConnections(server: Server, limits: ShareLimits): void {
  const open = new Shares(limits);
  server.on('connection', (socket: Socket) => {
    const from = socket.remoteAddress ?? '';
    if (open.take(from, 1)) socket.once('close', () => open.give(from, 1));
    else socket.destroy();
  });
}
