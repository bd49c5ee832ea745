/** SCRAM-SHA-256 as a client (RFC 5802, RFC 7677), for signing in to the server. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/** PostgreSQL's default is 4,096; a hostile server may not make us count for minutes. */
const MAX_ITERATIONS = 10_000_000;

export class ScramError extends Error {
  readonly code = 'scram';
}

export class ScramClient {
  readonly mechanism = 'SCRAM-SHA-256';
  readonly #password: string;
  readonly #nonce = randomBytes(18).toString('base64');
  #serverSignature: Buffer | undefined;

  constructor(password: string) {
    this.#password = password;
  }

  /** client-first-message; the user name is empty, PostgreSQL takes that of the start-up packet. */
  first(): string {
    return `n,,n=,r=${this.#nonce}`;
  }

  /** client-final-message for the server's first. */
  async final(serverFirst: string): Promise<string> {
    const attributes = parse(serverFirst);
    const nonce = attributes.get('r') ?? '';
    const iterations = Number(attributes.get('i'));
    const salt = Buffer.from(attributes.get('s') ?? '', 'base64');
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length)
      throw new ScramError('the server changed the nonce');
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > MAX_ITERATIONS)
      throw new ScramError('iteration count');
    if (salt.length === 0) throw new ScramError('no salt');
    const salted = await derive(prepare(this.#password), salt, iterations, 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash('sha256').update(clientKey).digest();
    const withoutProof = `c=biws,r=${nonce}`;
    const authMessage = `n=,r=${this.#nonce},${serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, authMessage);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** The server must know the password too. */
  verify(serverFinal: string): void {
    const signature = Buffer.from(parse(serverFinal).get('v') ?? '', 'base64');
    const expected = this.#serverSignature;
    if (!expected || signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new ScramError('the server could not prove that it knows the password');
    }
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** SASLprep as far as PostgreSQL falls back: NFKC where the text is valid Unicode. */
function prepare(password: string): string {
  return password.normalize('NFKC');
}

function parse(message: string): ReadonlyMap<string, string> {
  const attributes = new Map<string, string>();
  for (const part of message.split(',')) {
    if (part[1] === '=') attributes.set(part.charAt(0), part.slice(2));
  }
  return attributes;
}
