/** Detectors within json: strings, keys and numbers are masked one by one, all else stays as it was written. */
import { applyMask, REDACTED } from '../../mask/apply.ts';
import type { Span } from '../../mask/span.ts';
import type { MaskContext } from './value-plan.ts';

export const REDACTED_JSON = JSON.stringify(REDACTED);

/** What json has nothing of outside strings and numbers. */
const FOREIGN = /[^\s{}[\],:truefalsn]/;

/** The document with all finds masked; the same text when there are none, `"[redacted]"` when it is no json. */
export function maskJson(text: string, context: MaskContext): string {
  const outer = context.detectors?.find(text) ?? [];
  // Escapes may hide what is in a string; without any, what is in a string is in the document too.
  if (outer.length === 0 && !text.includes('\\')) return text;
  let out = '';
  let next = 0;
  for (let position = 0; position < text.length;) {
    const end = tokenEnd(text, position);
    if (end < 0) return REDACTED_JSON;
    const token = text.slice(position, end);
    if (!isValue(token) && FOREIGN.test(token)) return REDACTED_JSON;
    while (next < outer.length && (outer[next]?.end ?? 0) <= position) next++;
    const masked = isValue(token) ? maskToken(token, position, outer[next], context) : token;
    if (masked === undefined) return REDACTED_JSON;
    out += masked === null ? (isKey(text, end) ? REDACTED_JSON : 'null') : masked;
    position = end;
  }
  return out;
}

/** Null when a `Null` mask applies; undefined when the token is none of json's. */
function maskToken(
  token: string,
  start: number,
  around: Span | undefined,
  context: MaskContext,
): string | null | undefined {
  const { detectors, keys } = context;
  if (detectors === undefined) return token;
  const text = token.startsWith('"') ? readString(token) : token;
  if (text === undefined) return undefined;
  const { value, hits } = detectors.apply(text, keys);
  if (hits > 0) return value === null ? null : JSON.stringify(value);
  // Found by what stands around it, e.g. a secret behind its name.
  if (around === undefined || around.start < start || around.end > start + token.length) return token;
  const masked = applyMask(around.mask, text, keys);
  return masked === null ? null : JSON.stringify(masked);
}

function readString(token: string): string | undefined {
  try {
    const value: unknown = JSON.parse(token);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * End of the token that starts here: a string, a number, or all that stands up to the next of these (the server checked
 * the grammar of it). -1 for a string without an end.
 */
function tokenEnd(text: string, start: number): number {
  if (text.charAt(start) === '"') return stringEnd(text, start + 1);
  const inNumber = isNumeric(text.charCodeAt(start));
  let position = start;
  while (position < text.length && text.charAt(position) !== '"') {
    const numeric = inNumber ? /[\d.eE+-]/.test(text.charAt(position)) : isNumeric(text.charCodeAt(position));
    if (numeric !== inNumber) break;
    position++;
  }
  return position;
}

function stringEnd(text: string, start: number): number {
  for (let position = start; position < text.length; position++) {
    const character = text.charAt(position);
    if (character === '"') return position + 1;
    if (character === '\\') position++;
  }
  return -1;
}

/** A digit or a minus: what a number starts with. */
function isNumeric(code: number): boolean {
  return code === 0x2d || (code >= 0x30 && code <= 0x39);
}

function isValue(token: string): boolean {
  return token.startsWith('"') || isNumeric(token.charCodeAt(0));
}

/** Keys cannot be null. */
function isKey(text: string, end: number): boolean {
  let position = end;
  while (' \t\r\n'.includes(text.charAt(position)) && position < text.length) position++;
  return text.charAt(position) === ':';
}
