/** Why the broker does not do what a sidecar asks: the closed set of the protocol, and HTTP's status for each. */
import type { BrokerError } from '../../sidecar/broker/protocol.ts';

type BrokerCode = BrokerError['code'];

export const STATUS: Readonly<Record<BrokerCode, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  invalid: 400,
  ended: 410,
  unavailable: 503,
};

/** The message goes to the sidecar: it is for people and holds no secret. */
export class BrokerFailure extends Error {
  override readonly name = 'BrokerFailure';
  readonly code: BrokerCode;

  constructor(code: BrokerCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
