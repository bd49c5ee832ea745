/**
 * A client that costs next to nothing: it speaks the simple protocol and drops what it reads. An answer ends with
 * ReadyForQuery (`Z`, length 5, status), looked for in the last six bytes that came: in none of the bench's answers,
 * text without zero bytes, can a row end like that.
 */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import type { Contender } from './contender.ts';

const TAG = { authentication: 0x52, error: 0x45, ready: 0x5a } as const;
const READ_BUFFER = 256 * 1024;

interface Waiting {
  /** `first`: the first bytes of an answer are enough. */
  readonly for: 'first' | 'ready';
  done(bytes: number): void;
  fail(error: Error): void;
}

/** A message of the frontend: tag, length with itself, body. */
export function message(tag: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(tag, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function startup(user: string, database: string): Buffer {
  const body = Buffer.from(
    `\0\x03\0\0user\0${user}\0database\0${database}\0application_name\0bench\0\0`,
    'latin1',
  );
  const head = Buffer.alloc(4);
  head.writeInt32BE(body.length + 4);
  return Buffer.concat([head, body]);
}

/** Message field `M` of an ErrorResponse that begins at `start`. */
function errorText(bytes: Buffer): string {
  const fields = bytes.subarray(5).toString('utf8').split('\0');
  return fields.find((field) => field.startsWith('M'))?.slice(1) ?? 'an error without a message';
}

export class Wire {
  readonly #socket: Socket;
  readonly #tail = Buffer.alloc(6);
  #bytes = 0;
  #waiting: Waiting | undefined;
  #reading = true;
  #error: Error | undefined;

  private constructor({ host, port }: Contender) {
    const callback = (length: number, bytes: Uint8Array): boolean => {
      this.#take(Buffer.from(bytes.buffer, bytes.byteOffset, length));
      return this.#reading;
    };
    this.#socket = connectTcp({
      host,
      port,
      noDelay: true,
      onread: { buffer: Buffer.allocUnsafe(READ_BUFFER), callback },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  /** Connects and signs in; ready for a query when it returns. Only for logins without a password. */
  static async connect(contender: Contender): Promise<Wire> {
    const wire = new Wire(contender);
    try {
      wire.#socket.write(startup(contender.user, contender.database));
      await wire.#answer('ready');
      return wire;
    } catch (error) {
      wire.close();
      throw error;
    }
  }

  /** Runs a text and drops its answer; resolves with the answer's size in bytes. */
  async run(text: string): Promise<number> {
    this.#send(text);
    return this.#answer('ready');
  }

  /** `COPY … FROM STDIN`, with the same piece (whole lines, as CopyData messages) sent `times`. */
  async copyIn(text: string, piece: Buffer, times: number): Promise<void> {
    this.#send(text);
    await this.#answer('first');
    for (let i = 0; i < times; i++) {
      if (!this.#socket.write(piece)) await once(this.#socket, 'drain');
    }
    const finished = this.#answer('ready');
    this.#socket.write(message('c', Buffer.alloc(0)));
    await finished;
  }

  /** Sends a text, and stops reading for good as soon as its answer begins. */
  async runAndStall(text: string): Promise<void> {
    this.#reading = false;
    this.#send(text);
    await this.#answer('first');
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(text: string): void {
    this.#socket.write(message('Q', Buffer.from(`${text}\0`)));
  }

  #answer(until: Waiting['for']): Promise<number> {
    this.#bytes = 0;
    return new Promise((done, fail) => {
      if (this.#error) fail(this.#error);
      else this.#waiting = { for: until, done, fail };
    });
  }

  #take(chunk: Buffer): void {
    const first = this.#bytes === 0;
    this.#bytes += chunk.length;
    if (first && chunk[0] === TAG.error) {
      this.#fail(new Error(errorText(chunk)));
      return;
    }
    if (first && chunk[0] === TAG.authentication && chunk.length >= 9 && chunk.readInt32BE(5) !== 0) {
      this.#fail(new Error('a password is asked for'));
      return;
    }
    this.#keepTail(chunk);
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (waiting.for === 'ready' && !this.#isReady()) return;
    this.#waiting = undefined;
    waiting.done(this.#bytes);
  }

  #keepTail(chunk: Buffer): void {
    const kept = Math.max(0, 6 - chunk.length);
    this.#tail.copy(this.#tail, 0, 6 - kept);
    chunk.copy(this.#tail, kept, Math.max(0, chunk.length - 6));
  }

  #isReady(): boolean {
    return this.#tail[0] === TAG.ready && this.#tail.readInt32BE(1) === 5;
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#waiting?.fail(this.#error);
    this.#waiting = undefined;
  }
}
