/** The operator's signature on recordings: Ed25519, the private key in the state folder and never anywhere else. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { once } from './parts.ts';
import { RecordingError } from './recording-error.ts';
import { writeWhole } from './write-whole.ts';

export interface RecordingSigner {
  /** SHA-256 of the public key (SPKI, DER), base64url. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
  sign(bytes: Uint8Array): Uint8Array;
}

/** Names inside the state folder. */
const PRIVATE_KEY = join('keys', 'recording.ed25519');
export const PUBLIC_KEY = join('keys', 'recording.ed25519.pub');

/** Reads the state folder's key, or makes it (0600) on the first start, with the public one (PEM) beside it. */
export async function loadSigner(state: string): Promise<RecordingSigner> {
  await mkdir(join(state, 'keys'), { recursive: true, mode: 0o700 });
  const path = join(state, PRIVATE_KEY);
  const made = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
  await writeOnce(path, made, 0o600);
  const key = parsePrivateKey(await readFile(path), path);
  await keepPublicKey(join(state, PUBLIC_KEY), createPublicKey(key).export({ format: 'pem', type: 'spki' }));
  return signerOf(key);
}

export function signerOf(key: KeyObject): RecordingSigner {
  const publicKey = createPublicKey(key);
  return { keyId: keyIdOf(publicKey), publicKey, sign: (bytes) => sign(null, bytes, key) };
}

function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64url');
}

/** A public key that signatures are checked with. */
export interface TrustedKey {
  readonly keyId: string;
  readonly key: KeyObject;
}

/** Reads a public key (PEM, Ed25519) for offline checks. */
export async function loadTrustedKey(path: string): Promise<TrustedKey> {
  const pem = await readFile(path).catch((cause: unknown) => {
    throw new RecordingError('key', `cannot read the key ${path}`, cause);
  });
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new RecordingError('key', `${path} is not a public key in PEM form`, cause);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new RecordingError('key', `${path} is not an Ed25519 key`);
  return { keyId: keyIdOf(key), key };
}

/** The key of a signer whose signatures are to be checked. */
export function trustedKeyOf({ keyId, publicKey }: RecordingSigner): TrustedKey {
  return { keyId, key: publicKey };
}

/** `path` names it in errors. */
export function parsePrivateKey(pem: Buffer, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new RecordingError('key', `${path} is not a private key in PEM form`, cause);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new RecordingError('key', `${path} is not an Ed25519 key`);
  return key;
}

/** Written anew where it is another key's, or cut. */
async function keepPublicKey(path: string, pem: string | Buffer): Promise<void> {
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found === pem) return;
  await rm(path, { force: true });
  await writeOnce(path, pem, 0o644);
}

async function writeOnce(path: string, content: string | Buffer, mode: number): Promise<void> {
  try {
    await writeWhole(path, once(Buffer.from(content)), mode);
  } catch (error) {
    // Made by an earlier start: that one counts.
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return;
    throw new RecordingError('key', `cannot write ${path}`, error);
  }
}
