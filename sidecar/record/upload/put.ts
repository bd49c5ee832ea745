/** One PUT of a file to a presigned URL, straight to the store. Redirects are never followed. */
import { request as plainRequest, type IncomingMessage } from 'node:http';
import { Agent, request as tlsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { giveUpAfter } from '../../net/patience.ts';
import { shortCode } from '../object-store/store-error.ts';

export interface PutTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** CA certificates (PEM) of the store; the system's when undefined. */
  readonly ca: string | undefined;
}

export type PutOutcome =
  | { readonly kind: 'stored' }
  /** Something is there under this name. */
  | { readonly kind: 'exists' }
  /** No secret in the message. */
  | { readonly kind: 'failed'; readonly message: string };

export interface PutOptions {
  readonly bytes: number;
  /** Milliseconds without any progress. */
  readonly idle: number;
  readonly signal?: AbortSignal;
}

const MAX_ANSWER = 64 * 1024;

/** Rejects only when the content cannot be read. */
export async function putFile(
  target: PutTarget,
  content: AsyncIterable<Uint8Array>,
  { bytes, idle, signal }: PutOptions,
): Promise<PutOutcome> {
  const source = new Source(content);
  const secure = target.url.startsWith('https://');
  const request = (secure ? tlsRequest : plainRequest)(target.url, {
    method: 'PUT',
    headers: { ...target.headers, 'content-length': bytes },
    ...(secure && target.ca !== undefined ? { agent: agentFor(target.ca) } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
  giveUpAfter(request, idle);
  const answered = new Promise<PutOutcome>((resolve) => {
    request.on('error', (error) => resolve({ kind: 'failed', message: shortCode(error) }));
    request.once('response', (response) => {
      outcomeOf(response).then(resolve, (error: unknown) =>
        resolve({ kind: 'failed', message: shortCode(error) }),
      );
    });
  });
  // A store may answer before it has read all, and close: its answer is what counts.
  const sent = pipeline(Readable.from(source.parts(), { objectMode: false }), request).catch(() => undefined);
  const outcome = await answered;
  request.destroy();
  await sent;
  if (source.failure !== undefined) throw source.failure;
  return outcome;
}

/** Notes a failure of the content itself. */
class Source {
  readonly #content: AsyncIterable<Uint8Array>;
  failure: Error | undefined;

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#content = content;
  }

  async *parts(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#content;
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }
}

async function outcomeOf(response: IncomingMessage): Promise<PutOutcome> {
  const status = response.statusCode ?? 0;
  let text = '';
  for await (const part of response) {
    // Without an encoding a response gives buffers.
    if (text.length < MAX_ANSWER) text += (part as Buffer).toString('latin1');
  }
  if (status >= 200 && status < 300) return { kind: 'stored' };
  if (status === 412) return { kind: 'exists' };
  const code = /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1] ?? '';
  return { kind: 'failed', message: `status ${status} ${code}`.trim() };
}

const agents = new Map<string, Agent>();

/** One for each CA: connections are kept and used again. */
function agentFor(ca: string): Agent {
  let agent = agents.get(ca);
  if (agent === undefined) {
    agent = new Agent({ keepAlive: true, ca });
    // A CA is changed rarely; the old one's idle connections close by themselves.
    if (agents.size >= 8) agents.clear();
    agents.set(ca, agent);
  }
  return agent;
}
