/**
 * The packets before the first typed message (PostgreSQL documentation, "Message Formats"): an Int32 length of all,
 * an Int32 code, and for a start-up name and value strings up to an empty name.
 */
import { Body } from './body.ts';
import { WireError } from './error.ts';
import { MessageBuilder } from './message.ts';

const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;
/** PostgreSQL's own bound (MAX_STARTUP_PACKET_LENGTH). */
const MAX_STARTUP = 10_000;

export type StartupPacket =
  | { readonly kind: 'tls-request' }
  | { readonly kind: 'gss-request' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
    };

/** Reads one packet from the start of `buffer`; undefined until all of it is there. */
export function readStartupPacket(buffer: Buffer): { packet: StartupPacket; length: number } | undefined {
  if (buffer.length < 4) return undefined;
  const length = buffer.readInt32BE(0);
  if (length < 8 || length > MAX_STARTUP)
    throw new WireError('invalid-message', `start-up packet: a length of ${length}`);
  if (buffer.length < length) return undefined;
  const body = new Body('start-up packet', buffer, 4, length);
  const code = body.int32();
  return { packet: decode(code, body), length };
}

function decode(code: number, body: Body): StartupPacket {
  switch (code) {
    case SSL_REQUEST:
      body.done();
      return { kind: 'tls-request' };
    case GSSENC_REQUEST:
      body.done();
      return { kind: 'gss-request' };
    case CANCEL_REQUEST: {
      const processId = body.int32();
      if (body.remaining < 4 || body.remaining > 256)
        throw new WireError('invalid-message', 'CancelRequest: key length');
      return { kind: 'cancel', processId, secret: Buffer.from(body.bytes(body.remaining)) };
    }
    default:
      return decodeStartup(code, body);
  }
}

function decodeStartup(code: number, body: Body): StartupPacket {
  if (code >>> 16 !== 3)
    throw new WireError('unexpected-message', `protocol ${code >>> 16}.${code & 0xffff} is not spoken here`);
  const parameters = new Map<string, string>();
  for (;;) {
    const name = body.string();
    if (name === '') break;
    if (parameters.has(name))
      throw new WireError('invalid-message', 'start-up packet: a parameter given twice');
    parameters.set(name, body.string());
  }
  body.done();
  return { kind: 'startup', minor: code & 0xffff, parameters };
}

export function encodeStartup(parameters: ReadonlyMap<string, string>): Buffer {
  const message = new MessageBuilder('').int32(3 << 16);
  for (const [name, value] of parameters) message.string(name).string(value);
  return message.byte(0).end();
}

export function encodeTlsRequest(): Buffer {
  return new MessageBuilder('').int32(SSL_REQUEST).end();
}

export function encodeCancel(processId: number, secret: Uint8Array): Buffer {
  return new MessageBuilder('').int32(CANCEL_REQUEST).int32(processId).bytes(secret).end();
}
