/**
 * Requests to the operator's broker: HTTPS with nothing trusted but the operator's own authority, and with the pod's token, which is
 * read for each request since the kubelet replaces it.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Parsed } from '../../crds/schema/failure.ts';
import { giveUpAfter } from '../net/patience.ts';
import { AddressBook, type Resolve } from './address-book.ts';
import { Backoff } from './backoff.ts';
import { BrokerRequestError, brokerErrorOf } from './broker-error.ts';
import { MAX_REQUEST, parseBrokerError } from './protocol.ts';

export interface BrokerAddress {
  /** `https://host:port`. */
  readonly url: URL;
  /** PEM; one certificate or several. */
  readonly ca: string;
  readonly tokenFile: string;
  /** How the host is resolved; the system's way when not given. */
  readonly resolve?: Resolve;
}

export interface Asking {
  /** Milliseconds for one try. */
  readonly timeout: number;
  /** Tries again until then while the broker is unavailable, in milliseconds of `performance.now()`; one try when not given. */
  readonly until?: number;
  readonly signal?: AbortSignal;
}

export interface Upload {
  readonly headers: Readonly<Record<string, string>>;
  readonly length: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/** Of an answer; what is larger is none. Events of the stream have a cap of their own. */
const MAX_ANSWER = 1024 * 1024;
const MAX_TOKEN = 65_536;
const UPLOAD_IDLE = 20_000;
/** Until a stream begins, or a refusal has ended. */
const HEADERS = 4_000;

export class BrokerClient {
  readonly #address: BrokerAddress;
  readonly #book: AddressBook;
  readonly #agent: Agent;

  constructor(address: BrokerAddress) {
    this.#address = address;
    this.#book = new AddressBook(address.resolve);
    this.#agent = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4, timeout: 60_000 });
  }

  /** Rejects with a `BrokerRequestError`. */
  async post<T>(
    path: string,
    body: object,
    read: (input: unknown) => Parsed<T>,
    { timeout, until = 0, signal }: Asking,
  ): Promise<T> {
    const text = JSON.stringify(body);
    if (Buffer.byteLength(text) > MAX_REQUEST)
      throw new BrokerRequestError('invalid', 'the request is larger than the broker takes');
    const backoff = new Backoff();
    for (;;) {
      try {
        return await this.#once(path, text, read, timeout, signal);
      } catch (error) {
        const failure = brokerErrorOf(error);
        const wait = backoff.next();
        if (failure.code !== 'unavailable' || signal?.aborted || performance.now() + wait > until)
          throw failure;
        await sleep(wait);
      }
    }
  }

  /** Sends a file of `length` bytes; one try. Rejects with a `BrokerRequestError`. */
  async put<T>(
    path: string,
    { headers, length, content }: Upload,
    read: (input: unknown) => Parsed<T>,
    signal: AbortSignal,
  ): Promise<T> {
    try {
      const token = await readToken(this.#address.tokenFile);
      const request = httpsRequest(new URL(path, this.#address.url), {
        ...this.#options(signal, this.#agent),
        method: 'PUT',
        headers: { ...headers, ...authorization(token), 'content-length': length },
      });
      giveUpAfter(request, UPLOAD_IDLE);
      const answered = once(request, 'response');
      // What goes wrong with the request is told by `answered`.
      answered.catch(() => undefined);
      await pipeline(Readable.from(content, { objectMode: false }), request).catch(() => undefined);
      // The 'response' event has the response as its only argument.
      const [response] = (await answered) as [IncomingMessage];
      return readAnswer(response, await bodyOf(response), read);
    } catch (error) {
      throw brokerErrorOf(error);
    }
  }

  /** The answer to a GET whose body is a stream; the caller ends it. Rejects with a `BrokerRequestError`. */
  async open(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      const response = await this.#send('GET', path, undefined, HEADERS, false, signal);
      if (response.statusCode === 200) return response;
      const timer = setTimeout(() => response.destroy(new Error('the answer does not end')), HEADERS);
      response.once('close', () => clearTimeout(timer));
      throw refusal(response, await bodyOf(response));
    } catch (error) {
      throw brokerErrorOf(error);
    }
  }

  /** What speaks from there does not answer as it should: connections that wait for requests are dropped, others looked for. */
  doubt(address: string | undefined): void {
    this.#book.suspect(address);
    for (const sockets of Object.values(this.#agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }

  close(): void {
    this.#agent.destroy();
  }

  async #once<T>(
    path: string,
    text: string,
    read: (input: unknown) => Parsed<T>,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const limit = AbortSignal.timeout(Math.ceil(timeout));
    const both = signal ? AbortSignal.any([limit, signal]) : limit;
    const response = await this.#send('POST', path, text, timeout, this.#agent, both);
    const { remoteAddress } = response.socket;
    const body = await bodyOf(response);
    try {
      return readAnswer(response, body, read);
    } catch (error) {
      if (brokerErrorOf(error).code === 'unavailable') this.doubt(remoteAddress);
      throw error;
    }
  }

  #options(signal: AbortSignal, agent: Agent | false) {
    const { ca } = this.#address;
    return { agent, ca, minVersion: 'TLSv1.2', lookup: this.#book.lookup, signal } as const;
  }

  async #send(
    method: 'GET' | 'POST',
    path: string,
    text: string | undefined,
    timeout: number,
    agent: Agent | false,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const token = await readToken(this.#address.tokenFile);
    return new Promise((done, fail) => {
      const request = httpsRequest(new URL(path, this.#address.url), {
        ...this.#options(signal, agent),
        method,
        headers: {
          ...authorization(token),
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      });
      const timer = setTimeout(
        () => request.destroy(new Error(`nothing came within ${timeout} ms`)),
        timeout,
      );
      let address: string | undefined;
      request
        .once('socket', (socket) => {
          // Of a socket that was destroyed nothing is known any more.
          address = socket.remoteAddress;
          if (socket.connecting) socket.once('connect', () => (address = socket.remoteAddress));
        })
        .once('response', (response) => {
          clearTimeout(timer);
          this.#book.prove(response.socket.remoteAddress);
          done(response);
        })
        .once('error', (error) => {
          clearTimeout(timer);
          if (!signal.aborted || isTimeout(signal)) this.doubt(address);
          fail(error);
        });
      request.end(text);
    });
  }
}

function authorization(token: string) {
  return { authorization: `Bearer ${token}`, accept: 'application/json' };
}

function readAnswer<T>(response: IncomingMessage, body: string, read: (input: unknown) => Parsed<T>): T {
  if (response.statusCode !== 200) throw refusal(response, body);
  const parsed = read(jsonOf(body));
  if (parsed.kind === 'parsed') return parsed.value;
  const [first] = parsed.errors;
  throw new BrokerRequestError(
    'protocol',
    `the broker's answer cannot be read: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`,
  );
}

function isTimeout({ reason }: AbortSignal): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

/** Never says what is in the file. */
async function readToken(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new BrokerRequestError('unavailable', `the pod's token cannot be read: ${code}`);
  });
  const token = text.trim();
  if (token.length > MAX_TOKEN || !/^[\x21-\x7e]+$/.test(token))
    throw new BrokerRequestError('unavailable', "the pod's token is none");
  return token;
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    // Without an encoding set, a response yields buffers.
    const bytes = part as Buffer;
    length += bytes.length;
    if (length > MAX_ANSWER) {
      response.destroy();
      throw new BrokerRequestError('protocol', "the broker's answer is too large");
    }
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString('utf8');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BrokerRequestError('protocol', "the broker's answer is not JSON");
  }
}

function refusal({ statusCode = 0 }: IncomingMessage, body: string): BrokerRequestError {
  try {
    const parsed = parseBrokerError(JSON.parse(body));
    if (parsed.kind === 'parsed') return new BrokerRequestError(parsed.value.code, parsed.value.message);
  } catch {
    // Not of the broker's making: the status must do.
  }
  const code = statusCode >= 500 || statusCode === 429 ? 'unavailable' : 'protocol';
  return new BrokerRequestError(code, `the broker answered with HTTP status ${statusCode}`);
}
