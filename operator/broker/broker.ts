/** What the broker does with each request, once it is known whose it is. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import {
  parseApprovalEnd,
  parseApprovalMessage,
  parseApprovalsLost,
  parseSealRequest,
  parseSessionReport,
  parseSessionRequest,
  parseTargetRequest,
  parseUploadRequest,
  type UploadRequest,
} from '../../sidecar/broker/protocol.ts';
import type { Key, Kube, KubeObject } from '../kube/kube.ts';
import { readConnection } from '../kube/read.ts';
import type { Provisioner } from '../provision/provisioner.ts';
import type { RecordingOwner, Recordings } from '../recordings/recordings.ts';
import type { RunApprovals, SessionRef } from './approvals.ts';
import type { AssemblySources } from './assembly.ts';
import { fileContent, Messages, parsedMessage } from './body.ts';
import { BrokerFailure } from './broker-failure.ts';
import type { Caller } from './caller.ts';
import { Changes, sessionOver } from './changes.ts';
import { ConfigurationStream } from './configuration-stream.ts';
import { Decisions } from './decisions.ts';
import { EndedSessions } from './ended-sessions.ts';
import { Hidden } from './hidden.ts';
import { Materials } from './materials.ts';
import { entitlement } from './entitlement.ts';
import { ownedSession } from './owned-session.ts';
import { PolicyBook } from './policy-book.ts';
import { Reports } from './reports.ts';
import { parseKey, runOf, type Run } from './run.ts';
import { Sessions } from './sessions.ts';
import { TargetNames } from './target-names.ts';

export interface BrokerParts {
  readonly kube: Kube;
  readonly approvals: RunApprovals;
  readonly recordings: Recordings;
  /** By protocol; undefined where no roles can be made. */
  readonly provisioner: (protocol: string) => Provisioner | undefined;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** A file that a sidecar hands over; the caps of recordings are theirs. */
const MAX_FILE = 1024 * 1024 * 1024;
/** A sidecar that comes again may not know yet that its old stream is dead. */
const STREAMS_A_POD = 2;

export class Broker {
  readonly #parts: BrokerParts;
  readonly #changes: Changes;
  readonly #ended: EndedSessions;
  readonly #decisions: Decisions;
  readonly #sessions: Sessions;
  readonly #reports: Reports;
  readonly #sources: AssemblySources;
  readonly #materials: Materials;
  readonly #names = new TargetNames();
  readonly #messages = new Messages();
  /** By pod uid, oldest first. */
  readonly #streams = new Map<string, ConfigurationStream[]>();
  #closing = false;

  constructor(parts: BrokerParts) {
    const { kube, provisioner, log, approvals } = parts;
    const policies = new PolicyBook(kube.stores.policies);
    this.#parts = parts;
    this.#changes = new Changes(kube.stores);
    this.#ended = new EndedSessions(kube.stores);
    this.#decisions = new Decisions(kube.stores.sessions, approvals);
    this.#materials = new Materials(kube, (id) => this.#changes.connections(id.split('/', 1)[0] ?? ''));
    this.#sessions = new Sessions({ kube, provisioner, policies, ended: this.#ended });
    this.#reports = new Reports(kube, log);
    this.#sources = {
      stores: kube.stores,
      policies,
      materials: this.#materials,
      ended: (run, connection) => this.#ended.reason(run, connection),
    };
  }

  /** `gone`: aborted when the client is. */
  async configuration(caller: Caller, response: ServerResponse, gone: AbortSignal): Promise<void> {
    const { kube } = this.#parts;
    const run = await runOf(kube, caller, 'cached');
    if (run.ended) throw new BrokerFailure('ended', 'the run has ended');
    if (this.#closing) throw new BrokerFailure('unavailable', 'this replica is about to end');
    if (gone.aborted) return;
    const uid = run.pod.metadata.uid;
    const releases = run.connections.map((key) => this.#materials.use(`${key.namespace}/${key.name}`));
    const stream = new ConfigurationStream({
      response,
      run,
      current: () => current(kube, caller),
      sources: this.#sources,
      subscribe: (listener) => this.#changes.subscribe(run, listener),
      decisions: (listener) => this.#decisions.listen(uid, listener),
      refused: (of, connection, message) => this.#refused(of, connection, message),
    });
    const streams = this.#streams.get(uid) ?? [];
    streams.push(stream);
    this.#streams.set(uid, streams);
    const forget = () => {
      for (const release of releases) release();
      streams.splice(streams.indexOf(stream), 1);
      if (streams.length === 0 && this.#streams.get(uid) === streams) this.#streams.delete(uid);
    };
    gone.addEventListener('abort', forget, { once: true });
    if (streams.length > STREAMS_A_POD) streams[0]?.end();
    await stream.start();
  }

  /** Sidecars that listen. */
  get streams(): number {
    return [...this.#streams.values()].reduce((sum, { length }) => sum + length, 0);
  }

  async openSession(caller: Caller, request: IncomingMessage): Promise<Hidden<object>> {
    const { connection } = await this.#messages.read(caller.podUid, request, parseSessionRequest);
    const key = keyOf(connection);
    try {
      return await this.#sessions.open(caller, key);
    } catch (error) {
      if (error instanceof BrokerFailure && error.code === 'forbidden')
        await this.#tellRefused(caller, connection, error.message);
      throw error;
    }
  }

  /** Of a connection of the run's own: nobody learns what other names stand for. */
  async locate(caller: Caller, request: IncomingMessage): Promise<object> {
    const { connection } = await this.#messages.read(caller.podUid, request, parseTargetRequest);
    const { kube } = this.#parts;
    const key = keyOf(connection);
    const run = await runOf(kube, caller, 'cached');
    if (run.ended) throw new BrokerFailure('ended', 'the run has ended');
    if (!run.connections.some(({ namespace, name }) => namespace === key.namespace && name === key.name))
      throw new BrokerFailure('forbidden', `the pod does not ask for ${connection}`);
    const found = entitlement(run, {
      key,
      connection: kube.stores.connections.get(key.namespace, key.name),
      namespace: kube.stores.namespaces.get('', caller.namespace),
    });
    if (found.kind !== 'allowed')
      throw new BrokerFailure(found.kind === 'forbidden' ? 'forbidden' : 'unavailable', found.message);
    return { addresses: await this.#names.of(found.connection.spec.target.host) };
  }

  async report(caller: Caller, request: IncomingMessage): Promise<object> {
    const report = await this.#messages.read(caller.podUid, request, parseSessionReport);
    const { session, owner } = await this.#owned(caller, report.connection);
    const location = await this.#parts.recordings.location(owner).catch(() => undefined);
    await this.#reports.take({ session, report, location });
    return {};
  }

  async ask(caller: Caller, request: IncomingMessage): Promise<object> {
    const message = await this.#messages.read(caller.podUid, request, parseApprovalMessage);
    const { run, session } = await this.#owned(caller, message.connection);
    if (run.ended || sessionOver(session)) throw new BrokerFailure('ended', 'the session is over');
    const { namespace, name } = keyOf(message.connection);
    const object = this.#parts.kube.stores.connections.get(namespace, name);
    const connection = object === undefined ? undefined : readConnection(object);
    if (connection?.kind !== 'parsed')
      throw new BrokerFailure('unavailable', `ProtectedConnection ${message.connection} cannot be read`);
    return this.#parts.approvals.ask(
      { identity: run.identity, session: refOf(session), connection: connection.value },
      message,
    );
  }

  async endApproval(caller: Caller, request: IncomingMessage): Promise<object> {
    const message = await this.#messages.read(caller.podUid, request, parseApprovalEnd);
    const { session } = await this.#owned(caller, message.connection);
    await this.#parts.approvals.end({ session: refOf(session) }, message);
    return {};
  }

  async loseApprovals(caller: Caller, request: IncomingMessage): Promise<object> {
    const { connection } = await this.#messages.read(caller.podUid, request, parseApprovalsLost);
    const { session } = await this.#owned(caller, connection);
    await this.#parts.approvals.lost({ session: refOf(session) });
    return {};
  }

  async seal(caller: Caller, request: IncomingMessage): Promise<object> {
    const { connection, recording, payload } = await this.#messages.read(
      caller.podUid,
      request,
      parseSealRequest,
    );
    const { owner, run } = await this.#owned(caller, connection);
    return this.#parts.recordings.seal(owner, recording, payload, run.identity);
  }

  async upload(caller: Caller, request: IncomingMessage): Promise<object> {
    const file = await this.#messages.read(caller.podUid, request, parseUploadRequest);
    const { owner } = await this.#owned(caller, file.connection);
    return this.#parts.recordings.upload(owner, file);
  }

  async keep(caller: Caller, request: IncomingMessage): Promise<object> {
    const file = fileOf(request);
    const { owner } = await this.#owned(caller, file.connection);
    await this.#parts.recordings.keep(owner, file, fileContent(request, file.bytes));
    return {};
  }

  /** Ends the streams, so that sidecars go to another replica, and writes what was reported. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const streams of [...this.#streams.values()]) for (const stream of [...streams]) stream.end();
    this.#changes.close();
    this.#ended.close();
    this.#decisions.close();
    this.#materials.close();
    await this.#reports.close();
  }

  async #owned(
    caller: Caller,
    connection: string,
  ): Promise<{ readonly run: Run; readonly session: KubeObject; readonly owner: RecordingOwner }> {
    const { kube } = this.#parts;
    const key = keyOf(connection);
    const run = await runOf(kube, caller, 'cached');
    const session = await ownedSession(kube, run, key);
    const owner = { namespace: key.namespace, connection: key.name, session: session.metadata.name };
    return { run, session, owner };
  }

  async #tellRefused(caller: Caller, connection: string, message: string): Promise<void> {
    const run = await runOf(this.#parts.kube, caller, 'cached').catch(() => undefined);
    if (run !== undefined) this.#refused(run, connection, message);
  }

  #refused(run: Run, connection: string, message: string): void {
    const { kube } = this.#parts;
    kube.event(run.pod, 'Warning', 'ConnectionRefused', `${connection}: ${message}`);
    const { namespace, name } = keyOf(connection);
    const asked = run.connections.some((key) => key.namespace === namespace && key.name === name);
    const object = kube.stores.connections.get(namespace, name);
    // Who asks for what its pod does not name says nothing to the connection's owners.
    if (asked && object !== undefined)
      kube.event(object, 'Warning', 'ConnectionRefused', `pod ${run.identity.pod}: ${message}`);
  }
}

function refOf({ metadata: { namespace, name, uid } }: KubeObject): SessionRef {
  return { namespace, name, uid };
}

/** Undefined when the pod is gone, or is another one by now. */
async function current(kube: Kube, caller: Caller): Promise<Run | undefined> {
  try {
    return await runOf(kube, caller, 'cached');
  } catch (error) {
    if (error instanceof BrokerFailure) return undefined;
    throw error;
  }
}

function keyOf(connection: string): Key {
  const key = parseKey(connection);
  if (key === undefined) throw new BrokerFailure('invalid', 'connection: must be namespace/name');
  return key;
}

function fileOf(request: IncomingMessage): UploadRequest {
  const header = request.headers['x-sidewarden-file'];
  if (typeof header !== 'string')
    throw new BrokerFailure('invalid', 'the header x-sidewarden-file says what the file is');
  if (request.headers['content-type'] !== 'application/octet-stream')
    throw new BrokerFailure('invalid', 'the content type must be application/octet-stream');
  const file = parsedMessage(Buffer.from(header, 'latin1'), parseUploadRequest);
  if (file.bytes > MAX_FILE) throw new BrokerFailure('invalid', 'the file is too long');
  return file;
}
