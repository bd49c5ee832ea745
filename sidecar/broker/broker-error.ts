/** Why the broker did not do what it was asked. */
import type { BrokerError } from './protocol.ts';

/**
 * The broker's own codes, and `protocol`: what came is no answer of a broker. `unavailable` may be tried again, also when nothing came
 * at all; all others are final.
 */
export type BrokerErrorCode = BrokerError['code'] | 'protocol';

/** The message is for people and holds no secret. */
export class BrokerRequestError extends Error {
  override readonly name = 'BrokerRequestError';
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Foreign errors of sockets, TLS, DNS and files: nothing was answered, and another try may be. */
export function brokerErrorOf(error: unknown): BrokerRequestError {
  if (error instanceof BrokerRequestError) return error;
  const message = error instanceof Error ? error.message : 'unknown failure';
  return new BrokerRequestError('unavailable', `the broker cannot be reached: ${message}`, error);
}
