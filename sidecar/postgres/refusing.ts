/** Listens in the place of a connection that cannot be served, and tells every client why. */
import { type Server, type Socket, createServer } from 'node:net';
import { fatal, signIn } from './signin.ts';

const MAX_CLIENTS = 64;

export class RefusingListener {
  readonly message: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(message: string) {
    this.message = message;
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CLIENTS;
  }

  /** Rejects when the address cannot be had. */
  listen(address: string, port: number): Promise<void> {
    return new Promise((done, fail) => {
      this.#server.once('error', fail);
      this.#server.listen(port, address, () => {
        this.#server.off('error', fail);
        this.#server.on('error', () => undefined);
        done();
      });
    });
  }

  close(): Promise<void> {
    const closed = new Promise<void>((done) => this.#server.close(() => done()));
    for (const socket of this.#sockets) socket.destroy();
    return closed;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
    signIn(socket, { tls: undefined, password: false }).then(
      (client) => {
        if (client.kind === 'client') fatal(client.socket, '57P03', this.message, 'Tell the platform team.');
        else socket.destroy();
      },
      () => socket.destroy(),
    );
  }
}
