/** International bank account numbers (ISO 13616): a country's length, and 1 modulo 97. */
import { ALPHANUMERIC, byteAt, DIGIT, inWord, is, LETTER, LOWER, type Text, UPPER } from './bytes.ts';
import { DIGITS, type Found, type Scanner } from './scanner.ts';
import { separatorAt, separatorLength } from './separator.ts';

/** Lengths from the SWIFT registry. */
const LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 ' +
    'FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 ' +
    'LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
    'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

const DASH = 0x2d;

const characters = new Uint8Array(34);

export const iban: Scanner = {
  detector: 'IBAN',
  triggers: DIGITS,
  match(text: Text, position: number, found: Found): boolean {
    const start = position - 2;
    if (!is(byteAt(text, start), LETTER) || !is(byteAt(text, start + 1), LETTER) || inWord(text, start - 1))
      return false;
    if (!is(byteAt(text, position + 1), DIGIT)) return false;
    // Groups of a UUID look like this.
    if (byteAt(text, start - 1) === DASH && inWord(text, start - 2)) return false;
    const country = String.fromCharCode(upper(byteAt(text, start)), upper(byteAt(text, start + 1)));
    const length = LENGTHS.get(country);
    if (length === undefined) return false;
    const end = collect(text, start, length);
    if (end < 0 || inWord(text, end) || remainder(length) !== 1) return false;
    found.start = start;
    found.end = end;
    return true;
  },
};

function upper(byte: number): number {
  return is(byte, LOWER) ? byte - 0x20 : byte;
}

/** Takes that many letters and digits; single separators between them are let by in capitals. -1 when there are fewer. */
function collect(text: Text, start: number, length: number): number {
  const grouped = is(byteAt(text, start), UPPER);
  let position = start;
  for (let count = 0; count < length; count++) {
    const kind = count === 0 || !grouped ? undefined : separatorAt(text, position);
    if (kind === 'space' || kind === 'dash') position += separatorLength(text, position);
    const byte = byteAt(text, position++);
    if (!is(byte, ALPHANUMERIC)) return -1;
    characters[count] = upper(byte);
  }
  return position;
}

function remainder(length: number): number {
  let value = 0;
  for (let index = 0; index < length; index++) {
    const byte = characters[(index + 4) % length] ?? 0;
    value = byte <= 0x39 ? (value * 10 + byte - 0x30) % 97 : (value * 100 + byte - 0x37) % 97;
  }
  return value;
}
