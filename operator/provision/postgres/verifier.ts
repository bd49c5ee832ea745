/** A password of ours, and the SCRAM-SHA-256 verifier (RFC 5803, as PostgreSQL stores it) that the server gets in its place. */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/** PostgreSQL's default. The password is 256 random bits: more rounds would protect nothing. */
const ITERATIONS = 4096;

export function randomPassword(): string {
  return randomBytes(32).toString('base64url');
}

/** `SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY`. The password must be ASCII: SASLprep leaves that as it is. */
export async function scramVerifier(password: string, salt = randomBytes(16)): Promise<string> {
  const salted = await derive(password, salt, ITERATIONS, 32, 'sha256');
  const key = (name: string) => createHmac('sha256', salted).update(name).digest();
  const stored = createHash('sha256').update(key('Client Key')).digest('base64');
  const server = key('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${server}`;
}
