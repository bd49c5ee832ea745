/** AWS access keys: the id by its prefix, the secret (40 characters of anything) only behind its usual names. */
import { byteAt, DIGIT, inWord, is, LETTER, type Text, UPPER } from './bytes.ts';
import type { Found, Scanner } from './scanner.ts';

const ID_LENGTH = 20;
const SECRET_LENGTH = 40;
const SECRET_NAME = /^secret[ _-]?(?:access[ _-]?)?key["']?[ \t]{0,8}(?:=>|[:=,])?[ \t]{0,8}["']?/i;
/** Longest match of the name above. */
const NAME_WINDOW = 48;

export const accessKey: Scanner = {
  detector: 'AWSAccessKey',
  triggers: 'AsS',
  match(text: Text, position: number, found: Found): boolean {
    return byteAt(text, position) === 0x41 ? keyId(text, position, found) : secret(text, position, found);
  },
};

/** `AKIA…` and `ASIA…`, twenty capitals and digits. */
function keyId(text: Text, position: number, found: Found): boolean {
  const second = byteAt(text, position + 1);
  if (
    (second !== 0x4b && second !== 0x53) ||
    byteAt(text, position + 2) !== 0x49 ||
    byteAt(text, position + 3) !== 0x41
  ) {
    return false;
  }
  const end = position + ID_LENGTH;
  if (is(byteAt(text, position - 1), UPPER | DIGIT) || end > text.end) return false;
  for (let at = position + 4; at < end; at++) if (!is(byteAt(text, at), UPPER | DIGIT)) return false;
  if (inWord(text, end)) return false;
  found.start = position;
  found.end = end;
  return true;
}

function secret(text: Text, position: number, found: Found): boolean {
  const second = byteAt(text, position + 1) | 0x20;
  if (second !== 0x65 || (byteAt(text, position + 2) | 0x20) !== 0x63) return false;
  const window = text.bytes.subarray(position, Math.min(text.end, position + NAME_WINDOW));
  const name = SECRET_NAME.exec(String.fromCharCode(...window));
  if (name === null) return false;
  const start = position + name[0].length;
  let end = start;
  while (end < text.end && end <= start + SECRET_LENGTH && isSecretByte(byteAt(text, end))) end++;
  if (end !== start + SECRET_LENGTH) return false;
  found.start = start;
  found.end = end;
  return true;
}

function isSecretByte(byte: number): boolean {
  return is(byte, LETTER | DIGIT) || byte === 0x2f || byte === 0x2b || byte === 0x3d;
}
