/** ASCII classes of UTF-8 bytes. All that detectors look for is ASCII; other characters only bound it or are letters. */

export const DIGIT = 1;
export const UPPER = 2;
export const LOWER = 4;
export const HEX = 8;
/** Of an e-mail address before and after the `@`. */
export const LOCAL = 16;
export const DOMAIN = 32;
export const BASE64URL = 64;
/** Part of a character outside ASCII. */
export const WIDE = 128;
export const LETTER = UPPER | LOWER;
export const ALPHANUMERIC = LETTER | DIGIT;

const CLASSES = new Uint8Array(256);

function mark(from: number, to: number, classes: number): void {
  for (let byte = from; byte <= to; byte++) CLASSES[byte] = (CLASSES[byte] ?? 0) | classes;
}

mark(0x30, 0x39, DIGIT | HEX | LOCAL | DOMAIN | BASE64URL);
mark(0x41, 0x5a, UPPER | LOCAL | DOMAIN | BASE64URL);
mark(0x61, 0x7a, LOWER | LOCAL | DOMAIN | BASE64URL);
mark(0x41, 0x46, HEX);
mark(0x61, 0x66, HEX);
mark(0x80, 0xff, WIDE | LOCAL | DOMAIN);
for (const character of ".!#$%&'*+/=?^_`{|}~-") mark(character.charCodeAt(0), character.charCodeAt(0), 0);
for (const character of ".%'+_-") mark(character.charCodeAt(0), character.charCodeAt(0), LOCAL);
for (const character of '.-') mark(character.charCodeAt(0), character.charCodeAt(0), DOMAIN);
for (const character of '_-') mark(character.charCodeAt(0), character.charCodeAt(0), BASE64URL);

/** Whether a byte is in any of these classes. */
export function is(byte: number, classes: number): boolean {
  return ((CLASSES[byte] ?? 0) & classes) !== 0;
}

/** A range of bytes that is looked at as a text of its own: outside of it there is nothing (0). */
export interface Text {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export function byteAt(text: Text, position: number): number {
  return position >= text.start && position < text.end ? (text.bytes[position] ?? 0) : 0;
}

/** First position from `from` on that is not in these classes. */
export function runEnd(text: Text, from: number, classes: number): number {
  let position = from;
  while (position < text.end && is(text.bytes[position] ?? 0, classes)) position++;
  return position;
}

/** Whether a word (letters and digits) goes on at this position, so that a find here would be a part of something else. */
export function inWord(text: Text, position: number): boolean {
  return is(byteAt(text, position), ALPHANUMERIC);
}

/** The ASCII text at a position, no further than the range. */
export function startsWith(text: Text, position: number, ascii: string): boolean {
  if (position < text.start || position + ascii.length > text.end) return false;
  for (let index = 0; index < ascii.length; index++) {
    if (text.bytes[position + index] !== ascii.charCodeAt(index)) return false;
  }
  return true;
}
