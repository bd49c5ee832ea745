/** Bind values as text, for rules, approvers and recordings. The bytes themselves go to the server unchanged. */
import type { Bind } from './wire/frontend.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text forms in order; a binary value of a type that is not known here is `\x` and its bytes in hexadecimal. */
export function parameterTexts(bind: Bind, types: readonly number[]): readonly (string | null)[] {
  const { values, formats } = bind;
  if (values.length === 0) return NONE;
  const texts: (string | null)[] = [];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? null;
    const format = formats.length === 1 ? formats[0] : formats[index];
    texts.push(
      value === null ? null : format === 1 ? binaryText(value, types[index] ?? 0) : plainText(value),
    );
  }
  return texts;
}

const NONE: readonly (string | null)[] = [];

export function plainText(value: Buffer): string {
  if (value.length <= 20) {
    let short = '';
    let index = 0;
    for (; index < value.length; index++) {
      const byte = value[index] ?? 0x80;
      if (byte >= 0x80) break;
      short += String.fromCharCode(byte);
    }
    if (index === value.length) return short;
  }
  try {
    return decoder.decode(value);
  } catch {
    return hex(value);
  }
}

function hex(value: Buffer): string {
  return `\\x${value.toString('hex')}`;
}

/** Oids of pg_type.dat. */
const BOOL = 16;
const INT8 = 20;
const INT2 = 21;
const INT4 = 23;
const OID = 26;
const FLOAT4 = 700;
const FLOAT8 = 701;
const UUID = 2950;
const JSONB = 3802;
const TEXTS = new Set([18, 19, 25, 114, 142, 705, 1042, 1043]);

export function binaryText(value: Buffer, type: number): string {
  switch (type) {
    case BOOL:
      return value.length === 1 ? (value[0] === 0 ? 'f' : 't') : hex(value);
    case INT2:
      return value.length === 2 ? String(value.readInt16BE()) : hex(value);
    case INT4:
      return value.length === 4 ? String(value.readInt32BE()) : hex(value);
    case OID:
      return value.length === 4 ? String(value.readUInt32BE()) : hex(value);
    case INT8:
      return value.length === 8 ? String(value.readBigInt64BE()) : hex(value);
    case FLOAT4:
      return value.length === 4 ? String(Math.fround(value.readFloatBE())) : hex(value);
    case FLOAT8:
      return value.length === 8 ? String(value.readDoubleBE()) : hex(value);
    case UUID:
      return value.length === 16 ? uuid(value) : hex(value);
    case JSONB:
      return value[0] === 1 ? plainText(value.subarray(1)) : hex(value);
    default:
      return TEXTS.has(type) ? plainText(value) : hex(value);
  }
}

function uuid(value: Buffer): string {
  const digits = value.toString('hex');
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ].join('-');
}
