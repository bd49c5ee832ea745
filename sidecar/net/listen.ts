/** Servers of one address: listening, and closing. */
import type { Server } from 'node:net';
import type { Logger } from 'pino';

/** Resolves with the port. Rejects when the address cannot be had; what goes wrong later is logged. */
export function listenAt(server: Server, address: string, port: number, log: Logger): Promise<number> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, address, () => {
      server.off('error', fail);
      server.on('error', (error) => log.error({ err: error }, 'the listener failed'));
      const bound = server.address();
      done(bound !== null && typeof bound === 'object' ? bound.port : port);
    });
  });
}

/** Also one that is closed already. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((done) => server.close(() => done()));
}
