/** Conditions, and statuses that are written only when they say something new. */
import { isDeepStrictEqual } from 'node:util';
import type { Kube, KubeObject, Resource } from '../kube/kube.ts';
import { isJson } from '../kube/object.ts';

/** What is said of one aspect. */
export interface Finding<Type extends string = string, Reason extends string = string> {
  readonly type: Type;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  readonly message: string;
}

export interface Condition extends Finding {
  readonly observedGeneration?: number | undefined;
  readonly lastTransitionTime: string;
}

/** As the schemas of our kinds have it. */
const MESSAGE_LIMIT = 4096;

/** Those of an object, also of one that cannot be parsed otherwise. */
export function conditionsOf(object: KubeObject): readonly Condition[] {
  const status = object['status'];
  const conditions = isJson(status) ? status['conditions'] : undefined;
  return Array.isArray(conditions) ? conditions.filter(isCondition) : [];
}

function isCondition(value: unknown): value is Condition {
  const texts = ['type', 'status', 'reason', 'message', 'lastTransitionTime'];
  return isJson(value) && texts.every((field) => typeof value[field] === 'string');
}

/** The findings as conditions; a condition keeps its time while its status stays; conditions of other types stay as they are. */
export function mergeConditions(
  old: readonly Condition[],
  findings: readonly Finding[],
  generation: number | undefined,
  now = new Date(),
): readonly Condition[] {
  const before = new Map(old.map((each) => [each.type, each]));
  const said = findings.map((finding): Condition => {
    const known = before.get(finding.type);
    return {
      type: finding.type,
      status: finding.status,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime:
        known?.status === finding.status
          ? known.lastTransitionTime
          : now.toISOString().replace(/\.\d+Z$/u, 'Z'),
      reason: finding.reason,
      message: shorten(finding.message),
    };
  });
  const types = new Set(findings.map(({ type }) => type));
  return [...said, ...old.filter(({ type }) => !types.has(type))];
}

/** The object is not as it was read: it has to be looked at anew, which is nobody's fault. */
export class ChangedMeanwhile extends Error {
  override readonly name = 'ChangedMeanwhile';
}

/** Fields of the status that are to be; undefined ones are removed; those not named stay as they are. */
export type StatusChange = Readonly<Record<string, unknown>>;

/**
 * Writes what differs from the object's status, bound to the object as it was read. Resolves to whether there was something to write;
 * an object that is gone needs no status. Rejects with `ChangedMeanwhile`, a `KubeError`, or an error when the status is refused.
 */
export async function writeStatus(
  kube: Pick<Kube, 'patch'>,
  resource: Resource,
  object: KubeObject,
  change: StatusChange,
): Promise<boolean> {
  const status = isJson(object['status']) ? object['status'] : {};
  const differing = Object.entries(change).filter(([name, value]) => !isDeepStrictEqual(status[name], value));
  if (differing.length === 0) return false;
  const { namespace, name, uid, resourceVersion } = object.metadata;
  const body = {
    metadata: { uid, resourceVersion },
    status: Object.fromEntries(differing.map(([field, value]) => [field, value ?? null])),
  };
  const written = await kube.patch(resource, namespace, name, body, 'status');
  switch (written.kind) {
    case 'written':
      return true;
    case 'not-found':
      return false;
    case 'conflict':
      throw new ChangedMeanwhile(`${resource.kind} ${namespace}/${name} has changed meanwhile`);
    case 'rejected':
      throw new Error(`the status of ${resource.kind} ${namespace}/${name} is refused: ${written.message}`);
  }
}

function shorten(message: string): string {
  return message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 1)}…`;
}
