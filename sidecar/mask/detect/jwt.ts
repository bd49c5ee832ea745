/** JSON web tokens in compact form (RFC 7515, 7516): three or five parts, of which the first is a JOSE header. */
import { BASE64URL, byteAt, runEnd, startsWith, type Text } from './bytes.ts';
import type { Found, Scanner } from './scanner.ts';

const DOT = 0x2e;
/** `{"alg":"x"}` */
const SHORTEST_HEADER = 14;

export const jsonWebToken: Scanner = {
  detector: 'JWT',
  triggers: 'e',
  match(text: Text, position: number, found: Found): boolean {
    if (!startsWith(text, position, 'eyJ')) return false;
    const header = runEnd(text, position, BASE64URL);
    // All other starts within this run have the same end: none need be tried, which keeps it linear.
    found.resume = header;
    if (header - position < SHORTEST_HEADER || byteAt(text, header) !== DOT) return false;
    const end = partsEnd(text, header);
    if (end < 0 || !isJoseHeader(text, position, header)) return false;
    found.start = position;
    found.end = end;
    return true;
  },
};

/** End of two or four more parts; the second of three must not be empty, that of five (a direct key) may be. */
function partsEnd(text: Text, header: number): number {
  const ends: number[] = [];
  for (let position = header; ends.length < 4 && byteAt(text, position) === DOT;) {
    position = runEnd(text, position + 1, BASE64URL);
    ends.push(position);
  }
  if (ends.length === 4 && ends[3] !== undefined) return ends[3];
  const [payload, signature] = ends;
  return payload === undefined || signature === undefined || payload === header + 1 ? -1 : signature;
}

function isJoseHeader(text: Text, start: number, end: number): boolean {
  const encoded = Buffer.from(text.bytes.buffer, text.bytes.byteOffset + start, end - start).toString(
    'latin1',
  );
  return /"(?:alg|typ|enc)"/.test(Buffer.from(encoded, 'base64url').toString('latin1'));
}
