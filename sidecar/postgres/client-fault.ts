/** What a client is told of why its target could not be signed in to. */
import { CredentialsError } from '../credentials.ts';
import { ServerRefusal, isCredentialRefusal } from './server.ts';

export const TELL = 'Tell the platform team.';

/**
 * What the server refused because of the client's own parameters, and that it does not take our credential; all else names that
 * credential, and stays in our log. `connection` is its name.
 */
export function clientFault(
  error: unknown,
  connection: string,
): { readonly sqlstate: string; readonly message: string; readonly hint?: string } {
  const away = {
    sqlstate: '08006',
    message: `the target of ${connection} cannot be reached`,
    hint: "Try again; if it stays so, tell the platform team. The sidecar's log has the cause.",
  };
  if (error instanceof CredentialsError) return { sqlstate: '57P03', message: error.message, hint: TELL };
  if (!(error instanceof ServerRefusal)) return away;
  const sqlstate = error.fields.get('C') ?? '';
  if (isCredentialRefusal(error))
    return {
      sqlstate: '08004',
      message: "the target does not take the connection's credentials",
      hint: TELL,
    };
  // invalid_parameter_value, undefined_object (a setting), cannot_connect_now, too_many_connections
  if (!['22023', '42704', '57P03', '53300'].includes(sqlstate)) return away;
  return { sqlstate, message: error.message };
}
