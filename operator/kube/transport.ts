/** HTTPS to the API server. Connections are kept open and reused. */
import { Agent, request, type RequestOptions } from 'node:https';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { KubeError } from './kube.ts';
import { isJson } from './object.ts';

export type SignedOptions = Omit<RequestOptions, 'headers'> & { headers: OutgoingHttpHeaders };

/** Where the API server is, and how to sign in there; the client library's configuration is one. */
export interface ClusterAccess {
  getCurrentCluster(): { readonly server: string; readonly proxyUrl?: string | undefined } | null;
  /** Sets authority and credentials, and the agent where there is a proxy. */
  applyToHTTPSOptions(options: SignedOptions): Promise<void>;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; JSON when not given. */
  readonly contentType?: string;
  /** Ends the call early. */
  readonly stop?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const CALL_LIMIT_MS = 30_000;
/** The API server sends a bookmark about once a minute: a watch that is silent for longer is dead. */
const SILENCE_LIMIT_MS = 150_000;
const KEEP_ALIVE_MS = 15_000;

export class Transport {
  readonly #config: ClusterAccess;
  readonly #server: URL;
  readonly #proxied: boolean;
  readonly #agent = new Agent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxFreeSockets: 16 });
  readonly #closing = new AbortController();
  readonly #beginning: number;

  /**
   * A streamed answer must begin within `beginning` milliseconds. Throws a `KubeError` when the configuration names no server that is
   * reached by TLS.
   */
  constructor(config: ClusterAccess, { beginning = CALL_LIMIT_MS } = {}) {
    this.#beginning = beginning;
    const cluster = config.getCurrentCluster();
    if (!cluster?.server.startsWith('https://'))
      throw new KubeError('the configuration names no API server with an https:// address', undefined);
    this.#config = config;
    this.#server = new URL(cluster.server);
    this.#proxied = cluster.proxyUrl !== undefined;
  }

  /** Any answer is a value; rejects with a `KubeError` when there is none, or it is no JSON. */
  async call(call: Call): Promise<Answer> {
    const limit = AbortSignal.timeout(CALL_LIMIT_MS);
    const signal = AbortSignal.any([limit, this.#closing.signal, ...(call.stop ? [call.stop] : [])]);
    const attempt = async () => {
      const response = await this.#open(call, signal);
      return { status: response.statusCode ?? 0, body: parse(call, await readAll(response)) };
    };
    try {
      return await attempt();
    } catch (error) {
      // A kept connection may have been closed under the request; only what changes nothing is safe to repeat.
      if (call.method !== 'GET' || signal.aborted || !isReset(error)) throw noAnswer(call, error, limit);
      return attempt().catch((again: unknown) => {
        throw noAnswer(call, again, limit);
      });
    }
  }

  /** The lines of a streamed answer; throws a `KubeError`, with the status when it is not 200, also when it falls silent. */
  async *lines(call: Call & { readonly stop: AbortSignal }): AsyncGenerator<string> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), this.#beginning);
    const signal = AbortSignal.any([call.stop, this.#closing.signal, late.signal]);
    try {
      const response = await this.#open(call, signal);
      if (response.statusCode !== 200) {
        const body = parse(call, await readAll(response));
        throw refusal(call, { status: response.statusCode ?? 0, body });
      }
      clearTimeout(timer);
      response.setTimeout(SILENCE_LIMIT_MS, () => response.destroy(new Error('silent for too long')));
      yield* split(response);
    } catch (error) {
      throw noAnswer(call, error, late.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#closing.abort();
    this.#agent.destroy();
  }

  async #open(call: Call, signal: AbortSignal): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const options: SignedOptions = { method: call.method, signal, headers: headersOf(call, body) };
    // Reads a rotated token or certificate anew.
    await this.#config.applyToHTTPSOptions(options);
    // The library's agent does not keep connections; a proxy's agent is the library's.
    if (!this.#proxied) options.agent = this.#agent;
    const url = new URL(this.#server);
    url.pathname = `${this.#server.pathname.replace(/\/$/u, '')}${call.path}`;
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    return new Promise((resolve, reject) => {
      const sent = request(url, options, resolve);
      sent.on('error', reject);
      sent.on('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
      sent.end(body);
    });
  }
}

/** What the API server said no with, as an error; its message when it gave one. */
export function refusal(call: Call, { status, body }: Answer): KubeError {
  return new KubeError(`${call.method} ${call.path}: ${status} ${messageOf(body)}`.trimEnd(), status);
}

/** The message of a `Status`; empty when it is none. */
export function messageOf(body: unknown): string {
  return isJson(body) && typeof body['message'] === 'string' ? body['message'] : '';
}

function headersOf({ contentType = 'application/json' }: Call, body: string | undefined) {
  const common = { accept: 'application/json', 'user-agent': 'sidewarden-operator' };
  if (body === undefined) return common;
  return { ...common, 'content-type': contentType, 'content-length': Buffer.byteLength(body) };
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function* split(response: IncomingMessage): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    const [first = '', ...rest] = decoder.write(chunk).split('\n');
    parts.push(first);
    for (const next of rest) {
      yield parts.join('');
      parts = [next];
    }
  }
  // A line without its end was cut.
  if (parts.join('') !== '') throw new Error('the answer was cut');
}

function parse(call: Call, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Plain text comes from proxies, and from an API server that is starting; the text itself may hold anything.
    if (text.length < 1024 && !text.startsWith('{')) return { message: text };
    throw new KubeError(`${call.method} ${call.path}: the answer is no JSON`, undefined);
  }
}

function isReset(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

function noAnswer(call: Call, error: unknown, limit: AbortSignal): KubeError {
  if (error instanceof KubeError) return error;
  const why = limit.aborted ? 'no answer in time' : error instanceof Error ? error.message : '';
  return new KubeError(`${call.method} ${call.path}: ${why}`, undefined, error);
}
