/** What policies that only observe would mask: told in the session's recording, since nothing in its answers shows it. */
import type { NoticeSeen } from './event.ts';
import type { MaskRules } from '../mask/mask.ts';

const MAX_NAMED = 20;

export function observedMasksNote({ columns, detectors }: MaskRules): NoticeSeen | undefined {
  const names = [...columns.map(({ column }) => column), ...detectors.map(({ detector }) => detector)];
  if (names.length === 0) return undefined;
  const some = names.slice(0, MAX_NAMED).join(', ');
  const rest = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return {
    kind: 'notice',
    operation: null,
    severity: 'NOTICE',
    code: '00000',
    message: `not masked, since the policy only observes: ${some}${rest}`,
  };
}
