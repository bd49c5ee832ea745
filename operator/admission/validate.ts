/** `/validate`: each of our kinds by its own rules, on what is about to be stored. */
import type { Kube } from '../kube/kube.ts';
import { approvalHandler, type ApprovalAdmission } from './approvals.ts';
import { checkObject } from './objects.ts';
import type { AdmissionAnswer, AdmissionRequest } from './review.ts';
import type { Handler } from './server.ts';
import { sessionHandler } from './sessions.ts';

export interface ValidateOptions extends ApprovalAdmission {
  readonly kube: ApprovalAdmission['kube'] & Pick<Kube, 'stores'>;
}

export function validateHandler(options: ValidateOptions): Handler {
  const approvals = approvalHandler(options);
  const sessions = sessionHandler(options.operator);
  return (request) => {
    const { kind } = request.kind;
    switch (kind) {
      case 'Approval':
        return approvals(request);
      case 'Session':
        return sessions(request);
      case 'AccessPolicy':
      case 'ProtectedConnection':
        return checked(request, options.kube);
      default:
        return { kind: 'refused', message: `nothing is known of ${kind} here`, code: 403 };
    }
  };
}

function checked(
  { kind, object, operation }: AdmissionRequest,
  { stores }: Pick<Kube, 'stores'>,
): AdmissionAnswer {
  if (operation === 'DELETE') return { kind: 'allowed' };
  const knows = (namespace: string, name: string): boolean =>
    stores.connections.get(namespace, name) !== undefined;
  const { errors, warnings } = checkObject(kind.kind, object, knows);
  return errors.length === 0
    ? { kind: 'allowed', warnings }
    : { kind: 'refused', message: errors.join('; '), code: 422 };
}
