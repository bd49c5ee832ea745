/** A client that keeps every message it gets, in order and whole: what its transcript lacks, it never saw. */
import { connect, type Socket } from 'node:net';
import { MessageBuilder } from '../../sidecar/postgres/wire/message.ts';

/** One thing that a client sends; its answer ends with ReadyForQuery. */
export type Step = string | DetailedStep;

interface DetailedStep {
  readonly text: string;
  /** Text values for `$1`…: makes it the extended protocol, as do `format`, `rows` and `blind`. */
  readonly values?: readonly (string | null)[];
  /** Format of the results. */
  readonly format?: 0 | 1;
  /** Rows for each of three Executes; all at once when not given. */
  readonly rows?: number;
  /** Only Parse and Describe. */
  readonly describe?: boolean;
  /** Without Describe of the portal. */
  readonly blind?: boolean;
  /** What COPY FROM STDIN gets. */
  readonly copy?: Buffer | string;
}

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

interface Message {
  readonly tag: string;
  readonly body: Buffer;
}

interface Waiting {
  readonly done: (messages: readonly Message[]) => void;
  readonly timer: NodeJS.Timeout;
}

/** Milliseconds. An answer that takes longer is a hang, which is a fault of its own. */
const PATIENCE = 60_000;

const sync = new MessageBuilder('S').end();

function startup({ user, database }: Endpoint): Buffer {
  const builder = new MessageBuilder('').int32(3 << 16);
  for (const text of ['user', user, 'database', database, 'application_name', 'attack', ''])
    builder.string(text);
  return builder.end();
}

function bind(parameters: readonly (string | null)[], format: 0 | 1): Buffer {
  const builder = new MessageBuilder('B').string('').string('').int16(0).int16(parameters.length);
  for (const value of parameters) {
    if (value === null) builder.int32(-1);
    else builder.int32(Buffer.byteLength(value)).bytes(Buffer.from(value));
  }
  return builder.int16(1).int16(format).end();
}

/** The messages of a step, up to what ReadyForQuery answers. */
function request(step: Step): Buffer {
  if (typeof step === 'string') return new MessageBuilder('Q').string(step).end();
  const { text, format, values, rows, describe = false, blind = false } = step;
  const simple = values === undefined && format === undefined && rows === undefined && !describe && !blind;
  if (simple) return request(text);
  const parse = new MessageBuilder('P').string('').string(text).int16(0).end();
  if (describe) return Buffer.concat([parse, new MessageBuilder('D').byte(0x53).string('').end(), sync]);
  const parts = [parse, bind(values ?? [], format ?? 0)];
  if (!blind) parts.push(new MessageBuilder('D').byte(0x50).string('').end());
  const execute = new MessageBuilder('E')
    .string('')
    .int32(rows ?? 0)
    .end();
  parts.push(execute);
  if (rows !== undefined) parts.push(execute, execute);
  return Buffer.concat([...parts, sync]);
}

export class Attacker {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #messages: Message[] = [];
  #waiting: Waiting | undefined;
  #copy: Buffer | string | undefined;
  #closed = false;
  /** As ReadyForQuery told: `I`, `T`, `E`. */
  status = 'I';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#finish();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Signs in, without a password. */
  static async connect(endpoint: Endpoint): Promise<Attacker> {
    const attacker = new Attacker(connect({ host: endpoint.host, port: endpoint.port, noDelay: true }));
    const first = await attacker.#answer(startup(endpoint));
    if (attacker.closed) throw new Error(`no session: ${first.join(' ')}`);
    return attacker;
  }

  /** Every message of the answer as a line: its tag, then its body byte for byte as latin1 characters. */
  async run(step: Step): Promise<readonly string[]> {
    this.#copy = typeof step === 'string' ? undefined : step.copy;
    return this.#answer(request(step));
  }

  close(): void {
    this.#socket.destroy();
  }

  async #answer(bytes: Buffer): Promise<readonly string[]> {
    if (this.#closed) return ['closed'];
    const messages = await new Promise<readonly Message[]>((done) => {
      const timer = setTimeout(() => {
        this.#messages.push({ tag: 'hang', body: Buffer.alloc(0) });
        this.close();
        this.#finish();
      }, PATIENCE);
      this.#waiting = { done, timer };
      this.#socket.write(bytes);
    });
    const lines = messages.map(line);
    return this.closed ? [...lines, 'closed'] : lines;
  }

  #take(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    while (this.#buffer.length - at >= 5) {
      const end = at + 1 + this.#buffer.readInt32BE(at + 1);
      if (end > this.#buffer.length) break;
      this.#message(this.#buffer.toString('latin1', at, at + 1), this.#buffer.subarray(at + 5, end));
      at = end;
    }
    this.#buffer = this.#buffer.subarray(at);
  }

  #message(tag: string, body: Buffer): void {
    this.#messages.push({ tag, body: Buffer.from(body) });
    if (tag === 'G') this.#answerCopy();
    if (tag !== 'Z') return;
    this.status = body.toString('latin1');
    this.#finish();
  }

  #answerCopy(): void {
    const data = Buffer.from(this.#copy ?? '');
    const done = new MessageBuilder('c').end();
    this.#socket.write(Buffer.concat([new MessageBuilder('d').bytes(data).end(), done]));
  }

  #finish(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const messages = this.#messages;
    this.#messages = [];
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    waiting.done(messages);
  }
}

function line({ tag, body }: Message): string {
  // A NotificationResponse begins with the sender's process id; an error names a line of the server's source.
  if (tag === 'A') return `A ${body.toString('latin1', 4)}`;
  return `${tag} ${body.toString('latin1')}`;
}

/** SQLSTATE and message of the first error in an answer. */
export function errorOf(
  lines: readonly string[],
): { readonly code: string; readonly text: string } | undefined {
  const error = lines.find((one) => one.startsWith('E '));
  if (error === undefined) return undefined;
  const fields = error.slice(2).split('\0');
  const field = (name: string) => fields.find((one) => one.startsWith(name))?.slice(1) ?? '';
  return { code: field('C'), text: `${field('M')} ${field('D')}`.trim() };
}

/** Values of the rows in an answer, as latin1 text; null is SQL NULL. */
export function rowsOf(lines: readonly string[]): readonly (readonly (string | null)[])[] {
  return lines
    .filter((one) => one.startsWith('D '))
    .map((one) => valuesOf(Buffer.from(one.slice(2), 'latin1')));
}

function valuesOf(body: Buffer): readonly (string | null)[] {
  const found: (string | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    found.push(length < 0 ? null : body.toString('latin1', at, at + length));
    at += Math.max(0, length);
  }
  return found;
}
