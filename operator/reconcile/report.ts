/** What a controller found, as the object's status, and as an Event when it is something new. */
import type { SessionReason } from '../../crds/session.ts';
import type { Kube, KubeObject, Resource } from '../kube/kube.ts';
import {
  type Condition,
  type Finding,
  type StatusChange,
  conditionsOf,
  mergeConditions,
  writeStatus,
} from './condition.ts';

/** Reasons of a condition that is False because all went as it should. */
const GOOD_ENDS: readonly string[] = ['RunEnded', 'PodDeleted'] satisfies readonly SessionReason[];

export interface Report {
  readonly resource: Resource;
  readonly object: KubeObject;
  /** As they are now; the object's own when not given. */
  readonly conditions?: readonly Condition[] | undefined;
  /** When there are none, the conditions stay, and the generation that they were said of. */
  readonly findings: readonly Finding[];
  /** Further fields of the status. */
  readonly status?: StatusChange;
}

/** Rejects as `writeStatus` does. */
export async function report(
  kube: Pick<Kube, 'patch' | 'event'>,
  { resource, object, conditions = conditionsOf(object), findings, status }: Report,
): Promise<void> {
  const { generation } = object.metadata;
  const said = {
    observedGeneration: generation,
    conditions: mergeConditions(conditions, findings, generation),
  };
  const change = findings.length === 0 ? { ...status } : { ...status, ...said };
  if (!(await writeStatus(kube, resource, object, change))) return;
  const before = new Map(conditions.map((each) => [each.type, each]));
  for (const finding of findings) if (isNews(before.get(finding.type), finding)) tell(kube, object, finding);
}

function isNews(before: Finding | undefined, { status, reason, message }: Finding): boolean {
  return before?.status !== status || before.reason !== reason || before.message !== message;
}

function tell(kube: Pick<Kube, 'event'>, object: KubeObject, finding: Finding): void {
  const { type, status, reason, message } = finding;
  const wrong = status === 'False' && !GOOD_ENDS.includes(reason);
  kube.event(object, wrong ? 'Warning' : 'Normal', reason, `${type}: ${message}`);
}
