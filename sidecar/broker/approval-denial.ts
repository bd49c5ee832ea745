/** What a client is told when nobody could be asked. */
import { VOID_REASONS, type VoidReason } from '../approval/gateway.ts';
import type { Denial } from '../operation.ts';
import type { BrokerRequestError } from './broker-error.ts';

export const UNREADABLE: Denial = {
  code: 'internal',
  message: 'the statement needs an approval, which could not be asked for',
  detail: "The operator's answer cannot be read.",
  hint: 'Tell the platform team.',
};

export function failureDenial({ code, message }: BrokerRequestError): Denial {
  switch (code) {
    case 'unavailable':
      return {
        code: 'internal',
        message: 'the statement needs an approval, and the operator does not answer: nobody could be asked',
        detail: 'The statement did not run.',
        hint: 'Run it again later; if it stays so, tell the platform team.',
      };
    case 'invalid':
      return {
        code: 'unsupported',
        message: 'this operation cannot be held for an approval',
        detail: message,
        hint: 'Make it shorter, or split it.',
      };
    case 'ended':
    case 'forbidden':
    case 'not-found':
    case 'unauthenticated':
    case 'protocol':
      return { ...UNREADABLE, detail: message };
  }
}

/** The client went away, or cancelled, before there was an approval. */
export function goneDenial(why: VoidReason): Denial {
  const cancelled = why === 'ClientCancelled';
  return {
    code: cancelled ? 'cancelled' : 'approval-void',
    message: cancelled
      ? 'the statement was cancelled before a person was asked'
      : 'the session ended before a person was asked',
    detail: 'The statement did not run.',
    hint: 'Run it again if it is still wanted.',
  };
}

export function voidReason(reason: unknown): VoidReason {
  return VOID_REASONS.find((known) => known === reason) ?? 'ClientDisconnected';
}
