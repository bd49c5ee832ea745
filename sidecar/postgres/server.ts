/**
 * Signs in to the PostgreSQL server with the connection's own credential. What comes out is a link that is ready for
 * queries: the session takes its socket over, or the catalog and the evidence run internal queries on it.
 */
import type { Socket } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { createHash } from 'node:crypto';
import {
  type Address,
  NetError,
  connectReusing,
  connectTcp,
  readChunk,
  secureClient,
} from '../net/socket.ts';
import {
  BACKEND,
  type ErrorFields,
  backendLimit,
  readAuthentication,
  readBackendKeyData,
  readErrorFields,
  readParameterStatus,
  readReadyForQuery,
} from './wire/backend.ts';
import type { CredentialSource, Credentials } from '../credentials.ts';
import { type Frame, FrameReader } from './wire/frame.ts';
import { encodePassword, encodeSaslInitial, encodeSaslResponse } from './wire/frontend.ts';
import { PINNED } from './settings.ts';
import { ScramClient } from './wire/scram.ts';
import { encodeCancel, encodeStartup, encodeTlsRequest } from './wire/startup.ts';

export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

export interface ServerTarget extends Address {
  readonly database: string;
  readonly credentials: CredentialSource;
  readonly tls: {
    readonly mode: TlsMode;
    readonly ca: string | undefined;
    readonly serverName: string | undefined;
  };
}

/** A server that is ready for a query. `reader` may hold bytes that came behind ReadyForQuery. */
export interface ServerLink {
  readonly socket: Socket;
  readonly reader: FrameReader;
  readonly processId: number;
  readonly secret: Buffer;
  readonly parameters: Map<string, string>;
}

/** The server refused the start-up; `fields` are its own words, which name our credential: they are for our log only. */
export class ServerRefusal extends Error {
  readonly code = 'server-refusal';
  readonly fields: ErrorFields;
  constructor(fields: ErrorFields) {
    super(fields.get('M') ?? 'the server refused the connection');
    this.name = 'ServerRefusal';
    this.fields = fields;
  }
}

const CONNECT_TIMEOUT = 10_000;

/** Connects and signs in. Throws NetError, ServerRefusal, ScramError, WireError or CredentialsError. */
export async function connectServer(
  target: ServerTarget,
  parameters: ReadonlyMap<string, string>,
): Promise<ServerLink> {
  const credentials = await target.credentials.current();
  try {
    return await connectAs(target, credentials, parameters);
  } catch (error) {
    if (!isCredentialRefusal(error)) throw error;
    // They may have been changed this moment.
    const others = await target.credentials.current(credentials);
    if (others === credentials) throw error;
    return connectAs(target, others, parameters);
  }
}

/** invalid_password, invalid_authorization_specification */
export function isCredentialRefusal(error: unknown): boolean {
  return error instanceof ServerRefusal && ['28P01', '28000'].includes(error.fields.get('C') ?? '');
}

async function connectAs(
  target: ServerTarget,
  credentials: Credentials,
  parameters: ReadonlyMap<string, string>,
): Promise<ServerLink> {
  const socket = await openSocket(target);
  try {
    return await signIn(socket, target, credentials, parameters);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function openSocket(target: ServerTarget): Promise<Socket> {
  if (target.tls.mode === 'disable') return connectReusing(target, CONNECT_TIMEOUT);
  const plain = await connectTcp(target, CONNECT_TIMEOUT);
  plain.write(encodeTlsRequest());
  const answer = await readChunk(plain, AbortSignal.timeout(CONNECT_TIMEOUT)).catch((error: unknown) => {
    plain.destroy();
    throw error;
  });
  // Bytes behind the answer would be plaintext taken for encrypted (CVE-2021-23222).
  if (answer.length !== 1 || answer[0] !== 0x53) {
    plain.destroy();
    throw new NetError(
      'tls',
      `${target.host}:${target.port} does not offer TLS, which the connection requires`,
    );
  }
  return secureClient(plain, tlsOptions(target), CONNECT_TIMEOUT, target);
}

function tlsOptions(target: ServerTarget): ConnectionOptions {
  const { mode, ca, serverName } = target.tls;
  const name = serverName ?? target.host;
  const common: ConnectionOptions = {
    ...(ca === undefined ? {} : { ca }),
    // An IP address is no server name (RFC 6066).
    ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['postgresql'],
  };
  switch (mode) {
    case 'verify-full':
      return {
        ...common,
        checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      };
    case 'verify-ca':
      return { ...common, checkServerIdentity: () => undefined };
    case 'require':
    case 'disable':
      return { ...common, rejectUnauthorized: false };
  }
}

async function signIn(
  socket: Socket,
  target: ServerTarget,
  credentials: Credentials,
  parameters: ReadonlyMap<string, string>,
): Promise<ServerLink> {
  const deadline = AbortSignal.timeout(CONNECT_TIMEOUT);
  const reader = new FrameReader(backendLimit());
  const status = new Map<string, string>();
  let processId = 0;
  let secret: Buffer = Buffer.alloc(0);
  const login = new Login(socket, target, credentials);
  const { user } = credentials;
  socket.write(encodeStartup(new Map([['user', user], ['database', target.database], ...parameters])));
  for (;;) {
    const frame = await nextFrame(socket, reader, deadline);
    switch (frame.tag) {
      case BACKEND.authentication:
        await login.answer(frame);
        break;
      case BACKEND.parameterStatus: {
        const { name, value } = readParameterStatus(frame);
        status.set(name, value);
        break;
      }
      case BACKEND.backendKeyData:
        ({ processId, secret } = readBackendKeyData(frame));
        break;
      case BACKEND.errorResponse:
        throw new ServerRefusal(readErrorFields(frame));
      case BACKEND.noticeResponse:
        break;
      case BACKEND.readyForQuery:
        readReadyForQuery(frame);
        if (!login.done) throw new NetError('closed', 'the server was ready before it had signed us in');
        checkPinned(parameters, status);
        return { socket, reader, processId, secret, parameters: status };
      default:
        throw new NetError('closed', `the server sent '${String.fromCharCode(frame.tag)}' while starting`);
    }
  }
}

/** A pooler between may drop what was asked for; other encodings and other strings are not read here. */
function checkPinned(asked: ReadonlyMap<string, string>, told: ReadonlyMap<string, string>): void {
  for (const [name, value] of PINNED) {
    if (asked.has(name) && told.get(name) !== value)
      throw new NetError(
        'closed',
        `the server did not take ${name}=${value}, but tells ${told.get(name) ?? 'nothing'}`,
      );
  }
}

async function nextFrame(socket: Socket, reader: FrameReader, deadline: AbortSignal): Promise<Frame> {
  for (;;) {
    const frame = reader.next();
    if (frame) return frame;
    reader.push(await readChunk(socket, deadline));
  }
}

/** The authentication exchange. A server may not skip it: without a proof from its side it could be anyone's. */
class Login {
  done = false;
  readonly #socket: Socket;
  readonly #target: ServerTarget;
  readonly #credentials: Credentials;
  #scram: ScramClient | undefined;
  #proven = false;

  constructor(socket: Socket, target: ServerTarget, credentials: Credentials) {
    this.#socket = socket;
    this.#target = target;
    this.#credentials = credentials;
  }

  async answer(frame: Frame): Promise<void> {
    const request = readAuthentication(frame);
    switch (request.kind) {
      case 'ok':
        if (this.#scram && !this.#proven) throw new NetError('closed', 'the server skipped its proof');
        this.done = true;
        return;
      case 'sasl': {
        this.#begin(request.mechanisms);
        return;
      }
      case 'sasl-continue':
        if (!this.#scram) throw new NetError('closed', 'SASL out of turn');
        this.#socket.write(encodeSaslResponse(await this.#scram.final(request.data)));
        return;
      case 'sasl-final':
        if (!this.#scram) throw new NetError('closed', 'SASL out of turn');
        this.#scram.verify(request.data);
        this.#proven = true;
        return;
      case 'md5':
        this.#socket.write(encodePassword(md5Password(this.#credentials, request.salt)));
        return;
      case 'cleartext': {
        this.#cleartext();
        return;
      }
      case 'other':
        throw new NetError(
          'closed',
          `the server asks for authentication method ${request.code}, which is not spoken here`,
        );
    }
  }

  #begin(mechanisms: readonly string[]): void {
    this.#scram = new ScramClient(this.#credentials.password);
    if (!mechanisms.includes(this.#scram.mechanism))
      throw new NetError('closed', 'the server offers no SCRAM-SHA-256');
    this.#socket.write(encodeSaslInitial(this.#scram.mechanism, this.#scram.first()));
  }

  #cleartext(): void {
    const { mode } = this.#target.tls;
    if (mode === 'disable' || mode === 'require') {
      throw new NetError(
        'closed',
        'the server asks for the password in clear; that needs tls.mode verify-ca or verify-full',
      );
    }
    this.#socket.write(encodePassword(this.#credentials.password));
  }
}

function md5Password({ user, password }: Credentials, salt: Buffer): string {
  const inner = createHash('md5').update(password).update(user).digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

/** Asks the server to cancel what runs on a link; best effort, as cancelling is. */
export async function cancelServer(target: ServerTarget, link: ServerLink): Promise<void> {
  const socket = await openSocket(target);
  socket.end(encodeCancel(link.processId, link.secret));
  setTimeout(() => socket.destroy(), 5_000).unref();
}
