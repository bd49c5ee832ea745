/** What a client is told at once when its statement waits for a person. */
import type { HoldRequirement } from '../operation.ts';
import { errorFields } from './refusal.ts';
import type { ErrorFields } from './wire/backend.ts';

export function holdNotice(approval: string, requirement: HoldRequirement): ErrorFields {
  const who = [
    ...requirement.approvers.groups.map((group) => `group ${group}`),
    ...requirement.approvers.users,
  ].join(' or ');
  const minutes = `${Math.ceil(requirement.timeout / 60_000)} min`;
  return errorFields(
    'NOTICE',
    '00000',
    `waiting for approval ${approval}`,
    `Held by policy ${requirement.rule.policy}, rule ${requirement.rule.rule}; ${who} can decide within ${minutes}.`,
    'The statement runs when it is approved. Cancel it to give up.',
  );
}
