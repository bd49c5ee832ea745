/**
 * The broker's HTTPS server: a closed set of routes, each request with a pod's token, answers in the protocol's own words. Whose a
 * request is gets settled before its body is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BrokerError } from '../../sidecar/broker/protocol.ts';
import { KubeError } from '../kube/kube.ts';
import type { Certificates } from '../admission/certificate-source.ts';
import { startHttps, type HttpsServer } from '../https.ts';
import { ProvisionError } from '../provision/provision-error.ts';
import { RecordingsError } from '../recordings/recordings-error.ts';
import { Broker, type BrokerParts } from './broker.ts';
import { BrokerFailure, STATUS } from './broker-failure.ts';
import { Callers, type Caller } from './caller.ts';
import { Hidden } from './hidden.ts';
import { Quota } from './quota.ts';

export interface BrokerOptions extends BrokerParts {
  /** 0 for any free one. */
  readonly port: number;
  /** All addresses when not given. */
  readonly address?: string;
  readonly certificates: Certificates;
  /** Called once for each answer, for metrics; milliseconds. Of a stream, until it began. */
  readonly observe?: (route: string, code: 'ok' | BrokerError['code'], duration: number) => void;
}

export interface BrokerServer {
  readonly port: number;
  /** Sidecars that listen to this replica. */
  readonly streams: () => number;
  /** Ends the streams, so that sidecars go to another replica, lets requests that are there be answered, and ends all connections. */
  close(): Promise<void>;
}

type Route = (broker: Broker, caller: Caller, request: IncomingMessage) => Promise<object>;

const STREAM = 'GET /v1/configuration';
const ROUTES: Readonly<Record<string, Route>> = {
  'POST /v1/sessions': (broker, caller, request) => broker.openSession(caller, request),
  'POST /v1/targets': (broker, caller, request) => broker.locate(caller, request),
  'POST /v1/sessions/report': (broker, caller, request) => broker.report(caller, request),
  'POST /v1/approvals': (broker, caller, request) => broker.ask(caller, request),
  'POST /v1/approvals/end': (broker, caller, request) => broker.endApproval(caller, request),
  'POST /v1/approvals/lost': (broker, caller, request) => broker.loseApprovals(caller, request),
  'POST /v1/recordings/seal': (broker, caller, request) => broker.seal(caller, request),
  'POST /v1/recordings/upload': (broker, caller, request) => broker.upload(caller, request),
  'PUT /v1/recordings/file': (broker, caller, request) => broker.keep(caller, request),
};

/** Milliseconds. */
const HEADERS_DEADLINE = 10_000;
/** A whole request: a file takes long; messages have their own, shorter deadline. */
const REQUEST_DEADLINE = 10 * 60_000;
/** Each connection costs 75 KB: those that wait for a next request are not many of them. */
const IDLE_DEADLINE = 5_000;
const CLOSE_DEADLINE = 8_000;
const MAX_HEADERS = 24 * 1024;
/**
 * Anyone in the cluster reaches this port. In all as many as fit into the 512 MiB that the chart gives: at 56 KB each, with those of
 * admission and its bodies, beside what the operator itself takes. Of one address a tenth. A sidecar opens 34 at most; but there are
 * networks where all pods of a node come from its one address: 110 of them, each with a stream and requests now and then. Whom one replica
 * refuses, that asks the other.
 */
const CONNECTIONS = { whole: 2560, each: 256 };

/** Rejects when it cannot listen. */
export async function startBroker(options: BrokerOptions): Promise<BrokerServer> {
  const broker = new Broker(options);
  const front = new Front(options, broker);
  let server: HttpsServer;
  try {
    server = await startHttps({
      ...options,
      minVersion: 'TLSv1.3',
      limits: {
        handshakeTimeout: HEADERS_DEADLINE,
        headersTimeout: HEADERS_DEADLINE,
        requestTimeout: REQUEST_DEADLINE,
        keepAliveTimeout: IDLE_DEADLINE,
        maxHeaderSize: MAX_HEADERS,
      },
      connections: CONNECTIONS,
      patience: CLOSE_DEADLINE,
      serve: (request, response) => void front.serve(request, response),
    });
  } catch (error) {
    await broker.close();
    throw error;
  }
  return {
    port: server.port,
    streams: () => broker.streams,
    close: async () => {
      const closed = server.close();
      await broker.close();
      await closed;
    },
  };
}

class Front {
  readonly #options: BrokerOptions;
  readonly #broker: Broker;
  readonly #callers: Callers;
  readonly #quota = new Quota();

  constructor(options: BrokerOptions, broker: Broker) {
    this.#options = options;
    this.#broker = broker;
    this.#callers = new Callers(options.kube);
  }

  /** Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const began = performance.now();
    const route = `${request.method ?? ''} ${request.url ?? ''}`;
    const known = route === STREAM || Object.hasOwn(ROUTES, route) ? route : 'unknown';
    const gone = new AbortController();
    response.on('error', () => undefined);
    response.on('close', () => gone.abort());
    const code = await this.#answer(route, request, response, gone.signal).then(
      () => 'ok' as const,
      (error: unknown) => this.#fail(known, request, response, error),
    );
    this.#options.observe?.(known, code, performance.now() - began);
  }

  async #answer(
    route: string,
    request: IncomingMessage,
    response: ServerResponse,
    gone: AbortSignal,
  ): Promise<void> {
    const { authorization } = request.headers;
    const caller = await this.#callers.identify(authorization, request.socket.remoteAddress ?? '');
    if (gone.aborted) return;
    const handler = Object.hasOwn(ROUTES, route) ? ROUTES[route] : undefined;
    if (handler === undefined && route !== STREAM)
      throw new BrokerFailure('not-found', 'the broker has no such route');
    const leave = this.#quota.enter(caller.podUid);
    gone.addEventListener('abort', leave, { once: true });
    if (handler === undefined) return this.#broker.configuration(caller, response, gone);
    const answer = await handler(this.#broker, caller, request);
    send(response, 200, answer instanceof Hidden ? answer.reveal() : answer);
  }

  #fail(
    route: string,
    request: IncomingMessage,
    response: ServerResponse,
    error: unknown,
  ): BrokerError['code'] {
    const failure = failureOf(error);
    if (failure.code === 'unavailable' && !(error instanceof BrokerFailure))
      this.#options.log.warn({ route, message: messageOf(error) }, 'the broker could not answer');
    if (response.headersSent) response.destroy();
    else {
      // Nothing that was not read is read as another request.
      if (!request.complete) response.setHeader('connection', 'close');
      send(response, STATUS[failure.code], { code: failure.code, message: failure.message.slice(0, 4096) });
    }
    return failure.code;
  }
}

/** `body` is plain JSON. */
function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}

/** The one place where foreign errors become the protocol's: only what is known to be for people goes out. */
function failureOf(error: unknown): BrokerFailure {
  if (error instanceof BrokerFailure) return error;
  if (error instanceof KubeError)
    return new BrokerFailure('unavailable', 'the API server cannot be asked now; try again', error);
  if (error instanceof ProvisionError) return new BrokerFailure('unavailable', error.message, error);
  if (error instanceof RecordingsError) {
    const code = error.code === 'invalid' ? 'invalid' : 'unavailable';
    return new BrokerFailure(code, error.message, error);
  }
  return new BrokerFailure('unavailable', 'something failed; try again', error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'something that is no error was thrown';
}
