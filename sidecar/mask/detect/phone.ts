/**
 * Telephone numbers as people write them: international (`+49 30 123456`, `0049 30 …`), North American
 * (`(555) 123-4567`, `555-123-4567`) and with a trunk zero (`030 1234567`, `06 12 34 56 78`). Bare runs of digits are not
 * taken for one: too much else is.
 */
import { byteAt, DIGIT, inWord, is, LETTER, runEnd, type Text } from './bytes.ts';
import { DIGITS, type Found, type Scanner } from './scanner.ts';
import { separatorAt, separatorLength } from './separator.ts';
import { followedByGroup, precededByGroup } from './ssn.ts';

const ZERO = 0x30;
const OPEN = 0x28;
const CLOSE = 0x29;
const DASH = 0x2d;
const SLASH = 0x2f;

export const phone: Scanner = {
  detector: 'PhoneNumber',
  triggers: `${DIGITS}+(`,
  match(text: Text, position: number, found: Found): boolean {
    if (inWord(text, position - 1)) return false;
    const end = endOf(text, position);
    if (end < 0) return false;
    found.start = position;
    found.end = end;
    return true;
  },
};

function endOf(text: Text, position: number): number {
  const byte = byteAt(text, position);
  if (byte === 0x2b) return international(text, position + 1, false);
  if (byte === OPEN) return bracketed(text, position);
  if (precededByGroup(text, position)) return -1;
  if (byte !== ZERO) return northAmerican(text, position);
  // `fa8a0a-0435-4471` is a part of an identifier.
  if (byteAt(text, position - 1) === DASH && inWord(text, position - 2)) return -1;
  if (byteAt(text, position + 1) === ZERO) return international(text, position + 2, true);
  const pairs = fivePairs(text, position);
  return pairs < 0 ? trunk(text, position) : pairs;
}

/** The country's code and the rest: 8 to 15 digits (E.164), `(0)` let by; three groups when a mere number must not pass for one. */
function international(text: Text, start: number, grouped: boolean): number {
  if (byteAt(text, start) <= ZERO) return -1;
  let best = -1;
  let count = 0;
  let groups = 0;
  for (let position = start; ;) {
    const end = runEnd(text, position, DIGIT);
    count += end - position;
    groups++;
    if (end === position || count > 16) return best;
    if (count >= 8 && !inWord(text, end) && !(grouped && (groups < 3 || isDashed(text, end)))) best = end;
    position = nextGroup(text, end);
    if (position < 0) return best;
  }
}

/** A dash and a letter follow: an identifier. */
function isDashed(text: Text, end: number): boolean {
  return byteAt(text, end) === DASH && is(byteAt(text, end + 1), LETTER);
}

/** Start of the next group of digits behind up to three separators and brackets; -1 when there is none. */
function nextGroup(text: Text, from: number): number {
  let position = from;
  for (let steps = 0; steps < 3; steps++) {
    const byte = byteAt(text, position);
    if (byte === OPEN || byte === CLOSE || byte === SLASH) position++;
    else if (separatorAt(text, position) !== undefined) position += separatorLength(text, position);
    else break;
  }
  return position > from && is(byteAt(text, position), DIGIT) ? position : -1;
}

/** `(555) 123-4567`. */
function bracketed(text: Text, position: number): number {
  const area = position + 1;
  if (byteAt(text, area) < 0x32 || runEnd(text, area, DIGIT) !== area + 3 || byteAt(text, area + 3) !== CLOSE)
    return -1;
  let exchange = area + 4;
  if (separatorAt(text, exchange) !== undefined) exchange += separatorLength(text, exchange);
  return exchangeAndLine(text, exchange);
}

function exchangeAndLine(text: Text, exchange: number): number {
  if (runEnd(text, exchange, DIGIT) !== exchange + 3 || separatorAt(text, exchange + 3) === undefined)
    return -1;
  const line = exchange + 3 + separatorLength(text, exchange + 3);
  const end = runEnd(text, line, DIGIT);
  return end === line + 4 && !inWord(text, end) && !followedByGroup(text, end) ? end : -1;
}

/** `555-123-4567`, `1-555-123-4567`; with blanks only when the exchange is one that exists. */
function northAmerican(text: Text, position: number): number {
  let area = position;
  const trunkOne = byteAt(text, position) === 0x31 && separatorAt(text, position + 1) !== undefined;
  if (trunkOne) area += 1 + separatorLength(text, position + 1);
  if (trunkOne && byteAt(text, area) === OPEN) return bracketed(text, area);
  if (byteAt(text, area) < 0x32 || runEnd(text, area, DIGIT) !== area + 3) return -1;
  const kind = separatorAt(text, area + 3);
  if (kind === undefined) return -1;
  const exchange = area + 3 + separatorLength(text, area + 3);
  if (separatorAt(text, exchange + 3) !== kind) return -1;
  if (kind === 'space' && !trunkOne && byteAt(text, exchange) < 0x32) return -1;
  return exchangeAndLine(text, exchange);
}

/** `06 12 34 56 78`. */
function fivePairs(text: Text, start: number): number {
  const kind = separatorAt(text, start + 2);
  let position = start;
  for (let pair = 0; pair < 5; pair++) {
    if (runEnd(text, position, DIGIT) !== position + 2) return -1;
    position += 2;
    if (pair === 4) break;
    if (kind === undefined || separatorAt(text, position) !== kind) return -1;
    position += separatorLength(text, position);
  }
  return inWord(text, position) || followedByGroup(text, position) ? -1 : position;
}

/** A trunk zero, an area of 2 to 4 digits, and groups of two and more: 9 to 12 digits in all. */
function trunk(text: Text, start: number): number {
  let end = runEnd(text, start, DIGIT);
  let count = end - start;
  if (count < 3 || count > 5) return -1;
  const mark = trunkMark(text, end);
  for (let groups = 0; groups < 4 && mark !== undefined && trunkMark(text, end) !== undefined; groups++) {
    if (groups > 0 && trunkMark(text, end) === 'slash') break;
    const from = end + (trunkMark(text, end) === 'slash' ? 1 : separatorLength(text, end));
    const to = runEnd(text, from, DIGIT);
    if (to < from + 2) break;
    count += to - from;
    end = to;
  }
  return count >= 9 && count <= 12 && !inWord(text, end) && !followedByGroup(text, end) ? end : -1;
}

function trunkMark(text: Text, position: number): 'space' | 'dash' | 'slash' | undefined {
  if (byteAt(text, position) === SLASH) return 'slash';
  const kind = separatorAt(text, position);
  return kind === 'dot' ? undefined : kind;
}
