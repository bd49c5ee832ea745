/** Private keys in PEM armour (RFC 7468, OpenSSH, PGP). A key that is cut off is hidden to the end of the text. */
import { byteAt, DIGIT, is, startsWith, type Text, UPPER } from './bytes.ts';
import type { Found, Scanner } from './scanner.ts';

const DASH = 0x2d;
const SPACE = 0x20;
/** `ENCRYPTED`, `RSA`, `OPENSSH`, …, and the words that must be among them. */
const LONGEST_LABEL = 64;

export const privateKey: Scanner = {
  detector: 'PrivateKey',
  triggers: '-',
  match(text: Text, position: number, found: Found): boolean {
    const label = marker(text, position, 'BEGIN ');
    if (label < 0) return false;
    const header = labelEnd(text, label);
    if (header < 0) return false;
    found.start = position;
    found.end = armourEnd(text, header);
    return true;
  },
};

/** Where the label of a `-----BEGIN ` (or with four dashes and a blank) at this position starts; else -1. */
function marker(text: Text, position: number, word: string): number {
  if (!startsWith(text, position, '----')) return -1;
  let at = position + 4;
  if (byteAt(text, at) === DASH) at++;
  if (byteAt(text, at) === SPACE) at++;
  return startsWith(text, at, word) ? at + word.length : -1;
}

/** End of a label that says `PRIVATE KEY`, -1 for any other. */
function labelEnd(text: Text, start: number): number {
  let position = start;
  while (position - start < LONGEST_LABEL && is(byteAt(text, position), UPPER | DIGIT)) {
    position++;
    if (byteAt(text, position) === SPACE && is(byteAt(text, position + 1), UPPER | DIGIT)) position++;
  }
  const label = String.fromCharCode(...text.bytes.subarray(start, position));
  return label.includes('PRIVATE KEY') ? position : -1;
}

function armourEnd(text: Text, from: number): number {
  for (let position = from; position < text.end; position++) {
    if (byteAt(text, position) !== DASH) continue;
    const label = marker(text, position, 'END ');
    const end = label < 0 ? -1 : labelEnd(text, label);
    if (end < 0) continue;
    let after = end;
    while (after - end < 6 && [DASH, SPACE].includes(byteAt(text, after))) after++;
    return after;
  }
  return text.end;
}
