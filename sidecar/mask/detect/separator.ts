/** What people write between groups of digits, other than ASCII's too: it comes with copy and paste. */
import { byteAt, type Text } from './bytes.ts';

export type SeparatorKind = 'space' | 'dash' | 'dot';

/** The kind of the separator at a position, undefined when there is none. */
export function separatorAt(text: Text, position: number): SeparatorKind | undefined {
  const byte = byteAt(text, position);
  if (byte === 0x20) return 'space';
  if (byte === 0x2d) return 'dash';
  if (byte === 0x2e) return 'dot';
  if (byte === 0xc2) return byteAt(text, position + 1) === 0xa0 ? 'space' : undefined;
  if (byte !== 0xe2) return undefined;
  const second = byteAt(text, position + 1);
  const third = byteAt(text, position + 2);
  if (second === 0x88) return third === 0x92 ? 'dash' : undefined;
  if (second !== 0x80) return undefined;
  if (third >= 0x90 && third <= 0x95) return 'dash';
  return (third >= 0x80 && third <= 0x8a) || third === 0xaf ? 'space' : undefined;
}

/** Bytes of the separator that is known to be there. */
export function separatorLength(text: Text, position: number): number {
  const byte = byteAt(text, position);
  return byte < 0x80 ? 1 : byte === 0xc2 ? 2 : 3;
}
