/**
 * Signed documents: a line of JSON, and a line with the signature over it.
 *
 *     {"format":"sidewarden-recording/1","kind":"head",…}
 *     {"algorithm":"Ed25519","key":"<key id>","signature":"<base64url>"}
 */
import { verify } from 'node:crypto';
import { jsonText } from './json-text.ts';
import { RecordingError } from './recording-error.ts';
import { object, oneOf, string } from './shape.ts';
import type { RecordingSigner, TrustedKey } from './signer.ts';

export const FORMAT = 'sidewarden-recording/1';
/** Keeps these signatures apart from any other use of the key. */
const CONTEXT = `${FORMAT}\n`;

export interface Sealed {
  /** The exact first line. */
  readonly payload: string;
  readonly keyId: string;
  readonly signature: string;
}

const readSignature = object({ algorithm: oneOf('Ed25519'), key: string, signature: string });

export function seal(
  document: object,
  signer: RecordingSigner,
): { readonly payload: string; readonly bytes: Buffer } {
  const payload = jsonText(document);
  return {
    payload,
    bytes: sealedBytes({ payload, keyId: signer.keyId, signature: signPayload(payload, signer) }),
  };
}

/** Of a document's exact first line; base64url. */
export function signPayload(payload: string, signer: RecordingSigner): string {
  return Buffer.from(signer.sign(Buffer.from(CONTEXT + payload))).toString('base64url');
}

/** The two lines. */
export function sealedBytes({ payload, keyId, signature }: Sealed): Buffer {
  return Buffer.from(`${payload}\n${jsonText({ algorithm: 'Ed25519', key: keyId, signature })}\n`);
}

export function parseSealed(bytes: Uint8Array, name: string): Sealed {
  const lines = decode(bytes, name).split('\n');
  const [payload, second, rest] = lines;
  if (payload === undefined || second === undefined || rest !== '' || lines.length !== 3) {
    throw new RecordingError('format', `${name} is not a signed document`);
  }
  const { key, signature } = readSignature(parseJson(second, name), '');
  return { payload, keyId: key, signature };
}

/** Undefined when the signature is right, else what is wrong with it. */
export function checkSeal(sealed: Sealed, trusted: TrustedKey): string | undefined {
  if (sealed.keyId !== trusted.keyId) return `signed by another key (${printable(sealed.keyId)})`;
  const signature = Buffer.from(sealed.signature, 'base64url');
  const right =
    signature.toString('base64url') === sealed.signature &&
    verify(null, Buffer.from(CONTEXT + sealed.payload), trusted.key, signature);
  return right ? undefined : 'the signature is wrong';
}

export function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RecordingError('format', `${name} is not JSON`, cause);
  }
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new RecordingError('format', `${name} is not UTF-8`, cause);
  }
}

function printable(keyId: string): string {
  return /^[\w-]{1,64}$/.test(keyId) ? keyId : 'no key id';
}
