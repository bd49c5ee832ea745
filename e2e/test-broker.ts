/** A broker for tests of the sidecar: real HTTPS, answers as the test says, everything that it is told parsed by the protocol's own parsers. */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Parsed } from '../crds/schema/failure.ts';
import {
  PING,
  parseApprovalEnd,
  parseApprovalMessage,
  parseApprovalsLost,
  parseBrokerEvent,
  parseSealRequest,
  parseUploadRequest,
  parseSessionReport,
  parseSessionRequest,
  parseTargetRequest,
  type ApprovalAnswer,
  type ApprovalEnd,
  type ApprovalMessage,
  type BrokerError,
  type BrokerEvent,
  type SessionAnswer,
  type SessionReport,
  type TargetAnswer,
} from '../sidecar/broker/protocol.ts';
import { createAuthority } from './cluster/certificates.ts';

export interface TestPki {
  /** PEM. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  readonly folder: string;
  readonly tokenFile: string;
  remove(): Promise<void>;
}

/** An authority, a certificate for `broker.test` and loopback, and a token file that holds `token-1`. */
export async function testPki(): Promise<TestPki> {
  const folder = await mkdtemp(join(tmpdir(), 'sidewarden-broker-'));
  const authority = await createAuthority(join(folder, 'ca'));
  const pair = await authority.server(['DNS:broker.test', 'IP:127.0.0.1', 'IP:127.0.0.2']);
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, 'token-1\n');
  return {
    ca: authority.certificate,
    certificate: pair.certificate,
    key: pair.key,
    folder,
    tokenFile,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** What the replicas of a broker share, as the operator's do by the API server. */
export class BrokerState {
  event: BrokerEvent = { kind: 'ping' };
  /** Repeated when a stream begins. */
  readonly decisions = new Map<string, BrokerEvent>();
  session: (connection: string) => SessionAnswer | BrokerError | undefined = () => undefined;
  approval: (message: ApprovalMessage) => ApprovalAnswer | BrokerError = () => ({
    code: 'unavailable',
    message: 'no approvals in this test',
  });
  locate: (connection: string) => TargetAnswer | BrokerError = () => ({
    code: 'unavailable',
    message: 'no targets in this test',
  });
  /** What becomes of a recording's file. */
  upload: () => object = () => ({ kind: 'kept' });
  readonly sessions: string[] = [];
  readonly asked: ApprovalMessage[] = [];
  readonly ends: ApprovalEnd[] = [];
  /** Connections on which a sidecar has begun anew. */
  readonly lost: string[] = [];
  readonly reports: SessionReport[] = [];
  readonly tokens = new Set<string>();
  /** By key. */
  readonly #answered = new Map<string, ApprovalAnswer | BrokerError>();

  ask(message: ApprovalMessage): ApprovalAnswer | BrokerError {
    const known = this.#answered.get(message.key ?? '');
    if (known) return known;
    this.asked.push(message);
    const answer = this.approval(message);
    if (!('code' in answer)) this.#answered.set(message.key ?? '', answer);
    return answer;
  }
}

export class TestBroker {
  readonly state: BrokerState;
  readonly port: number;
  /** Takes requests, and answers none. */
  hanging = false;
  /** Their paths. */
  readonly hung: string[] = [];
  /** Sends nothing on streams that are open. */
  silent = false;
  /** The answer to every request. */
  failing: number | undefined;
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();
  readonly #pings: NodeJS.Timeout;

  static async start(
    pki: TestPki,
    state = new BrokerState(),
    address = '127.0.0.1',
    port = 0,
  ): Promise<TestBroker> {
    const server = createServer({ cert: pki.certificate, key: pki.key });
    await new Promise<void>((done, fail) => {
      server.once('error', fail).listen(port, address, done);
    });
    // A server that listens on a port has an AddressInfo, says Node's documentation.
    return new TestBroker(server, state, (server.address() as AddressInfo).port);
  }

  private constructor(server: Server, state: BrokerState, port: number) {
    this.#server = server;
    this.state = state;
    this.port = port;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      request.on('error', () => undefined);
      response.on('error', () => undefined);
      void this.#serve(request, response);
    });
    this.#pings = setInterval(() => this.send({ kind: 'ping' }), PING);
  }

  get streams(): number {
    return this.#streams.size;
  }

  configure(event: BrokerEvent): void {
    this.state.event = event;
    this.send(event);
  }

  /** Also for streams to come. */
  decide(name: string, outcome: NonNullable<BrokerEvent['outcome']>, connection?: string): void {
    const event: BrokerEvent = {
      kind: 'decision',
      approval: name,
      outcome,
      ...(connection === undefined ? {} : { connection }),
    };
    this.state.decisions.set(name, event);
    this.send(event);
  }

  send(event: BrokerEvent): void {
    const parsed = parseBrokerEvent(event);
    if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
    if (!this.silent) this.write(`${JSON.stringify(event)}\n`);
  }

  write(text: string | Buffer): void {
    for (const stream of this.#streams) stream.write(text);
  }

  /** As a killed process: connections are reset. */
  async stop(): Promise<void> {
    clearInterval(this.#pings);
    this.#streams.clear();
    const closed = new Promise((done) => this.#server.close(done));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.state.tokens.add(request.headers.authorization ?? '');
    if (this.hanging) {
      this.hung.push(request.url ?? '');
      return;
    }
    if (this.failing !== undefined) {
      response.writeHead(this.failing).end('<html>');
      return;
    }
    if (request.url === '/v1/configuration') {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.once('close', () => this.#streams.delete(response));
      this.#streams.add(response);
      response.write(`${JSON.stringify(this.state.event)}\n`);
      for (const event of this.state.decisions.values()) response.write(`${JSON.stringify(event)}\n`);
      return;
    }
    const handedOver = request.url === '/v1/recordings/file';
    if (handedOver) request.resume();
    const answer = handedOver ? this.state.upload() : this.#answer(request.url ?? '', await bodyOf(request));
    const status = 'code' in answer ? (answer.code === 'unavailable' ? 503 : 403) : 200;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  #answer(route: string, body: unknown): object {
    switch (route) {
      case '/v1/sessions': {
        const { connection } = read(parseSessionRequest(body));
        this.state.sessions.push(connection);
        return this.state.session(connection) ?? { code: 'unavailable', message: 'no sessions in this test' };
      }
      case '/v1/targets':
        return this.state.locate(read(parseTargetRequest(body)).connection);
      case '/v1/sessions/report':
        this.state.reports.push(read(parseSessionReport(body)));
        return {};
      case '/v1/recordings/seal':
        read(parseSealRequest(body));
        return { keyId: 'none', signature: 'none' };
      case '/v1/recordings/upload':
        read(parseUploadRequest(body));
        return this.state.upload();
      case '/v1/approvals':
        return this.state.ask(read(parseApprovalMessage(body)));
      case '/v1/approvals/end': {
        const end = read(parseApprovalEnd(body));
        this.state.ends.push(end);
        this.state.decisions.delete(end.name);
        return {};
      }
      case '/v1/approvals/lost':
        this.state.lost.push(read(parseApprovalsLost(body)).connection);
        return {};
      default:
        return { code: 'not-found', message: `no route ${route}` };
    }
  }
}

function read<T>(parsed: Parsed<T>): T {
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  // Without an encoding set, a request yields buffers.
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

/** Resolves when the condition holds; fails with the words given after `limit` milliseconds. */
export async function until(condition: () => boolean, words: string, limit = 60_000): Promise<void> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain: ${words}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
