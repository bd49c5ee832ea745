/**
 * Payment card numbers (ISO/IEC 7812): a known issuer's prefix and length, the Luhn check digit, and groups as cards are
 * written. Sixteen digits that are an order number pass this with a chance of about one in thirty.
 */
import { byteAt, DIGIT, inWord, is, type Text } from './bytes.ts';
import { DIGITS, type Found, type Scanner } from './scanner.ts';
import { separatorAt, separatorLength, type SeparatorKind } from './separator.ts';

const LONGEST = 19;
const SHORTEST = 14;

/** First prefix, last prefix, shortest and longest number. */
const ISSUERS: readonly (readonly [from: number, to: number, shortest: number, longest: number])[] = [
  [4, 4, 16, 16], // Visa; its thirteen digits of old look like EAN codes of goods
  [4, 4, 19, 19],
  [51, 55, 16, 16], // Mastercard
  [2221, 2720, 16, 16],
  [34, 34, 15, 15], // American Express
  [37, 37, 15, 15],
  [6011, 6011, 16, 19], // Discover
  [644, 659, 16, 19],
  [300, 305, 14, 16], // Diners Club
  [3095, 3095, 14, 16],
  [36, 36, 14, 16],
  [38, 39, 14, 16],
  [3528, 3589, 16, 19], // JCB
  [62, 62, 16, 19], // UnionPay
  [81, 82, 16, 16], // UnionPay, RuPay
  [50, 50, 16, 19], // Maestro, RuPay, Verve
  [56, 58, 16, 19], // Maestro
  [60, 60, 16, 16], // RuPay
  [63, 63, 16, 19],
  [67, 67, 16, 19],
  [2200, 2204, 16, 19], // Mir
];

const digits = new Uint8Array(LONGEST);

export const card: Scanner = {
  detector: 'CreditCard',
  triggers: DIGITS,
  match(text: Text, position: number, found: Found): boolean {
    const before = byteAt(text, position - 1);
    if (inWord(text, position - 1)) return false;
    if (before === 0x2e && is(byteAt(text, position - 2), DIGIT)) return false;
    const end = longest(text, position, before === 0x2d && inWord(text, position - 2));
    if (end < 0) return false;
    found.start = position;
    found.end = end;
    return true;
  },
};

/** End of the longest number that starts here, -1 when there is none. A number amid a chain of dashes is no card. */
function longest(text: Text, start: number, chained: boolean): number {
  let best = -1;
  let count = 0;
  let group: number;
  let grouped: SeparatorKind | undefined;
  for (let position = start; ;) {
    const from = position;
    while (is(byteAt(text, position), DIGIT)) {
      if (count === LONGEST) return best;
      digits[count++] = byteAt(text, position++) - 0x30;
    }
    group = position - from;
    const next = separatorAt(text, position);
    const more = next !== undefined && is(byteAt(text, position + separatorLength(text, position)), DIGIT);
    const cut = more && next !== 'space' && (next === 'dot' || next === grouped);
    if (!cut && !inWord(text, position) && !(grouped !== undefined && chained) && isCard(count))
      best = position;
    if (!more || (grouped !== undefined && next !== grouped) || (group !== 4 && group !== 6 && group !== 8))
      return best;
    grouped = next;
    position += separatorLength(text, position);
  }
}

function isCard(count: number): boolean {
  return count >= SHORTEST && hasIssuer(count) && passesLuhn(count);
}

function hasIssuer(count: number): boolean {
  const [a = 0, b = 0, c = 0, d = 0] = digits;
  const four = a * 1000 + b * 100 + c * 10 + d;
  for (const [from, to, shortest, longestLength] of ISSUERS) {
    if (count < shortest || count > longestLength) continue;
    const prefix = from >= 1000 ? four : from >= 100 ? Math.trunc(four / 10) : from >= 10 ? a * 10 + b : a;
    if (prefix >= from && prefix <= to) return true;
  }
  return false;
}

function passesLuhn(count: number): boolean {
  let sum = 0;
  for (let index = 0; index < count; index++) {
    const digit = digits[count - 1 - index] ?? 0;
    const weighted = index % 2 === 0 ? digit : digit * 2;
    sum += weighted > 9 ? weighted - 9 : weighted;
  }
  return sum % 10 === 0;
}
