/** `/validate`: each of our kinds by its own rules, on what is about to be stored. */
import type { Kube } from '../kube/kube.ts';
import { CONNECTION_FINALIZER } from '../kube/names.ts';
import { approvalHandler, type ApprovalAdmission } from './approvals.ts';
import { type Json, object } from './json.ts';
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
  { kind, object, oldObject, operation }: AdmissionRequest,
  { stores }: Pick<Kube, 'stores'>,
): AdmissionAnswer {
  if (operation === 'DELETE') return { kind: 'allowed' };
  const knows = (namespace: string, name: string): boolean =>
    stores.connections.get(namespace, name) !== undefined;
  const { errors, warnings } = checkObject(kind.kind, object, knows);
  if (moved(oldObject, object))
    return {
      kind: 'refused',
      message:
        'sessions have roles on this target, which could not be dropped there any more: end their runs first, or make another connection',
      code: 422,
    };
  return errors.length === 0
    ? { kind: 'allowed', warnings }
    : { kind: 'refused', message: errors.join('; '), code: 422 };
}

/** Whether a connection goes to another server while there are sessions with roles on the one it had. */
function moved(before: Json | undefined, after: Json | undefined): boolean {
  const finalizers = object(before?.['metadata'])['finalizers'];
  if (!Array.isArray(finalizers) || !finalizers.includes(CONNECTION_FINALIZER)) return false;
  const [from, to] = [before, after].map((one) => object(object(one?.['spec'])['target']));
  return from?.['host'] !== to?.['host'] || from?.['port'] !== to?.['port'];
}
