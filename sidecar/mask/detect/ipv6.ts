/** IPv6 addresses (RFC 4291): eight groups, or fewer around one `::`, an IPv4 tail, a zone. Times, MACs and casts are none. */
import { ALPHANUMERIC, byteAt, DIGIT, HEX, inWord, is, runEnd, type Text } from './bytes.ts';
import { dottedQuad } from './ipv4.ts';
import type { Found, Scanner } from './scanner.ts';

const COLON = 0x3a;

export const ipv6: Scanner = {
  detector: 'IPAddress',
  triggers: ':',
  match(text: Text, position: number, found: Found): boolean {
    let start = position;
    while (start > text.start && position - start < 5 && is(byteAt(text, start - 1), HEX)) start--;
    const before = byteAt(text, start - 1);
    if (inWord(text, start - 1) || before === COLON || before === 0x2e || before === 0x5f) return false;
    const end = address(text, start);
    if (end < 0 || inWord(text, end) || byteAt(text, end) === 0x5f) return false;
    found.start = start;
    found.end = zoneEnd(text, end);
    return true;
  },
};

function address(text: Text, start: number): number {
  let position = start;
  let groups = 0;
  let compressed = false;
  let pairsOnly = true;
  let digits = 0;
  if (byteAt(text, start) === COLON) {
    if (byteAt(text, start + 1) !== COLON) return -1;
    compressed = true;
    position += 2;
  }
  for (;;) {
    const end = runEnd(text, position, HEX);
    if (end === position) break;
    const quad = byteAt(text, end) === 0x2e && groups > 0 ? dottedQuad(text, position) : -1;
    if (quad > 0) {
      groups += 2;
      digits++;
      position = quad;
      break;
    }
    if (end - position > 4 || ++groups > 8) return -1;
    pairsOnly &&= end - position === 2;
    for (let at = position; at < end; at++) if (is(byteAt(text, at), DIGIT)) digits++;
    position = end;
    if (byteAt(text, end) !== COLON) break;
    if (byteAt(text, end + 1) === COLON) {
      if (compressed) return -1;
      compressed = true;
      position = end + 2;
    } else if (is(byteAt(text, end + 1), HEX)) position = end + 1;
    else break;
  }
  if (byteAt(text, position) === COLON && is(byteAt(text, position + 1), ALPHANUMERIC)) return -1;
  if (!compressed) return groups === 8 && !pairsOnly ? position : -1;
  const bare = groups < 3 && byteAt(text, start) !== COLON && byteAt(text, start + 1) === COLON;
  return groups > 7 || groups === 0 || digits === 0 || bare ? -1 : position;
}

/** `%eth0` belongs to the address. */
function zoneEnd(text: Text, end: number): number {
  return byteAt(text, end) === 0x25 && inWord(text, end + 1) ? runEnd(text, end + 1, ALPHANUMERIC) : end;
}
