/** Requests whose connection does not come about. */
import type { ClientRequest } from 'node:http';

/** Gives up a request that is silent for so many milliseconds: Node's own timeout begins only with the connection. */
export function giveUpAfter(request: ClientRequest, milliseconds: number): void {
  const giveUp = () => request.destroy(new Error(`nothing moved for ${milliseconds} ms`));
  const timer = setTimeout(giveUp, milliseconds);
  request.setTimeout(milliseconds, giveUp);
  request.once('close', () => clearTimeout(timer));
  request.once('socket', (socket) => {
    if (socket.connecting) socket.once('connect', () => clearTimeout(timer));
    else clearTimeout(timer);
  });
}
