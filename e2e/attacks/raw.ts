/** Bytes to a port as they are, before and without any protocol; and the start-up messages of PostgreSQL. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const PROTOCOL_3_0 = 0x0003_0000;
export const PROTOCOL_3_2 = 0x0003_0002;
export const SSL_REQUEST = 80877103;
export const GSS_REQUEST = 80877104;
export const CANCEL_REQUEST = 80877102;

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** Length with itself, then the body: the form of messages before sign-in. */
export function untagged(body: Buffer): Buffer {
  return Buffer.concat([int32(body.length + 4), body]);
}

export function startup(
  parameters: readonly (readonly [string, string])[] = [
    ['user', 'agent'],
    ['database', 'postgres'],
  ],
  version = PROTOCOL_3_0,
): Buffer {
  const pairs = parameters.map(([name, value]) => `${name}\0${value}\0`).join('');
  return untagged(Buffer.concat([int32(version), Buffer.from(`${pairs}\0`)]));
}

export function request(code: number): Buffer {
  return untagged(int32(code));
}

export interface Said {
  readonly bytes: Buffer;
  /** The other side ended the connection. */
  readonly closed: boolean;
}

/** Less than a client may take to sign in: what is closed within it was not closed for being slow. */
const PATIENCE_MS = 25_000;

export class RawClient {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
    });
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** What came until the connection was closed, or something held. */
  async said(enough: (bytes: Buffer) => boolean = () => false): Promise<Said> {
    const end = Date.now() + PATIENCE_MS;
    while (!this.#closed && !enough(this.#bytes) && Date.now() < end) await sleep(5);
    return { bytes: this.#bytes, closed: this.#closed };
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Sends these bytes on a connection of its own, and gives what was said until it closed. */
export async function say(port: number, bytes: Buffer): Promise<Said> {
  const client = await RawClient.connect(port);
  try {
    client.send(bytes);
    return await client.said();
  } finally {
    client.close();
  }
}

/** SQLSTATE of the first ErrorResponse among messages; undefined when there is none or the bytes are no messages. */
export function sqlstateOf(bytes: Buffer): string | undefined {
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readUInt32BE(at + 1)) {
    if (bytes[at] !== 0x45) continue;
    const fields = bytes.toString('utf8', at + 5).split('\0');
    return fields.find((field) => field.startsWith('C'))?.slice(1);
  }
  return undefined;
}
