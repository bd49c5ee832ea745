/** What a client is told of why its target could not be signed in to. */
import { CredentialsError } from '../credentials.ts';
import { ServerRefusal } from './server.ts';

export const TELL = 'Tell the platform team.';

/** What the server refused because of the client's own parameters; all else names our credential, and stays in our log. */
export function clientFault(
  error: unknown,
): { sqlstate: string; message: string; hint?: string } | undefined {
  if (error instanceof CredentialsError) return { sqlstate: '57P03', message: error.message, hint: TELL };
  if (!(error instanceof ServerRefusal)) return undefined;
  const sqlstate = error.fields.get('C') ?? '';
  // invalid_parameter_value, undefined_object (a setting), cannot_connect_now, too_many_connections
  if (!['22023', '42704', '57P03', '53300'].includes(sqlstate)) return undefined;
  return { sqlstate, message: error.message };
}
