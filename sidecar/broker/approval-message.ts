/** What the broker is told of a held operation. */
import { randomBytes } from 'node:crypto';
import type { ApprovalRequest } from '../approval/gateway.ts';
import { fitting } from '../approval/object.ts';
import type { ApprovalMessage } from './protocol.ts';

export function messageOf(request: ApprovalRequest): ApprovalMessage {
  return {
    key: randomBytes(18).toString('base64url'),
    connection: connectionOf(request),
    recording: request.session,
    operation: request.operation,
    digest: request.digest,
    requirements: request.requirements.map(({ rule }) => ({ policy: rule.policy, rule: rule.rule })),
    evidence: fitting(request.evidence),
  };
}

/** `namespace/name`. */
export function connectionOf({ connection }: ApprovalRequest): string {
  return `${connection.namespace}/${connection.name}`;
}
