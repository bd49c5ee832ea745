/** Notices of ours to the client: what holds its statement, and what a policy that only observes would have done. */
import type { Decision, HoldRequirement } from '../operation.ts';
import type { Exchange } from './exchange.ts';
import { holdNotice } from './hold-notice.ts';
import { errorFields } from './refusal.ts';
import { encodeErrorFields } from './wire/backend.ts';

/** At once: the answer itself may take as long as a person does. */
export function tellHeld(exchange: Exchange, approval: string, requirement: HoldRequirement): void {
  exchange.toClient.send(encodeErrorFields('notice', holdNotice(approval, requirement)));
  exchange.toClient.flush();
}

export function tellObserved(exchange: Exchange, decision: Decision): void {
  for (const { policy, would, rules } of decision.observed) {
    if (would === 'allow') continue;
    const names = rules.map(({ rule }) => rule).join(', ');
    const fields = errorFields(
      'NOTICE',
      '00000',
      `policy ${policy} would ${would} this statement (it only observes)`,
      names === '' ? '' : `Rules: ${names}.`,
    );
    exchange.toClient.send(encodeErrorFields('notice', fields));
  }
}
