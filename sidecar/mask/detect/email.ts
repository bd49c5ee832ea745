/** E-mail addresses: a local part without quotes, and a domain with a top-level label of letters. */
import { byteAt, DIGIT, DOMAIN, is, LETTER, LOCAL, runEnd, startsWith, type Text, WIDE } from './bytes.ts';
import type { Found, Scanner } from './scanner.ts';

const DOT = 0x2e;
const APOSTROPHE = 0x27;
const DASH = 0x2d;

export const email: Scanner = {
  detector: 'Email',
  triggers: '@',
  match(text: Text, position: number, found: Found): boolean {
    let start = position;
    while (start > text.start && is(text.bytes[start - 1] ?? 0, LOCAL)) start--;
    while (start < position && [DOT, APOSTROPHE].includes(byteAt(text, start))) start++;
    if (start === position) return false;
    let end = runEnd(text, position + 1, DOMAIN);
    while (end > position && [DOT, DASH].includes(byteAt(text, end - 1))) end--;
    if (!isDomain(text, position + 1, end)) return false;
    found.start = start;
    found.end = end;
    return true;
  },
};

function isDomain(text: Text, start: number, end: number): boolean {
  let label = end;
  while (label > start && byteAt(text, label - 1) !== DOT) label--;
  if (label <= start + 1 || !isTopLevel(text, label, end)) return false;
  return byteAt(text, start) !== DOT && !isScaledPicture(text, start);
}

/** Letters, two at least, or punycode. */
function isTopLevel(text: Text, start: number, end: number): boolean {
  if (startsWith(text, start, 'xn--')) return end > start + 4;
  return end - start >= 2 && runEnd(text, start, LETTER | WIDE) >= end;
}

/** `icon@2x.png` is a file. */
function isScaledPicture(text: Text, start: number): boolean {
  return (
    is(byteAt(text, start), DIGIT) && byteAt(text, start + 1) === 0x78 && byteAt(text, start + 2) === DOT
  );
}
