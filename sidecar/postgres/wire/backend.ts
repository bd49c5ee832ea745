/** Messages that a server sends (PostgreSQL documentation, "Message Formats"). */
import { Body } from './body.ts';
import { WireError } from './error.ts';
import type { Frame, FrameLimit } from './frame.ts';
import { MessageBuilder } from './message.ts';

export const BACKEND = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

const MIB = 1024 * 1024;

/** A server's rows may be a gigabyte; its other messages are not. */
export function backendLimit(): FrameLimit {
  const limits = new Uint32Array(256);
  for (const tag of Object.values(BACKEND)) limits[tag] = 16 * MIB;
  limits[BACKEND.dataRow] = 1024 * MIB;
  limits[BACKEND.copyData] = 1024 * MIB;
  return (tag) => limits[tag] ?? 0;
}

export interface FieldDescription {
  readonly name: string;
  /** Of the table's column that the field is, or 0. */
  readonly tableOid: number;
  readonly columnNumber: number;
  readonly typeOid: number;
  readonly typeSize: number;
  readonly typeModifier: number;
  /** 0 text, 1 binary. */
  readonly format: number;
}

/** `T`: Int16 n, n × (String name, Int32 table, Int16 column, Int32 type, Int16 size, Int32 modifier, Int16 format). */
export function readRowDescription(frame: Frame): readonly FieldDescription[] {
  const body = Body.of('RowDescription', frame);
  const count = body.count(19);
  const fields: FieldDescription[] = [];
  for (let index = 0; index < count; index++) {
    fields.push({
      name: body.string(),
      tableOid: body.uint32(),
      columnNumber: body.int16(),
      typeOid: body.uint32(),
      typeSize: body.int16(),
      typeModifier: body.int32(),
      format: body.int16(),
    });
  }
  body.done();
  return fields;
}

/** `t`: Int16 n, n × Int32 type. */
export function readParameterDescription(frame: Frame): readonly number[] {
  const body = Body.of('ParameterDescription', frame);
  const count = body.int16() & 0xffff;
  if (count * 4 !== body.remaining)
    throw new WireError('invalid-message', 'ParameterDescription: the number of types is wrong');
  const types: number[] = [];
  for (let index = 0; index < count; index++) types.push(body.uint32());
  return types;
}

/** `E` and `N`: fields by their code letter (PostgreSQL documentation, "Error and Notice Message Fields"). */
export type ErrorFields = ReadonlyMap<string, string>;

export function readErrorFields(frame: Frame): ErrorFields {
  const body = Body.of('ErrorResponse', frame);
  const fields = new Map<string, string>();
  for (;;) {
    const code = body.byte();
    if (code === 0) break;
    fields.set(String.fromCharCode(code), body.string());
  }
  body.done();
  return fields;
}

export function encodeErrorFields(message: 'error' | 'notice', fields: ErrorFields): Buffer {
  const builder = new MessageBuilder(message === 'error' ? 'E' : 'N', 256);
  for (const [code, text] of fields) builder.byte(code.charCodeAt(0)).string(text.replaceAll('\0', ''));
  return builder.byte(0).end();
}

/** `S`: String name, String value. */
export function readParameterStatus(frame: Frame): { readonly name: string; readonly value: string } {
  const body = Body.of('ParameterStatus', frame);
  const name = body.string();
  const value = body.string();
  body.done();
  return { name, value };
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return new MessageBuilder('S').string(name).string(value).end();
}

/** `K`: Int32 process, 4 to 256 bytes of key. */
export function readBackendKeyData(frame: Frame): { readonly processId: number; readonly secret: Buffer } {
  const body = Body.of('BackendKeyData', frame);
  const processId = body.int32();
  if (body.remaining < 4 || body.remaining > 256)
    throw new WireError('invalid-message', 'BackendKeyData: key length');
  return { processId, secret: Buffer.from(body.bytes(body.remaining)) };
}

export function encodeBackendKeyData(processId: number, secret: Uint8Array): Buffer {
  return new MessageBuilder('K').int32(processId).bytes(secret).end();
}

/** `C`: String tag. */
export function readCommandComplete(frame: Frame): string {
  const body = Body.of('CommandComplete', frame);
  const tag = body.string();
  body.done();
  return tag;
}

export type TransactionStatus = 'I' | 'T' | 'E';

/** `Z`: Byte1 status. */
export function readReadyForQuery(frame: Frame): TransactionStatus {
  const body = Body.of('ReadyForQuery', frame);
  const status = String.fromCharCode(body.byte());
  body.done();
  if (status !== 'I' && status !== 'T' && status !== 'E')
    throw new WireError('invalid-message', 'ReadyForQuery: unknown status');
  return status;
}

export function encodeReadyForQuery(status: TransactionStatus): Buffer {
  return new MessageBuilder('Z').byte(status.charCodeAt(0)).end();
}

export type Authentication =
  | { readonly kind: 'ok' }
  | { readonly kind: 'cleartext' }
  | { readonly kind: 'md5'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue' | 'sasl-final'; readonly data: string }
  | { readonly kind: 'other'; readonly code: number };

/** `R`: Int32 code, then by the code. */
export function readAuthentication(frame: Frame): Authentication {
  const body = Body.of('Authentication', frame);
  const code = body.int32();
  switch (code) {
    case 0:
      body.done();
      return { kind: 'ok' };
    case 3:
      body.done();
      return { kind: 'cleartext' };
    case 5: {
      const salt = Buffer.from(body.bytes(4));
      body.done();
      return { kind: 'md5', salt };
    }
    case 10: {
      const mechanisms: string[] = [];
      for (let name = body.string(); name !== ''; name = body.string()) mechanisms.push(name);
      body.done();
      return { kind: 'sasl', mechanisms };
    }
    case 11:
    case 12: {
      const data = body.bytes(body.remaining).toString('utf8');
      return { kind: code === 11 ? 'sasl-continue' : 'sasl-final', data };
    }
    default:
      return { kind: 'other', code };
  }
}

export function encodeAuthentication(code: 0 | 3): Buffer {
  return new MessageBuilder('R').int32(code).end();
}

/** `v`: Int32 newest minor version, Int32 n, n × String option that is not known. */
export function encodeNegotiateProtocolVersion(minor: number, options: readonly string[]): Buffer {
  const message = new MessageBuilder('v').int32((3 << 16) | minor).int32(options.length);
  for (const option of options) message.string(option);
  return message.end();
}

/** `D` of text values, as internal queries read it. */
export function readTextRow(frame: Frame): readonly (string | null)[] {
  const body = Body.of('DataRow', frame);
  const count = body.count(4);
  const values: (string | null)[] = [];
  for (let index = 0; index < count; index++) {
    const length = body.int32();
    values.push(length === -1 ? null : body.bytes(length).toString('utf8'));
  }
  body.done();
  return values;
}
