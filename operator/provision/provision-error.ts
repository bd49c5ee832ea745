/** Why a role could not be made, renewed or revoked. */

/**
 * `unreachable`: no connection to the target, or it broke. `credentials`: the target refused the administrator. `forbidden`: the
 * administrator lacks a right. `invalid`: the connection asks for something that cannot be, e.g. a table that does not exist.
 * `taken`: a role of that name is not ours. `busy`: locks or backends stood in the way for too long. `failed`: anything else.
 */
export type ProvisionFault =
  'unreachable' | 'credentials' | 'forbidden' | 'invalid' | 'taken' | 'busy' | 'failed';

/** The message is for people and holds no secret. */
export class ProvisionError extends Error {
  override readonly name = 'ProvisionError';
  readonly code: ProvisionFault;

  constructor(code: ProvisionFault, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
