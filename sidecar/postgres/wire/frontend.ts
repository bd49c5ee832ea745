/** Messages that a client sends once it is signed in (PostgreSQL documentation, "Message Formats"). */
import { Body } from './body.ts';
import { WireError } from './error.ts';
import type { Frame, FrameLimit } from './frame.ts';
import { MessageBuilder } from './message.ts';

export const FRONTEND = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

/** Names of statements and portals are at most this long; PostgreSQL itself sets no limit but that of the message. */
const SMALL = 16 * 1024;

/** Limits of a client's messages; `large` is that of those which carry texts, values and data. */
export function frontendLimit(large: number): FrameLimit {
  const limits = new Uint32Array(256);
  for (const tag of Object.values(FRONTEND)) limits[tag] = SMALL;
  for (const tag of [
    FRONTEND.bind,
    FRONTEND.copyData,
    FRONTEND.functionCall,
    FRONTEND.parse,
    FRONTEND.query,
  ]) {
    limits[tag] = large;
  }
  return (tag) => limits[tag] ?? 0;
}

/** `Q`: String text. */
export function readQuery(frame: Frame): string {
  const body = Body.of('Query', frame);
  const text = body.string();
  body.done();
  return text;
}

export interface Parse {
  readonly name: string;
  readonly text: string;
  /** Oids; 0 where the server is to find the type. */
  readonly types: readonly number[];
}

/** `P`: String name, String text, Int16 n, n × Int32 type. */
export function readParse(frame: Frame): Parse {
  const body = Body.of('Parse', frame);
  const name = body.string();
  const text = body.string();
  // The number of parameters goes to 65,535: the count is unsigned in practice.
  const count = body.int16() & 0xffff;
  if (count * 4 !== body.remaining)
    throw new WireError('invalid-message', 'Parse: the number of types is wrong');
  const types: number[] = [];
  for (let index = 0; index < count; index++) types.push(body.uint32());
  return { name, text, types };
}

export interface Bind {
  readonly portal: string;
  readonly statement: string;
  /** 0 text, 1 binary; one a parameter, or one for all, or none when all are text. */
  readonly formats: readonly number[];
  /** Raw values; null is SQL NULL. Ranges of the frame's buffer. */
  readonly values: readonly (Buffer | null)[];
  readonly resultFormats: readonly number[];
}

/** `B`: String portal, String statement, Int16 n + n × Int16 format, Int16 n + n × (Int32 length, bytes), Int16 n + n × Int16 format. */
export function readBind(frame: Frame): Bind {
  const body = Body.of('Bind', frame);
  const portal = body.string();
  const statement = body.string();
  const formats = readFormats(body);
  const count = body.int16() & 0xffff;
  if (count * 4 > body.remaining)
    throw new WireError('invalid-message', 'Bind: the number of values is wrong');
  if (formats.length > 1 && formats.length !== count)
    throw new WireError('invalid-message', 'Bind: the number of formats is wrong');
  const values: (Buffer | null)[] = [];
  for (let index = 0; index < count; index++) {
    const length = body.int32();
    if (length < -1) throw new WireError('invalid-message', 'Bind: a negative length');
    values.push(length === -1 ? null : body.bytes(length));
  }
  const resultFormats = readFormats(body);
  body.done();
  return { portal, statement, formats, values, resultFormats };
}

function readFormats(body: Body): readonly number[] {
  const count = body.int16() & 0xffff;
  if (count === 0) return NONE;
  if (count * 2 > body.remaining)
    throw new WireError('invalid-message', 'Bind: the number of formats is wrong');
  const formats: number[] = [];
  for (let index = 0; index < count; index++) {
    const format = body.int16();
    if (format !== 0 && format !== 1) throw new WireError('invalid-message', `Bind: a format of ${format}`);
    formats.push(format);
  }
  return formats;
}

const NONE: readonly number[] = [];

export interface Target {
  readonly kind: 'statement' | 'portal';
  readonly name: string;
}

/** `D` and `C`: Byte1 `S` or `P`, String name. */
export function readTarget(message: 'Describe' | 'Close', frame: Frame): Target {
  const body = Body.of(message, frame);
  const what = body.byte();
  const name = body.string();
  body.done();
  if (what !== 0x53 && what !== 0x50)
    throw new WireError('invalid-message', `${message}: neither statement nor portal`);
  return { kind: what === 0x53 ? 'statement' : 'portal', name };
}

/** `E`: String portal, Int32 most rows (0 for all). */
export function readExecute(frame: Frame): { readonly portal: string; readonly rows: number } {
  const body = Body.of('Execute', frame);
  const portal = body.string();
  const rows = body.int32();
  body.done();
  return { portal, rows };
}

/** `p`: String password, in answer to AuthenticationCleartextPassword. */
export function readPassword(frame: Frame): string {
  const body = Body.of('PasswordMessage', frame);
  const password = body.string();
  body.done();
  return password;
}

/** Messages without a body: Flush, Sync, Terminate, CopyDone. */
export function readEmpty(name: string, frame: Frame): void {
  Body.of(name, frame).done();
}

export function encodeQuery(text: string): Buffer {
  return new MessageBuilder('Q', text.length + 16).string(text).end();
}

export function encodeParse(name: string, text: string, types: readonly number[]): Buffer {
  const message = new MessageBuilder('P', text.length + 64)
    .string(name)
    .string(text)
    .int16((types.length << 16) >> 16);
  for (const type of types) message.int32(type | 0);
  return message.end();
}

export function encodeDescribe(kind: 'S' | 'P', name: string): Buffer {
  return new MessageBuilder('D').byte(kind.charCodeAt(0)).string(name).end();
}

export function encodeClose(kind: 'S' | 'P', name: string): Buffer {
  return new MessageBuilder('C').byte(kind.charCodeAt(0)).string(name).end();
}

/** All rows. */
export function encodeExecute(portal: string): Buffer {
  return new MessageBuilder('E').string(portal).int32(0).end();
}

/** The same Bind for another statement. */
export function encodeBind(bind: Bind, statement: string): Buffer {
  const message = new MessageBuilder('B', 256).string(bind.portal).string(statement);
  writeFormats(message, bind.formats);
  message.int16((bind.values.length << 16) >> 16);
  for (const value of bind.values) {
    if (value === null) message.int32(-1);
    else message.int32(value.length).bytes(value);
  }
  writeFormats(message, bind.resultFormats);
  return message.end();
}

function writeFormats(message: MessageBuilder, formats: readonly number[]): void {
  message.int16((formats.length << 16) >> 16);
  for (const format of formats) message.int16(format);
}

export const FLUSH = new MessageBuilder('H').end();
export const SYNC = new MessageBuilder('S').end();
export const TERMINATE = new MessageBuilder('X').end();

export function encodePassword(text: string): Buffer {
  return new MessageBuilder('p').string(text).end();
}

/** `p`: String mechanism, Int32 length, bytes. */
export function encodeSaslInitial(mechanism: string, data: string): Buffer {
  const bytes = Buffer.from(data);
  return new MessageBuilder('p', 128).string(mechanism).int32(bytes.length).bytes(bytes).end();
}

export function encodeSaslResponse(data: string): Buffer {
  return new MessageBuilder('p', 256).bytes(Buffer.from(data)).end();
}
