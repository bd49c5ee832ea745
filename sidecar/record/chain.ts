/** The chain: each line carries its number and the hash of the line before; the first that of the session's header. */
import { hash } from 'node:crypto';

/** SHA-256, base64url, of a line's exact bytes without its line feed. */
export function lineHash(line: string | Uint8Array): string {
  return hash('sha256', line, 'base64url');
}

/** `body` is the rest of a JSON object, from its first comma on. */
export function chainedLine(n: number, previous: string, body: string): string {
  return `{"n":${n},"prev":"${previous}"${body}`;
}

/** Longest line that is written or read, in bytes. What is longer cannot be recorded, and so is refused. */
export const MAX_LINE = 64 * 1024 * 1024;

/** Bytes of a line that chain it, at most. */
export const MAX_LINK = 128;

/** Characters of a line's hash that a segment's head keeps of each line, so that the first wrong one can be named. */
export const TAG_LENGTH = 6;
