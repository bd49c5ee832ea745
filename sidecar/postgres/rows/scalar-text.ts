/** Text forms of binary values in which detectors could find something: asking for binary must not be a way round them. */
import { isIPv6 } from 'node:net';

/** Undefined when the bytes are no such value. Small numbers give '', since nothing can be in them. */
export function numberText(value: Buffer, of: 'int8' | 'float8' | 'numeric'): string | undefined {
  switch (of) {
    case 'int8':
      if (value.length !== 8) return undefined;
      return isSmall(value.readInt32BE(0)) ? '' : value.readBigInt64BE(0).toString();
    case 'float8': {
      if (value.length !== 8) return undefined;
      const number = value.readDoubleBE(0);
      return Number.isInteger(number) && Math.abs(number) >= 1e8 && Math.abs(number) < 1e21
        ? number.toFixed(0)
        : '';
    }
    case 'numeric':
      return numericText(value);
  }
}

/** Less than 2^32 either way: ten digits at most. */
function isSmall(high: number): boolean {
  return high === 0 || high === -1;
}

/**
 * `numeric_send`: Int16 digits, Int16 weight of the first (10000ths), Int16 sign (0xC000 NaN, 0xD000 and 0xF000
 * infinities), Int16 scale, digits × Int16 0–9999.
 */
function numericText(value: Buffer): string | undefined {
  if (value.length < 8) return undefined;
  const digits = value.readUInt16BE(0);
  const weight = value.readInt16BE(2);
  const sign = value.readUInt16BE(4);
  const scale = value.readUInt16BE(6);
  if (value.length !== 8 + digits * 2) return undefined;
  if (sign >= 0xc000) return digits === 0 ? '' : undefined;
  let whole = '';
  for (let index = 0; index <= weight; index++) whole += group(value, index, digits);
  let fraction = '';
  for (let index = weight + 1; fraction.length < scale && index < digits; index++) {
    fraction += index < 0 ? '0000' : group(value, index, digits);
  }
  const text = whole.replace(/^0+(?=\d)/, '') || '0';
  const shown = fraction.padEnd(scale, '0').slice(0, scale);
  return (sign === 0x4000 ? '-' : '') + text + (scale > 0 ? `.${shown}` : '');
}

function group(value: Buffer, index: number, digits: number): string {
  return index < digits ? String(value.readUInt16BE(8 + index * 2)).padStart(4, '0') : '0000';
}

/** `network_send`: Int8 family (2: IPv4, 3: IPv6), Int8 bits, Int8 is cidr, Int8 length, the address. */
export function inetText(value: Buffer): string | undefined {
  const [family, , , length] = value;
  const address = value.subarray(4);
  if (length !== address.length || (family === 2 ? length !== 4 : family !== 3 || length !== 16))
    return undefined;
  if (family === 2) return address.join('.');
  const groups: string[] = [];
  for (let index = 0; index < 16; index += 2) groups.push(address.readUInt16BE(index).toString(16));
  const text = groups.join(':');
  return isIPv6(text) ? text : undefined;
}

/** The bytes of a bytea in text form, `\x…` or with escapes (`bytea_output`); undefined when it is neither. */
export function byteaBytes(value: Buffer): Buffer | undefined {
  const text = value.toString('latin1');
  if (text.startsWith('\\x')) {
    const hex = text.slice(2);
    return hex.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(hex) ? Buffer.from(hex, 'hex') : undefined;
  }
  if (/\\(?!\\|[0-3][0-7]{2})/.test(text.replaceAll('\\\\', ''))) return undefined;
  return Buffer.from(
    text.replace(/\\(?:\\|([0-3][0-7]{2}))/g, (_, octal: string | undefined) =>
      octal === undefined ? '\\' : String.fromCharCode(Number.parseInt(octal, 8)),
    ),
    'latin1',
  );
}
