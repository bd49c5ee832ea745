/** Whether a target takes the credentials: a real sign-in, and nothing after it. */
import { failure } from '../provision/postgres/failure.ts';
import { AdministratorClient, clientConfig } from '../provision/postgres/client.ts';
import type { Target } from '../provision/provisioner.ts';

export type SignIn =
  | { readonly kind: 'accepted' }
  /** For people; no secret in it. */
  | { readonly kind: 'refused' | 'unreachable'; readonly message: string };

/** For name resolution, connection, TLS and sign-in together. */
const LIMIT_MS = 5000;
const GOODBYE_MS = 1000;

/** Of a PostgreSQL target; resolves within some seconds. */
export async function signInToPostgres(target: Target): Promise<SignIn> {
  const { database = 'postgres' } = target.connection.spec.target;
  const client = new AdministratorClient({
    ...clientConfig(target, database),
    connectionTimeoutMillis: LIMIT_MS,
  });
  // What breaks after it was made breaks nothing.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return { kind: 'accepted' };
  } catch (error) {
    const { code, message } = failure(error, 'signing in');
    return { kind: code === 'credentials' ? 'refused' : 'unreachable', message };
  } finally {
    // A peer that answers and never closes is not waited for.
    const patience = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS);
    await client.end().catch(() => undefined);
    clearTimeout(patience);
  }
}
