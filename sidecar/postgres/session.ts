/** One client and one server connection, from the first query to the end: moves bytes, and lets neither side outrun the other. */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { VoidReason } from '../approval/gateway.ts';
import { keepChunk } from '../net/socket.ts';
import { expectSoon } from '../net/spin.ts';
import type { Pipeline } from '../pipeline.ts';
import type { SessionRecorder } from '../record/recorder.ts';
import type { Answers } from './answers.ts';
import type { Exchange } from './exchange.ts';
import type { Requests } from './requests.ts';
import type { ServerLink } from './server.ts';
import { RowError } from './rows/row-error.ts';
import { fatal } from './signin.ts';
import { encodeParameterStatus } from './wire/backend.ts';
import { WireError } from './wire/error.ts';
import type { FrameReader } from './wire/frame.ts';
import { TERMINATE } from './wire/frontend.ts';

export interface SessionParts {
  readonly client: Socket;
  readonly clientReader: FrameReader;
  readonly server: ServerLink;
  readonly exchange: Exchange;
  readonly pipeline: Pipeline;
  readonly recorder: SessionRecorder;
  readonly log: Logger;
  /** Milliseconds without a byte of the client and with nothing under way; undefined for ever. */
  readonly idleTimeout: number | undefined;
  readonly cancelServer: () => Promise<void>;
}

/** A client may send on while it waits for a person, up to so many bytes; then its socket is not read. */
const MAX_BACKLOG = 1024 * 1024;
/** Messages that were sent on and are not answered yet. */
const MAX_UNANSWERED = 4_096;
const UNREAD_INTERVAL = 500;
const UNCHANGED = encodeParameterStatus('client_encoding', 'UTF8');

export class Session {
  readonly #parts: SessionParts;
  #requests: Requests | undefined;
  #answers: Answers | undefined;
  /** A message of the client is being decided. */
  #deciding = false;
  readonly #backlog: Buffer[] = [];
  #backlogLength = 0;
  #serverBusy = false;
  #unread: NodeJS.Timeout | undefined;
  /** Why the session is to end as soon as nothing is under way. */
  #draining: string | undefined;
  #ended = false;
  readonly #closed: Promise<void>;
  #close: () => void = () => undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#closed = new Promise((done) => {
      this.#close = done;
    });
  }

  /** Resolves when the session has ended and its recording is closed. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  start(requests: Requests, answers: Answers, rest: Buffer): void {
    this.#requests = requests;
    this.#answers = answers;
    const { client, server } = this.#parts;
    client.on('data', (chunk: Buffer) => this.#fromClient(chunk));
    client.on('drain', () => this.#resumeServer());
    client.on('end', () => this.end('the client closed the connection'));
    client.on('close', () => this.end('the client closed the connection'));
    client.on('error', (error) => this.end(`the client's connection failed: ${error.message}`));
    server.socket.on('data', (chunk: Buffer) => this.#fromServer(chunk));
    server.socket.on('drain', () => this.#resumeClient());
    server.socket.on('end', () => this.#serverGone('the server closed the connection'));
    server.socket.on('close', () => this.#serverGone('the server closed the connection'));
    server.socket.on('error', (error) =>
      this.#serverGone(`the server's connection failed: ${error.message}`),
    );
    this.#watchIdle();
    if (rest.length > 0) this.#fromClient(rest);
    // What came behind the server's first ReadyForQuery.
    this.#pumpServer();
    client.resume();
    server.socket.resume();
    // While nobody listened to it.
    if (server.socket.destroyed) this.#serverGone('the server closed the connection');
  }

  /** The client asked, over another connection, to cancel what it waits for. */
  cancel(): void {
    const { pipeline, exchange } = this.#parts;
    // What was sent before the held one may still run.
    if (pipeline.abortHold('ClientCancelled') && exchange.expectations.size === 0) return;
    this.#parts
      .cancelServer()
      .catch((error: unknown) => this.#parts.log.warn({ err: error }, 'cancel was not passed on'));
  }

  /** Ends the session once; safe to call again. */
  end(reason: string, voids: VoidReason = 'ClientDisconnected'): void {
    if (this.#ended) return;
    this.#ended = true;
    const { client, server, pipeline, exchange, recorder, log } = this.#parts;
    pipeline.abortHold(voids);
    pipeline.close();
    exchange.release();
    exchange.toClient.flush();
    if (!client.destroyed) client.end();
    setTimeout(() => client.destroy(), 1_000).unref();
    if (!server.socket.destroyed) server.socket.end(TERMINATE);
    setTimeout(() => server.socket.destroy(), 1_000).unref();
    recorder
      .close(reason)
      .then(
        ({ digest }) => log.info({ session: recorder.session, reason, digest }, 'session ended'),
        (error: unknown) =>
          log.error({ err: error, session: recorder.session }, 'the recording could not be closed'),
      )
      .finally(this.#close);
  }

  /** Ends it with words for the client. */
  abort(sqlstate: string, message: string, hint = ''): void {
    if (this.#ended) return;
    this.#parts.exchange.toClient.flush();
    fatal(this.#parts.client, sqlstate, message, hint);
    this.end(message, 'SessionEnded');
  }

  /** Ends it with words for the client, and stops on the server what it runs. */
  cut(message: string, hint = ''): void {
    const { exchange, cancelServer, log } = this.#parts;
    if (!this.#ended && exchange.expectations.size > 0)
      cancelServer().catch((error: unknown) => log.warn({ err: error }, 'cancel was not passed on'));
    this.abort('57P01', message, hint);
  }

  /** Ends it now when nothing is under way, else as soon as what is has been answered. */
  drain(reason: string): void {
    this.#draining = reason;
    this.#endDrained(reason);
  }

  #endDrained(reason: string): void {
    if (!this.#deciding && !this.#serverBusy && this.#parts.exchange.idle) this.abort('57P01', reason);
  }

  #watchIdle(): void {
    const { idleTimeout, client, exchange } = this.#parts;
    if (idleTimeout === undefined) return;
    client.setTimeout(idleTimeout, () => {
      if (exchange.idle && !this.#deciding) this.abort('57P05', 'the session was idle for too long');
    });
  }

  /**
   * The end of a connection is seen by reading it. While a client is not read because it sent on and on, only writing to it
   * shows that it has gone, and what nobody waits for must not be approved any more. A parameter as it was is news to no client.
   */
  #watchUnread(): void {
    if (this.#unread !== undefined) return;
    const { client, exchange, pipeline } = this.#parts;
    this.#unread = setInterval(() => {
      if (this.#ended || !client.isPaused()) {
        clearInterval(this.#unread);
        this.#unread = undefined;
      } else if (pipeline.holding && !client.writableNeedDrain) {
        exchange.toClient.send(UNCHANGED);
        exchange.toClient.flush();
      }
    }, UNREAD_INTERVAL);
    this.#unread.unref();
  }

  #serverGone(reason: string): void {
    if (this.#ended) return;
    this.end(reason, 'TargetDisconnected');
  }

  #fromClient(chunk: Buffer): void {
    if (this.#ended) return;
    if (this.#deciding) {
      this.#backlog.push(chunk);
      this.#backlogLength += chunk.length;
      if (this.#backlogLength > MAX_BACKLOG) {
        this.#parts.client.pause();
        this.#watchUnread();
      }
      return;
    }
    this.#pumpClient(chunk);
  }

  #pumpClient(more?: Buffer): void {
    const { clientReader, exchange } = this.#parts;
    try {
      if (more) clientReader.push(more);
      for (;;) {
        const frame = clientReader.next();
        if (!frame) {
          const chunk = this.#backlog.shift();
          if (!chunk) break;
          this.#backlogLength -= chunk.length;
          clientReader.push(chunk);
          continue;
        }
        const waiting = this.#requests?.handle(frame) ?? this.#caughtUp();
        if (this.#ended) return;
        if (waiting) {
          this.#wait(waiting);
          return;
        }
      }
    } catch (error) {
      this.#broken(error, 'the client');
      return;
    }
    if (!exchange.toServer.flush()) this.#parts.client.pause();
    else if (this.#parts.client.isPaused()) this.#parts.client.resume();
    exchange.toClient.flush();
    expectSoon();
  }

  /** A client that sends on and on without reading answers waits until the server's have come through. */
  #caughtUp(): Promise<void> | undefined {
    const { exchange } = this.#parts;
    return exchange.expectations.size > MAX_UNANSWERED ? exchange.drained() : undefined;
  }

  #wait(waiting: Promise<void>): void {
    this.#deciding = true;
    const { exchange } = this.#parts;
    exchange.toServer.flush();
    exchange.toClient.flush();
    waiting.then(
      () => {
        this.#deciding = false;
        if (!this.#ended) this.#pumpClient();
        if (this.#draining !== undefined) this.#endDrained(this.#draining);
      },
      (error: unknown) => this.#broken(error, 'the client'),
    );
  }

  #resumeClient(): void {
    if (!this.#deciding || this.#backlogLength <= MAX_BACKLOG) this.#parts.client.resume();
  }

  #resumeServer(): void {
    if (!this.#serverBusy) this.#parts.server.socket.resume();
  }

  #fromServer(chunk: Buffer): void {
    if (this.#ended) return;
    this.#pumpServer(chunk);
  }

  #pumpServer(more?: Buffer): void {
    const { server, exchange } = this.#parts;
    try {
      if (more) server.reader.push(more);
      for (let frame = server.reader.next(); frame; frame = server.reader.next()) {
        const waiting = this.#answers?.handle(frame);
        if (waiting) {
          this.#serverBusy = true;
          server.socket.pause();
          waiting.then(
            () => {
              this.#serverBusy = false;
              if (this.#ended) return;
              this.#pumpServer();
              // Unless what came behind has to wait again.
              if (!this.#parts.client.writableNeedDrain) this.#resumeServer();
            },
            (error: unknown) => this.#broken(error, 'the server'),
          );
          break;
        }
      }
    } catch (error) {
      // What was let out of it before may not be written yet.
      keepChunk(server.socket);
      this.#broken(error, 'the server');
      return;
    }
    if (!exchange.toClient.flush()) server.socket.pause();
    if (exchange.expectations.size === 0) expectSoon();
    if (this.#draining !== undefined) this.#endDrained(this.#draining);
    // What was not written at once, or not read yet, lies in the server's chunk.
    if (this.#serverBusy || this.#parts.client.writableLength > 0) keepChunk(server.socket);
  }

  /** Bytes that cannot be, or a fault of ours: the session ends, and nothing more goes either way. */
  #broken(error: unknown, side: string): void {
    const { log, recorder } = this.#parts;
    if (error instanceof WireError) {
      log.warn(
        { session: recorder.session, code: error.code },
        `${side} sent what cannot be taken: ${error.message}`,
      );
      this.abort(
        '08P01',
        side === 'the client' ? `protocol violation: ${error.message}` : 'the server broke the protocol',
      );
      return;
    }
    if (error instanceof RowError) {
      log.error(
        { session: recorder.session, code: error.code },
        `an answer could not be masked: ${error.message}`,
      );
      this.abort(
        '42501',
        'an answer could not be masked, and the session is ended',
        'Tell the platform team.',
      );
      return;
    }
    log.error({ err: error, session: recorder.session }, 'a fault of ours');
    this.abort(
      'XX000',
      'an internal error ended this session',
      'Tell the platform team; the log has the cause.',
    );
  }
}
