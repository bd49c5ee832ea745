/**
 * JSON whose text is harmless to look at: beyond what JSON.stringify escapes, these are written as `\uXXXX`: DEL and
 * C1 controls, line separators, bidi controls, zero-width and tag characters. The values stay exactly what they were.
 */
const UNSAFE_RANGES: readonly (readonly [number, number])[] = [
  [0x7f, 0x9f], // DEL and C1: CSI, OSC and the like in one character
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180e, 0x180e], // invisible
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f], // zero-width, separators, bidi
  [0x3164, 0x3164],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
];
const UNSAFE_CLASS = UNSAFE_RANGES.map(([from, to]) => `${hex(from)}-${hex(to)}`).join('');
// The second half: tag characters, as the two units that they are.
const UNSAFE_PATTERN = `[${UNSAFE_CLASS}]|\\udb40[\\udc00-\\udfff]`;
const UNSAFE = new RegExp(UNSAFE_PATTERN, 'g');
const HAS_UNSAFE = new RegExp(UNSAFE_PATTERN);

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** Of values that JSON can hold; anything else is a mistake of ours. */
export function jsonText(value: string | number | boolean | null | object): string {
  // Most are short plain strings: one look instead of two.
  if (typeof value === 'string' && value.length < 512 && PLAIN.test(value)) return `"${value}"`;
  const text = JSON.stringify(value);
  return HAS_UNSAFE.test(text) ? text.replace(UNSAFE, escapeUnits) : text;
}

function escapeUnits(characters: string): string {
  let escaped = '';
  for (let index = 0; index < characters.length; index++) {
    escaped += hex(characters.charCodeAt(index));
  }
  return escaped;
}

function hex(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
