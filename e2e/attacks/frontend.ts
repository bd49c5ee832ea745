/** A client that sends what it is told, byte for byte, and keeps every message that comes back. Text protocol 3.0. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { message } from '../../bench/wire.ts';

export interface Message {
  readonly tag: string;
  readonly body: Buffer;
}

interface Waiting {
  readonly found: (messages: readonly Message[]) => boolean;
  readonly done: () => void;
}

/** An answer that takes longer is a hang. */
const PATIENCE_MS = 60_000;

/** Fields of an ErrorResponse or NoticeResponse by their letter. */
export function fieldsOf({ body }: Message): Readonly<Record<string, string>> {
  const parts = body.toString('utf8').split('\0');
  return Object.fromEntries(
    parts.filter((part) => part !== '').map((part) => [part.charAt(0), part.slice(1)]),
  );
}

export class Frontend {
  readonly socket: Socket;
  readonly processId: number;
  readonly secret: Buffer;
  readonly #received: Message[];
  #rest: Buffer = Buffer.alloc(0);
  #taken = 0;
  #waiting: Waiting | undefined;
  #closed = false;

  private constructor(socket: Socket, received: Message[]) {
    this.socket = socket;
    this.#received = received;
    this.processId = 0;
    this.secret = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#waiting?.done();
    });
  }

  /** Signs in without a password; `parameters` beside user and database. Throws with the error's text when refused. */
  static async connect(port: number, parameters: Readonly<Record<string, string>> = {}): Promise<Frontend> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    const client = new Frontend(socket, []);
    const all = Object.entries({ user: 'agent', database: 'postgres', ...parameters });
    const body = Buffer.from(`\0\x03\0\0${all.map(([name, value]) => `${name}\0${value}\0`).join('')}\0`);
    const head = Buffer.alloc(4);
    head.writeInt32BE(body.length + 4);
    socket.write(Buffer.concat([head, body]));
    const welcome = await client.ready();
    const failed = welcome.find(({ tag }) => tag === 'E');
    if (failed) throw new Error(`${fieldsOf(failed)['C']} ${fieldsOf(failed)['M']}`);
    const key = welcome.find(({ tag }) => tag === 'K')?.body ?? Buffer.alloc(8);
    return Object.assign(client, { processId: key.readInt32BE(0), secret: key.subarray(4) });
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** What came since the last call, up to the first message for which `found` holds; what came when the connection ends. */
  async until(found: (message: Message) => boolean, patience = PATIENCE_MS): Promise<readonly Message[]> {
    const end = () => this.#received.findIndex((one, index) => index >= this.#taken && found(one));
    if (end() < 0 && !this.#closed) {
      await new Promise<void>((done, fail) => {
        const timer = setTimeout(() => {
          this.#waiting = undefined;
          const tags = this.#received.slice(this.#taken).map(({ tag }) => tag);
          fail(new Error(`nothing of the kind within ${patience} ms, only ${tags.join('')}`));
        }, patience);
        this.#waiting = {
          found: () => end() >= 0,
          done: () => {
            clearTimeout(timer);
            this.#waiting = undefined;
            done();
          },
        };
      });
    }
    const last = end();
    const messages = this.#received.slice(this.#taken, last < 0 ? undefined : last + 1);
    this.#taken += messages.length;
    return messages;
  }

  ready(patience?: number): Promise<readonly Message[]> {
    return this.until(({ tag }) => tag === 'Z', patience);
  }

  /** A simple query, to its ReadyForQuery. */
  async query(text: string): Promise<readonly Message[]> {
    this.send(query(text));
    return this.ready();
  }

  /** Waits for the notice of a hold, and gives the approval's name. */
  async held(): Promise<string> {
    const seen = await this.until(({ tag }) => tag === 'N' || tag === 'E' || tag === 'Z');
    const name = /^waiting for approval (\S+)$/.exec(fieldsOf(seen.at(-1) ?? NOTHING)['M'] ?? '')?.[1];
    if (name === undefined) throw new Error(`not held: ${describe(seen)}`);
    return name;
  }

  /** Whether nothing comes for so many milliseconds. */
  async silent(milliseconds: number): Promise<boolean> {
    const before = this.#received.length;
    await new Promise((done) => setTimeout(done, milliseconds));
    return this.#received.length === before && !this.#closed;
  }

  close(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 5) {
      const length = this.#rest.readInt32BE(1) + 1;
      if (this.#rest.length < length) break;
      this.#received.push({
        tag: this.#rest.toString('latin1', 0, 1),
        body: this.#rest.subarray(5, length),
      });
      this.#rest = this.#rest.subarray(length);
    }
    if (this.#waiting?.found(this.#received)) this.#waiting.done();
  }
}

const NOTHING: Message = { tag: '', body: Buffer.alloc(0) };

/** One line for assertions: `T D(1) D(2) C(SELECT 2) Z(I)`; errors as `E(42501)`, notices left out. */
export function describe(messages: readonly Message[]): string {
  return messages
    .filter(({ tag }) => tag !== 'N' && tag !== 'S')
    .map((one) => {
      const inside = insideOf(one);
      return inside === '' ? one.tag : `${one.tag}(${inside})`;
    })
    .join(' ');
}

function insideOf(one: Message): string {
  switch (one.tag) {
    case 'E':
      return fieldsOf(one)['C'] ?? '';
    case 'C':
      return one.body.toString('utf8', 0, one.body.length - 1);
    case 'Z':
      return one.body.toString('latin1');
    case 'D':
      return rowOf(one).join(',');
    default:
      return '';
  }
}

/** Columns of a DataRow as text. */
export function rowOf({ body }: Message): readonly (string | null)[] {
  const values: (string | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return values;
}

/** Fields of the only error in an answer. Throws when there is not exactly one. */
export function onlyError(messages: readonly Message[]): Readonly<Record<string, string>> {
  const errors = messages.filter(({ tag }) => tag === 'E');
  const [error] = errors;
  if (error === undefined || errors.length > 1)
    throw new Error(`${errors.length} errors in ${describe(messages)}`);
  return fieldsOf(error);
}

const text = (value: string) => Buffer.from(`${value}\0`);

export function query(sql: string): Buffer {
  return message('Q', text(sql));
}

export function parse(name: string, sql: string, types: readonly number[] = []): Buffer {
  const oids = Buffer.alloc(2 + types.length * 4);
  oids.writeInt16BE(types.length);
  types.forEach((oid, index) => oids.writeUInt32BE(oid, 2 + index * 4));
  return message('P', Buffer.concat([text(name), text(sql), oids]));
}

function int16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => bytes.writeInt16BE(value, index * 2));
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Values as text, or as binary when they are bytes. */
export function bind(
  portal: string,
  statement: string,
  values: readonly (string | Buffer | null)[] = [],
): Buffer {
  const formats = values.map((value) => (Buffer.isBuffer(value) ? 1 : 0));
  const encoded = values.flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = Buffer.from(value);
    return [int32(bytes.length), bytes];
  });
  const parts = [int16(formats.length, ...formats), int16(values.length), ...encoded, int16(0)];
  return message('B', Buffer.concat([text(portal), text(statement), ...parts]));
}

export function describeOf(kind: 'S' | 'P', name: string): Buffer {
  return message('D', Buffer.concat([Buffer.from(kind), text(name)]));
}

export function execute(portal: string, rows = 0): Buffer {
  return message('E', Buffer.concat([text(portal), int32(rows)]));
}

export const sync = message('S', Buffer.alloc(0));
export const flush = message('H', Buffer.alloc(0));
export const copyDone = message('c', Buffer.alloc(0));

export function copyData(data: string): Buffer {
  return message('d', Buffer.from(data));
}

/** One statement by the extended protocol, without Sync. */
export function run(sql: string, values: readonly (string | Buffer | null)[] = []): Buffer {
  return Buffer.concat([parse('', sql), bind('', '', values), execute('')]);
}

/** A CancelRequest over a connection of its own. */
export async function cancel(port: number, processId: number, secret: Buffer): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  socket.end(Buffer.concat([int32(12 + secret.length), int32(80877102), int32(processId), secret]));
  socket.resume();
  await once(socket, 'close');
}
