/** IPv4 addresses in dotted form. Version numbers and object identifiers look alike and are told by what is around them. */
import { byteAt, DIGIT, inWord, is, LETTER, type Text } from './bytes.ts';
import { DIGITS, type Found, type Scanner } from './scanner.ts';

const DOT = 0x2e;
const VERSION_WORDS = /(?:version|ver|v|release|rev|revision|build|firmware)$/i;

export const ipv4: Scanner = {
  detector: 'IPAddress',
  triggers: DIGITS,
  match(text: Text, position: number, found: Found): boolean {
    if (inWord(text, position - 1) || byteAt(text, position - 1) === DOT) return false;
    const end = dottedQuad(text, position);
    if (end < 0 || isVersion(text, position, end)) return false;
    found.start = position;
    found.end = end;
    return true;
  },
};

/** End of four numbers of 0–255 without leading zeros that start here, nothing of the kind after them; else -1. */
export function dottedQuad(text: Text, start: number): number {
  let position = start;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && byteAt(text, position++) !== DOT) return -1;
    const from = position;
    let value = 0;
    while (is(byteAt(text, position), DIGIT) && position < from + 4)
      value = value * 10 + byteAt(text, position++) - 0x30;
    const length = position - from;
    if (length === 0 || value > 255 || (length > 1 && byteAt(text, from) === 0x30)) return -1;
  }
  const more = byteAt(text, position) === DOT && inWord(text, position + 1);
  return more || inWord(text, position) ? -1 : position;
}

function isVersion(text: Text, start: number, end: number): boolean {
  if (byteAt(text, end) === 0x2d && is(byteAt(text, end + 1), LETTER)) return true;
  if (byteAt(text, start - 1) === 0x2f && is(byteAt(text, start - 2), LETTER)) return true;
  return (endsInZeros(text, start, end) && byteAt(text, start) !== 0x30) || followsVersionWord(text, start);
}

/** `4.0.0.0`: no host has it, many programs do. */
function endsInZeros(text: Text, start: number, end: number): boolean {
  let zeros = 0;
  for (let position = end - 1; position > start; position -= 2) {
    if (byteAt(text, position) !== 0x30 || byteAt(text, position - 1) !== DOT) break;
    zeros++;
  }
  return zeros === 3;
}

function followsVersionWord(text: Text, start: number): boolean {
  let before = start;
  while (before > text.start && start - before < 4 && !is(byteAt(text, before - 1), LETTER | DIGIT)) before--;
  if (!is(byteAt(text, before - 1), LETTER)) return false;
  const from = Math.max(text.start, before - 10);
  return VERSION_WORDS.test(String.fromCharCode(...text.bytes.subarray(from, before)));
}
