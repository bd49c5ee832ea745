/** Sockets of either side: connecting with a deadline, and reading what must come next. */
import { type LookupFunction, type Socket, connect } from 'node:net';
import { type ConnectionOptions, TLSSocket, connect as connectTls } from 'node:tls';

export class NetError extends Error {
  readonly code: 'connect' | 'timeout' | 'closed' | 'tls';
  constructor(code: NetError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'NetError';
    this.code = code;
  }
}

export interface Address {
  readonly host: string;
  readonly port: number;
  /** How the host is found where the system's way is not to be trusted; asked for all its addresses. */
  readonly lookup?: LookupFunction | undefined;
}

/**
 * Connects within `timeout` milliseconds. Throws NetError. All reads go through one buffer: a chunk that `data` hands out is
 * overwritten by the next, unless its taker has called `keepChunk`.
 */
export function connectReusing(address: Address, timeout: number): Promise<Socket> {
  const reader = { buffer: Buffer.allocUnsafeSlow(READ_SIZE), kept: false };
  const next = () => {
    if (reader.kept) reader.buffer = Buffer.allocUnsafeSlow(READ_SIZE);
    reader.kept = false;
    return reader.buffer;
  };
  const callback = (length: number) => {
    socket.emit('data', reader.buffer.subarray(0, length));
    return !socket.isPaused();
  };
  const socket: Socket = connect({
    ...options(address),
    onread: { buffer: next, callback },
  });
  keepers.set(socket, () => {
    reader.kept = true;
  });
  return settle(socket, 'connect', timeout, address);
}

const READ_SIZE = 65_536;
const keepers = new WeakMap<Socket, () => void>();

/** The last chunk of a socket of `connectReusing` is still needed: the next one comes in another buffer. */
export function keepChunk(socket: Socket): void {
  keepers.get(socket)?.();
}

/** Connects within `timeout` milliseconds. Throws NetError. */
export function connectTcp(address: Address, timeout: number): Promise<Socket> {
  return settle(connect(options(address)), 'connect', timeout, address);
}

function options({ host, port, lookup }: Address) {
  return { host, port, noDelay: true, keepAlive: true, ...(lookup === undefined ? {} : { lookup }) };
}

/** Begins TLS as a client over a socket on which nothing is unread. Throws NetError. */
export function secureClient(
  socket: Socket,
  options: ConnectionOptions,
  timeout: number,
  address: Address,
): Promise<TLSSocket> {
  return settle(connectTls({ ...options, socket }), 'secureConnect', timeout, address);
}

/** Begins TLS as a server over a socket. Throws NetError. */
export function secureServer(
  socket: Socket,
  options: ConstructorParameters<typeof TLSSocket>[1],
  timeout: number,
  address: Address,
): Promise<TLSSocket> {
  return settle(new TLSSocket(socket, { ...options, isServer: true }), 'secure', timeout, address);
}

/** Whatever becomes of the socket, an error that nobody waits for must not end the process. */
function settle<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect' | 'secure',
  timeout: number,
  address: Address,
): Promise<S> {
  return new Promise((done, fail) => {
    const where = `${address.host}:${address.port}`;
    socket.on('error', () => undefined);
    const timer = setTimeout(
      () => end(new NetError('timeout', `${where} did not answer within ${timeout} ms`)),
      timeout,
    );
    const onError = (error: Error) =>
      end(new NetError(event === 'connect' ? 'connect' : 'tls', `${where}: ${error.message}`, error));
    const onClose = () => end(new NetError('closed', `${where} closed the connection`));
    const onReady = () => end(undefined);
    function end(error: NetError | undefined): void {
      clearTimeout(timer);
      socket.off('error', onError).off('close', onClose).off(event, onReady);
      if (error) {
        socket.destroy();
        fail(error);
      } else {
        done(socket);
      }
    }
    socket.once('error', onError).once('close', onClose).once(event, onReady);
  });
}

/** The next bytes of a paused socket, which is paused again when they are there. Throws NetError when none come. */
export function readChunk(socket: Socket, signal: AbortSignal): Promise<Buffer> {
  return new Promise((done, fail) => {
    if (signal.aborted || socket.destroyed) {
      fail(new NetError('closed', 'the connection is closed'));
      return;
    }
    const onData = (chunk: Buffer) => {
      socket.pause();
      end();
      done(chunk);
    };
    const onEnd = () => {
      end();
      fail(new NetError('closed', 'the other side closed the connection'));
    };
    const onError = (error: Error) => {
      end();
      fail(new NetError('closed', error.message, error));
    };
    const onAbort = () => {
      end();
      fail(new NetError('timeout', 'the other side took too long'));
    };
    function end(): void {
      socket.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
      signal.removeEventListener('abort', onAbort);
    }
    socket.on('data', onData).once('end', onEnd).once('close', onEnd).once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.resume();
  });
}
