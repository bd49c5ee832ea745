/** A sidecar as far as the broker sees one: requests and the stream, with nothing clever. */
import { request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { parseBrokerEvent, type BrokerEvent } from '../../sidecar/broker/protocol.ts';

export interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export class TestSidecar {
  readonly #port: number;
  readonly #ca: string;
  readonly #token: string | undefined;
  readonly #name: string | undefined;

  /** `name`: whom the certificate must be for; 127.0.0.1 when not given. */
  constructor(port: number, ca: string, token: string | undefined, name?: string) {
    this.#port = port;
    this.#ca = ca;
    this.#token = token;
    this.#name = name;
  }

  post(path: string, body: unknown): Promise<Reply> {
    return this.send('POST', path, JSON.stringify(body), { 'content-type': 'application/json' });
  }

  async send(
    method: string,
    path: string,
    body: string | Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    const response = await this.#ask(method, path, body, headers);
    return reply(response);
  }

  /** For what answers no JSON. */
  async plain(method: string, path: string): Promise<{ readonly status: number; readonly text: string }> {
    const response = await this.#ask(method, path, '', {});
    const text = Buffer.concat(await response.toArray()).toString();
    return { status: response.statusCode ?? 0, text };
  }

  #ask(
    method: string,
    path: string,
    body: string | Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<IncomingMessage> {
    const request = this.request(method, path, headers);
    return new Promise((resolve, reject) => {
      request.on('response', resolve);
      // What the broker does not read can end in a broken pipe, after its answer.
      request.on('error', reject);
      request.end(body);
    });
  }

  request(method: string, path: string, headers: Readonly<Record<string, string>> = {}): ClientRequest {
    const authorization = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
    return httpsRequest({
      host: '127.0.0.1',
      port: this.#port,
      ca: this.#ca,
      ...(this.#name === undefined ? {} : { servername: this.#name }),
      agent: false,
      method,
      path,
      headers: { ...authorization, ...headers },
    });
  }

  /** Rejects with the reply when it is none. */
  async listen(): Promise<TestStream> {
    const request = this.request('GET', '/v1/configuration');
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on('response', resolve);
      request.on('error', reject);
      request.end();
    });
    if (response.statusCode !== 200) throw Object.assign(new Error('refused'), await reply(response));
    return new TestStream(request, response);
  }
}

async function reply(response: IncomingMessage): Promise<Reply> {
  const body = Buffer.concat(await response.toArray()).toString();
  return { status: response.statusCode ?? 0, body: JSON.parse(body) };
}

type Kind = BrokerEvent['kind'];

export class TestStream {
  readonly events: BrokerEvent[] = [];
  readonly ended: Promise<void>;
  /** The text of all that came. */
  text = '';
  readonly #request: ClientRequest;
  readonly #waiting = new Set<() => void>();
  #read = 0;

  constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request;
    let rest = '';
    response.setEncoding('utf8').on('data', (part: string) => {
      this.text += part;
      const lines = (rest + part).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    });
    response.on('error', () => undefined);
    request.on('error', () => undefined);
    this.ended = new Promise((resolve) => response.on('close', resolve));
  }

  /** The next event of this kind that was not waited for before; others are passed over. */
  async next(kind: Kind, limit = 60_000): Promise<BrokerEvent> {
    const end = performance.now() + limit;
    for (;;) {
      for (; this.#read < this.events.length; this.#read += 1) {
        const event = this.events[this.#read];
        if (event?.kind !== kind) continue;
        this.#read += 1;
        return event;
      }
      if (performance.now() > end)
        throw new Error(
          `no ${kind} came in ${limit} ms: ${JSON.stringify(this.events.map((each) => each.kind))}`,
        );
      await this.#more(end - performance.now());
    }
  }

  close(): void {
    this.#request.destroy();
  }

  #take(line: string): void {
    const parsed = parseBrokerEvent(JSON.parse(line));
    if (parsed.kind === 'invalid')
      throw new Error(`the broker sent ${line}: ${JSON.stringify(parsed.errors)}`);
    this.events.push(parsed.value);
    for (const wake of this.#waiting) wake();
  }

  #more(limit: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, limit));
      this.#waiting.add(done);
    });
  }
}
