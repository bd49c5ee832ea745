/** Listens for the clients of one PostgreSQL connection, and puts each session together. */
import { randomBytes } from 'node:crypto';
import { type Server, type Socket, createServer } from 'node:net';
import { type SecureContext, createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { ApprovalEvidence } from '../../crds/approval.ts';
import type { ApprovalGateway } from '../approval/gateway.ts';
import type { ConnectionConfig } from '../configuration.ts';
import { asksForPassword, identify, isInside, isLoopback } from '../identity/identity.ts';
import { observedMasksNote } from '../record/observed-masks.ts';
import { closeServer, listenAt } from '../net/listen.ts';
import { otherUser } from '../net/peer-user.ts';
import type { Identity } from '../operation.ts';
import { Pipeline, type PolicyInForce } from '../pipeline.ts';
import type { PolicyDigest } from '../record/event.ts';
import type { RecordingHeader, SessionRecorder } from '../record/recorder.ts';
import { AnalysisCache, Analyst } from './analyst.ts';
import { Answers } from './answers.ts';
import { CancelKey } from './cancel-key.ts';
import { Catalog } from './catalog/cache.ts';
import { CatalogPoll } from './catalog/poll.ts';
import { TELL, clientFault } from './client-fault.ts';
import { gatherEvidence } from './evidence-gathering.ts';
import { Deciding } from './deciding.ts';
import { Exchange } from './exchange.ts';
import { ExtendedQuery } from './extended-query.ts';
import { SimpleQuery } from './simple-query.ts';
import { createMaskKeys } from '../mask/keys.ts';
import { Masking } from './masking.ts';
import { TypeCatalog } from './rows/type-catalog.ts';
import { Requests } from './requests.ts';
import { type ServerLink, ServerRefusal, cancelServer, connectServer } from './server.ts';
import { Session } from './session.ts';
import { tellHeld, tellObserved } from './telling.ts';
import { startParameters } from './settings.ts';
import { SideConnection } from './side.ts';
import { EVIDENCE_PARAMETERS, SIDE_PARAMETERS } from './side-parameters.ts';
import { type SignIn, fatal, signIn } from './signin.ts';
import type { StatementOperation, StatementState } from './statement-operation.ts';
import { welcome } from './welcome.ts';
import { WireError } from './wire/error.ts';
import { FrameReader } from './wire/frame.ts';
import { frontendLimit } from './wire/frontend.ts';

/** What an adapter is given by the program around it. */
export interface AdapterParts {
  readonly config: ConnectionConfig;
  readonly log: Logger;
  /** The policy in force for who asks; changes when the manifests do. */
  readonly policyFor: (identity: Identity) => PolicyInForce;
  readonly policyDigests: () => readonly PolicyDigest[];
  /** Since when the policy could not be read anew, in milliseconds of `performance.now()`; undefined while it can. */
  readonly staleSince: () => number | undefined;
  readonly approvals: ApprovalGateway;
  readonly openRecording: (
    header: Omit<RecordingHeader, 'session'>,
    config: ConnectionConfig,
    onFailure: (error: Error) => void,
  ) => Promise<SessionRecorder>;
}

type Client = Extract<SignIn, { kind: 'client' }>;

interface Live {
  readonly session: Session;
  readonly recorder: SessionRecorder;
  readonly key: CancelKey;
}

/** Of a client that was told why it is ended, in milliseconds. */
const LAST_WORDS = 1_500;
/** Clients that have not signed in yet. */
const MAX_ENTERING = 256;

export class PostgresAdapter {
  readonly #parts: AdapterParts;
  readonly #server: Server;
  #also: Server | undefined;
  readonly #tls: SecureContext | undefined;
  readonly #live = new Set<Live>();
  readonly #entering = new Set<Socket>();
  /** Recordings that are being opened for clients, until a session has them or they are closed. */
  readonly #opening = new Set<Promise<void>>();
  #closing = false;
  /** All that were accepted and are not closed. */
  readonly #sockets = new Set<Socket>();
  readonly #side: SideConnection;
  readonly #evidence: SideConnection;
  readonly #catalog = new Catalog();
  readonly #cache = new AnalysisCache();
  readonly #templates = new AnalysisCache(500);
  readonly #types = new TypeCatalog();
  /** Of hash masks that hold over all sessions of the connection while the process lives. */
  readonly #maskKey = randomBytes(32);
  readonly #poll: CatalogPoll;
  /** Why nobody may come any more. */
  #revoked: string | undefined;

  constructor(parts: AdapterParts) {
    this.#parts = parts;
    const { listen, target } = parts.config;
    this.#tls =
      listen.tls &&
      createSecureContext({ cert: listen.tls.certificate, key: listen.tls.key, minVersion: 'TLSv1.2' });
    this.#side = new SideConnection(target, SIDE_PARAMETERS);
    this.#evidence = new SideConnection(target, EVIDENCE_PARAMETERS);
    this.#server = this.#newServer();
    this.#poll = new CatalogPoll({
      catalog: this.#catalog,
      query: this.#side.query,
      needed: () => this.#live.size > 0,
      log: parts.log,
    });
  }

  get config(): ConnectionConfig {
    return this.#parts.config;
  }

  /** Resolves with the port when clients can connect. Rejects when the address cannot be had. */
  async listen(): Promise<number> {
    const { address, port, also } = this.#parts.config.listen;
    const bound = await listenAt(this.#server, address, port, this.#parts.log);
    if (also !== undefined && also !== address) await this.#listenAlso(also, bound);
    return bound;
  }

  /** Where there is no such address, nobody can come to it either. */
  async #listenAlso(address: string, port: number): Promise<void> {
    const server = this.#newServer();
    try {
      await listenAt(server, address, port, this.#parts.log);
      this.#also = server;
    } catch (error) {
      this.#parts.log.warn({ err: error, address }, 'not listened for');
    }
  }

  #newServer(): Server {
    const options = { noDelay: true, keepAlive: true, pauseOnConnect: true };
    return createServer(options, (socket) => this.#accept(socket));
  }

  /** Notes a changed or refused policy in every live recording. */
  policyChanged(error: string | null): void {
    const policies = this.#parts.policyDigests();
    for (const { recorder } of this.#live) recorder.append({ kind: 'policy-change', policies, error });
  }

  /** Ends all sessions and closes; resolves when their recordings are closed. */
  async close(reason: string): Promise<void> {
    this.#closing = true;
    this.#poll.close();
    const closed = Promise.all([closeServer(this.#server), this.#also && closeServer(this.#also)]);
    for (const socket of this.#entering) socket.destroy();
    const sessions = [...this.#live].map(({ session }) => session);
    for (const session of sessions) session.abort('57P01', reason);
    await Promise.all([...sessions.map(async (session) => session.closed), ...this.#opening]);
    this.#side.close();
    this.#evidence.close();
    // Whoever was told why has had the time to read it.
    const patience = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, LAST_WORDS);
    await closed;
    clearTimeout(patience);
  }

  get revoked(): boolean {
    return this.#revoked !== undefined;
  }

  /** Cuts all sessions at once, whatever they do, and tells every client from now on why; for good. */
  revoke(reason: string): void {
    this.#revoked = reason;
    for (const { session } of this.#live) session.cut(`this connection was revoked: ${reason}`);
    this.#side.drop();
    this.#evidence.drop();
  }

  /**
   * Takes no more clients, ends sessions as soon as they have nothing under way, and the rest at the deadline (milliseconds of
   * `performance.now()`). Resolves when their recordings are closed.
   */
  async drain(reason: string, deadline: number): Promise<void> {
    this.#closing = true;
    this.#server.close();
    this.#also?.close();
    for (const socket of this.#entering) socket.destroy();
    const sessions = [...this.#live].map(({ session }) => session);
    for (const session of sessions) session.drain(reason);
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()), undefined);
    await Promise.race([late, Promise.all(sessions.map(({ closed }) => closed))]);
    clearTimeout(timer);
    for (const session of sessions) session.cut(reason);
    await this.close(reason);
  }

  #accept(socket: Socket): void {
    const { log } = this.#parts;
    this.#sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
    if (this.#entering.size >= MAX_ENTERING) {
      socket.destroy();
      return;
    }
    this.#entering.add(socket);
    this.#enter(socket)
      .catch((error: unknown) => {
        log.info(
          { client: addressOf(socket), reason: error instanceof Error ? error.message : 'unknown' },
          'sign-in failed',
        );
        // The client may have been told why: time to read it.
        if (error instanceof WireError) setTimeout(() => socket.destroy(), 1_000).unref();
        else socket.destroy();
      })
      .finally(() => this.#entering.delete(socket));
  }

  async #enter(raw: Socket): Promise<void> {
    const { config } = this.#parts;
    const client = await signIn(raw, { tls: this.#tls, password: asksForPassword(config.sources) });
    if (client.kind === 'cancel') {
      for (const { key, session } of this.#live)
        if (key.opens(client.processId, client.secret)) session.cancel();
      raw.destroySoon();
      return;
    }
    const loopback = isLoopback(raw.remoteAddress) && isLoopback(raw.localAddress);
    if (this.#revoked !== undefined) {
      fatal(client.socket, '57P03', `this connection was revoked: ${this.#revoked}`, TELL);
      return;
    }
    const inside = isInside(raw.remoteAddress, raw.localAddress);
    const who = await identify(config.sources, { password: client.password, loopback, inside });
    if (who.kind === 'unknown') {
      this.#parts.log.warn({ why: who.why }, 'a client could not say who it is');
      fatal(
        client.socket,
        '28P01',
        "the run's token was not accepted",
        'Give the token of this run as the password.',
      );
      return;
    }
    const database = client.parameters.get('database');
    if (database !== undefined && database !== config.facts.database) {
      fatal(
        client.socket,
        '3D000',
        `this connection is to the database "${config.facts.database}" and to no other`,
        `Set the client's database to ${config.facts.database}.`,
      );
      return;
    }
    await this.#connect(client, raw, who.identity);
  }

  async #connect(client: Client, raw: Socket, identity: Identity): Promise<void> {
    const { config, log } = this.#parts;
    const parameters = startParameters(client.parameters);
    if (parameters.kind === 'refused') {
      fatal(client.socket, '42501', parameters.message, parameters.hint);
      return;
    }
    let link: ServerLink;
    try {
      link = await connectServer(config.target, parameters.parameters);
    } catch (error) {
      log.error(
        { err: error instanceof ServerRefusal ? { message: error.message } : error },
        'the target could not be reached',
      );
      const { sqlstate, message, hint } = clientFault(error, config.facts.name);
      fatal(client.socket, sqlstate, message, hint);
      return;
    }
    const opening = this.#open(client, raw, identity, link);
    const settled = opening.catch(() => undefined);
    this.#opening.add(settled);
    await opening.finally(() => this.#opening.delete(settled));
  }

  async #open(client: Client, raw: Socket, identity: Identity, link: ServerLink): Promise<void> {
    const { config, log } = this.#parts;
    const leave = () => {
      link.socket.destroy();
      client.socket.destroy();
    };
    if (this.#isGone(client)) return leave();
    let recorder: SessionRecorder;
    try {
      recorder = await this.#parts.openRecording(this.#header(client, raw, identity, link), config, (error) =>
        log.error({ err: error }, 'the recording failed'),
      );
    } catch (error) {
      log.error({ err: error }, 'the recording could not be opened');
      link.socket.destroy();
      fatal(
        client.socket,
        '58030',
        'the recording of this session cannot be written',
        'Tell the platform team.',
      );
      return;
    }
    if (this.#isGone(client)) {
      leave();
      await recorder.close('the client went away while signing in');
    } else this.#begin(client, identity, link, recorder);
  }

  /** Or may not come in any more. */
  #isGone(client: Client): boolean {
    return client.socket.destroyed || this.#closing || this.#revoked !== undefined;
  }

  #header(
    client: Client,
    raw: Socket,
    identity: Identity,
    link: ServerLink,
  ): Omit<RecordingHeader, 'session'> {
    return {
      identity,
      connection: this.#parts.config.facts,
      client: { address: addressOf(raw), applicationName: client.parameters.get('application_name') ?? '' },
      policies: this.#parts.policyDigests(),
      serverVersion: link.parameters.get('server_version') ?? '',
    };
  }

  #begin(client: Client, identity: Identity, link: ServerLink, recorder: SessionRecorder): void {
    const { config, log, approvals } = this.#parts;
    const exchange = new Exchange(link.socket, client.socket);
    const policy = this.#parts.policyFor(identity);
    const record: SessionRecorder['append'] = (event) => recorder.append(event);
    const pipeline = new Pipeline({
      policy,
      recorder,
      approvals,
      clock: Date.now,
      stale: () => this.#stale(),
      observed: (decision) => tellObserved(exchange, decision),
    });
    const shared = {
      catalog: this.#catalog,
      query: this.#side.query,
      cache: this.#cache,
      templates: this.#templates,
    };
    const analyst = new Analyst({
      shared,
      names: exchange.names,
      ask: exchange.ask,
      parseAnew: exchange.parseAnew,
      inTransaction: () => exchange.open,
      maskedViews: this.config.maskedViews,
    });
    const masking = new Masking({
      rules: () => pipeline.masks,
      keys: createMaskKeys(this.#maskKey),
      types: this.#types,
      query: this.#side.query,
      version: () => (analyst.unsettled ? undefined : this.#catalog.version),
    });
    const state = this.#state(client, identity, recorder.session, exchange, analyst, pipeline, link);
    const key = new CancelKey(client.minor);
    const session = new Session({
      client: client.socket,
      clientReader: new FrameReader(frontendLimit(config.limits.messageBytes)),
      server: link,
      exchange,
      pipeline,
      recorder,
      log,
      idleTimeout: config.limits.idleTimeout,
      cancelServer: () => cancelServer(config.target, link),
    });
    const live = { session, recorder, key };
    this.#live.add(live);
    void session.closed.then(() => this.#live.delete(live));
    const rules = () => pipeline.masks;
    const answers = new Answers({ exchange, analyst, masking, rules, record });
    const deciding = new Deciding({ exchange, analyst, pipeline, state, log });
    const { budget } = config.recording;
    const requests = new Requests({
      exchange,
      simple: new SimpleQuery(exchange, deciding, budget),
      extended: new ExtendedQuery(exchange, deciding, masking, budget),
      masking,
      record,
      terminate: () => session.end('the client ended the session'),
    });
    welcome(client.socket, link, key.processId, key.secret);
    log.info({ session: recorder.session, subject: identity.subject }, 'session started');
    const observed = observedMasksNote(policy().observedMasks);
    if (observed) recorder.append(observed);
    session.start(requests, answers, client.rest);
  }

  #state(
    { socket }: Client,
    identity: Identity,
    session: string,
    exchange: Exchange,
    analyst: Analyst,
    pipeline: Pipeline,
    link: ServerLink,
  ): StatementState {
    const { config } = this.#parts;
    return {
      connection: config.facts,
      identity,
      session,
      maxPendingApprovals: config.limits.pendingApprovals,
      clientUser: () => otherUser(socket),
      role: () => analyst.role,
      searchPath: () => analyst.searchPath,
      settled: () => exchange.drained(),
      transaction: () => exchange.transaction,
      evidence: (operation: StatementOperation): Promise<ApprovalEvidence> =>
        gatherEvidence(operation, {
          explain: this.#evidence.query,
          query: this.#side.query,
          processId: link.processId,
          role: analyst.role,
          searchPath: analyst.searchPath,
          masks: pipeline.masks,
          inTransaction: exchange.open,
        }),
      held: (approval, requirement) => tellHeld(exchange, approval, requirement),
    };
  }

  /** The policy is older than it may be: it could not be read anew for too long. */
  #stale(): boolean {
    const since = this.#parts.staleSince();
    return since !== undefined && performance.now() - since > this.#parts.config.limits.policyMaxAge;
  }
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
}
