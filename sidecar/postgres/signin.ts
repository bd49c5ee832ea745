/** A client's way in: encryption, start-up packet, password. What it says of itself is taken for nothing but a wish. */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { readChunk, secureServer } from '../net/socket.ts';
import { errorFields } from './refusal.ts';
import { encodeAuthentication, encodeErrorFields, encodeNegotiateProtocolVersion } from './wire/backend.ts';
import { WireError } from './wire/error.ts';
import { FrameReader } from './wire/frame.ts';
import { FRONTEND, readPassword } from './wire/frontend.ts';
import { type StartupPacket, readStartupPacket } from './wire/startup.ts';

const DEADLINE = 30_000;
const NEWEST_MINOR = 2;
const MAX_PASSWORD = 16_384;

export type SignIn =
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'client';
      /** The socket, encrypted by now where it is to be. */
      readonly socket: Socket;
      readonly parameters: ReadonlyMap<string, string>;
      readonly password: string | undefined;
      /** 3.2 has cancel keys of other lengths. */
      readonly minor: number;
      /** Sent before it was asked for anything more. */
      readonly rest: Buffer;
    };

export interface SignInOptions {
  readonly tls: SecureContext | undefined;
  readonly password: boolean;
}

/** Throws WireError or NetError; the caller closes the socket. */
export async function signIn(raw: Socket, options: SignInOptions): Promise<SignIn> {
  const deadline = AbortSignal.timeout(DEADLINE);
  const entered = await enter(raw, options, deadline);
  if (entered.packet.kind === 'cancel') return entered.packet;
  const { socket, packet } = entered;
  negotiate(socket, packet);
  if (options.tls && socket === raw) {
    fatal(
      socket,
      '28000',
      'this connection takes only encrypted clients',
      'Set sslmode=require or stricter.',
    );
    throw new WireError('unexpected-message', 'a client without TLS');
  }
  if (!options.password)
    return {
      kind: 'client',
      socket,
      parameters: packet.parameters,
      password: undefined,
      minor: packet.minor,
      rest: entered.rest,
    };
  socket.write(encodeAuthentication(3));
  const { password, rest } = await askPassword(socket, entered.rest, deadline);
  return { kind: 'client', socket, parameters: packet.parameters, password, minor: packet.minor, rest };
}

interface Entered {
  readonly socket: Socket;
  readonly packet: Extract<StartupPacket, { kind: 'startup' | 'cancel' }>;
  readonly rest: Buffer;
}

async function enter(raw: Socket, options: SignInOptions, deadline: AbortSignal): Promise<Entered> {
  let socket = raw;
  let buffer: Buffer = Buffer.alloc(0);
  let gssAsked = false;
  for (;;) {
    const read = telling(socket, () => readStartupPacket(buffer));
    if (!read) {
      buffer = Buffer.concat([buffer, await readChunk(socket, deadline)]);
      if (buffer[0] === TLS_HANDSHAKE && socket === raw) {
        socket = await directTls(raw, buffer, options);
        buffer = Buffer.alloc(0);
      }
      continue;
    }
    const { packet, length } = read;
    const rest = buffer.subarray(length);
    switch (packet.kind) {
      case 'startup':
      case 'cancel':
        return { socket, packet, rest };
      case 'tls-request':
        if (socket !== raw) throw new WireError('unexpected-message', 'TLS asked for within TLS');
        // Plaintext sent along with the request would be taken for what came encrypted (CVE-2021-23214).
        if (rest.length > 0) refuse(socket, new WireError('invalid-message', 'bytes behind a TLS request'));
        if (options.tls) socket = await beginTls(raw, options.tls);
        else raw.write('N');
        break;
      case 'gss-request':
        if (gssAsked || rest.length > 0)
          refuse(
            socket,
            new WireError('invalid-message', 'GSS encryption asked for twice, or with bytes behind it'),
          );
        gssAsked = true;
        socket.write('N');
        break;
    }
    buffer = Buffer.alloc(0);
  }
}

/** First byte of a TLS record of a handshake (RFC 8446, 5.1). */
const TLS_HANDSHAKE = 0x16;

function beginTls(raw: Socket, context: SecureContext): Promise<Socket> {
  raw.write('S');
  return secureServer(raw, { secureContext: context, ALPNProtocols: ['postgresql'] }, DEADLINE, CLIENT);
}

/** TLS without a request before it (sslnegotiation=direct); the protocol must then be named by ALPN. */
async function directTls(raw: Socket, first: Buffer, options: SignInOptions): Promise<Socket> {
  if (!options.tls) throw new WireError('unexpected-message', 'direct TLS where none is offered');
  raw.unshift(first);
  const socket = await secureServer(
    raw,
    { secureContext: options.tls, ALPNProtocols: ['postgresql'] },
    DEADLINE,
    CLIENT,
  );
  if (socket.alpnProtocol !== 'postgresql')
    throw new WireError('unexpected-message', 'direct TLS without ALPN');
  return socket;
}

const CLIENT = { host: 'the client', port: 0 };

function negotiate(socket: Socket, packet: Extract<StartupPacket, { kind: 'startup' }>): void {
  const unknown = [...packet.parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  if (packet.minor > NEWEST_MINOR || unknown.length > 0) {
    socket.write(encodeNegotiateProtocolVersion(Math.min(packet.minor, NEWEST_MINOR), unknown));
  }
}

async function askPassword(
  socket: Socket,
  rest: Buffer,
  deadline: AbortSignal,
): Promise<{ password: string; rest: Buffer }> {
  const reader = new FrameReader((tag) => (tag === FRONTEND.password ? MAX_PASSWORD : 0));
  let chunk = rest;
  for (;;) {
    if (chunk.length > 0) reader.push(chunk);
    const password = telling(socket, () => {
      const frame = reader.next();
      if (frame && reader.buffered > 0)
        throw new WireError('unexpected-message', 'messages before the sign-in was answered');
      return frame && readPassword(frame);
    });
    if (password !== undefined) return { password, rest: Buffer.alloc(0) };
    chunk = await readChunk(socket, deadline);
  }
}

/** What is thrown because of the client's bytes is told to it first. */
function telling<T>(socket: Socket, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof WireError) refuse(socket, error);
    throw error;
  }
}

function refuse(socket: Socket, error: WireError): never {
  fatal(socket, error.code === 'unexpected-message' ? '0A000' : '08P01', error.message);
  throw error;
}

/** Tells the client why, in the protocol's words, and closes when it has been told. */
export function fatal(socket: Socket, sqlstate: string, message: string, hint = ''): void {
  if (socket.destroyed || socket.writableEnded) return;
  socket.on('error', () => undefined);
  socket.end(encodeErrorFields('error', errorFields('FATAL', sqlstate, message, '', hint)));
  setTimeout(() => socket.destroy(), 1_000).unref();
}
