/**
 * The admission server: AdmissionReview over HTTPS, one handler a path. The API server treats whatever is not a good answer as a
 * failure of the webhook, which refuses (`failurePolicy: Fail`); a handler that throws or takes too long refuses with a reason.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { startHttps, type HttpsServer } from '../https.ts';
import { Shares } from '../shares.ts';
import type { Certificates } from './certificate-source.ts';
import { answerReview, parseReview, type AdmissionAnswer, type AdmissionRequest } from './review.ts';

/** What answers at one path. A rejection is a refusal. */
export type Handler = (request: AdmissionRequest) => Promise<AdmissionAnswer> | AdmissionAnswer;

export interface AdmissionOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** All addresses when not given. */
  readonly address?: string;
  readonly certificates: Certificates;
  /** By path, for example `/inject`. */
  readonly handlers: Readonly<Record<string, Handler>>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Called once for each answer, for metrics; milliseconds. */
  readonly observe?: (path: string, kind: AdmissionAnswer['kind'], duration: number) => void;
}

/** The API server takes at most 3 MiB of an object; a review holds two and what stands around them. */
const MAX_BODY = 8 * 1024 * 1024;
/**
 * Bytes of bodies in memory, as far as they have come. Anyone in the cluster reaches this port, agents too: of one address a tenth, which
 * takes the largest review and hundreds of usual ones at a time; an API server that sends more is told to come again.
 */
const INTAKE = 96 * 1024 * 1024;
/** An API server has 200 changes under way at most, unless it is told otherwise. */
const CONNECTIONS = { whole: 2048, each: 204 };
/** Seconds. client-go, and so the API server, repeats the call then, within the webhook's time-out. */
const RETRY_AFTER = '1';
/** Milliseconds. Below the webhooks' own 10 s, so that the reason reaches the user. */
const HANDLER_DEADLINE = 8_000;
const REQUEST_DEADLINE = 10_000;
/** Longer than an API server keeps idle connections (90 s): it must be the one to close, or its next request is lost. */
const IDLE_DEADLINE = 150_000;

/** Rejects when it cannot listen. */
export function startAdmission(options: AdmissionOptions): Promise<HttpsServer> {
  const intake = new Shares({ whole: INTAKE, each: INTAKE / 10 });
  return startHttps({
    ...options,
    minVersion: 'TLSv1.2',
    connections: CONNECTIONS,
    limits: {
      handshakeTimeout: REQUEST_DEADLINE,
      headersTimeout: REQUEST_DEADLINE,
      requestTimeout: REQUEST_DEADLINE,
      keepAliveTimeout: IDLE_DEADLINE,
      maxHeaderSize: 16 * 1024,
    },
    patience: REQUEST_DEADLINE,
    serve: (request, response) => void serve(options, intake, request, response),
  });
}

async function serve(
  options: AdmissionOptions,
  intake: Shares,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // The query holds the API server's `timeout`.
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const handler = Object.hasOwn(options.handlers, path) ? options.handlers[path] : undefined;
  if (handler === undefined) return end(response, 404, 'no such path');
  if (request.method !== 'POST') return end(response, 405, 'only POST');
  const body = await read(request, intake);
  if (body.kind === 'too-much') return end(response, 503, 'too much at once', { 'retry-after': RETRY_AFTER });
  if (body.kind === 'too-long') return end(response, 413, 'too long');
  if (body.kind === 'broken') return void response.destroy();
  const review = parseReview(parsed(body.text));
  if (review === undefined) return end(response, 400, 'not an AdmissionReview of admission.k8s.io/v1');
  const began = performance.now();
  const answer = await answered(options, path, handler, review);
  const text = JSON.stringify(answerReview(review, answer));
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
  options.observe?.(path, answer.kind, performance.now() - began);
}

async function answered(
  { log }: AdmissionOptions,
  path: string,
  handler: Handler,
  review: AdmissionRequest,
): Promise<AdmissionAnswer> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const deadline = setTimeout(() => resolve('late'), HANDLER_DEADLINE);
  try {
    const answer = await Promise.race([Promise.resolve(review).then(handler), late]);
    if (answer !== 'late') return answer;
    log.error({ path, uid: review.uid }, 'an admission request took too long');
  } catch (error) {
    const message = error instanceof Error ? error.message : 'something that is no error was thrown';
    log.error({ path, uid: review.uid, message }, 'an admission request failed');
  } finally {
    clearTimeout(deadline);
  }
  const message = 'sidewarden could not check this request, so it is refused; try again';
  return { kind: 'refused', code: 403, message };
}

type Body =
  | { readonly kind: 'read'; readonly text: string }
  | { readonly kind: 'too-long' }
  /** Beside what else is being read. */
  | { readonly kind: 'too-much' }
  | { readonly kind: 'broken' };

async function read(request: IncomingMessage, intake: Shares): Promise<Body> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY) return { kind: 'too-long' };
  const from = request.socket.remoteAddress ?? '';
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // An IncomingMessage without an encoding yields Buffers, says Node's documentation.
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (length + chunk.length > MAX_BODY) return { kind: 'too-long' };
      if (!intake.take(from, chunk.length)) return { kind: 'too-much' };
      length += chunk.length;
      chunks.push(chunk);
    }
    return { kind: 'read', text: Buffer.concat(chunks).toString('utf8') };
  } catch {
    return { kind: 'broken' };
  } finally {
    intake.give(from, length);
  }
}

/** Undefined when it is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function end(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close', ...headers });
  response.end(`${message}\n`);
}
