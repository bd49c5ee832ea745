/** What may not change once a pod is there: who it is to its sidecar, and the sidecar itself. */
import { CONNECTIONS_ANNOTATION, INJECTED_LABEL, REDIRECT_ANNOTATION } from '../../kube/names.ts';
import { SERVICE_ACCOUNT_TOKEN_ANNOTATION } from '../inject/annotations.ts';
import { OUR_CONTAINERS, OUR_VOLUMES } from '../inject/sidecar.ts';
import { object, objects, sameJson, string, type Json } from '../json.ts';
import { dangers } from './dangers.ts';

const FIXED = [
  ['annotations', CONNECTIONS_ANNOTATION],
  ['annotations', REDIRECT_ANNOTATION],
  ['annotations', SERVICE_ACCOUNT_TOKEN_ANNOTATION],
  ['labels', INJECTED_LABEL],
] as const;

/** Whether it says of itself that it has a sidecar. */
export function isInjected(pod: Json): boolean {
  const metadata = object(pod['metadata']);
  return FIXED.some(
    ([field, key]) => key !== SERVICE_ACCOUNT_TOKEN_ANNOTATION && object(metadata[field])[key] !== undefined,
  );
}

export function updateDangers(before: Json, after: Json, enforced: boolean): readonly string[] {
  // Dangers that were there before are let be: refusing them now would only keep the pod from being cleaned up.
  const known = new Set(dangers(before, !enforced));
  const fresh = dangers(after, !enforced).filter((reason) => !known.has(reason));
  const ending = object(after['metadata'])['deletionTimestamp'] !== undefined;
  const naked = enforced && !isInjected(before) && !ending && !sameJson(before['spec'], after['spec']);
  return [
    ...FIXED.filter(([field, key]) => valueIn(before, field, key) !== valueIn(after, field, key)).map(
      ([field, key]) => `${field} ${key} cannot be changed once the pod is there: make a new pod`,
    ),
    ...ours(before, after),
    ...(naked ? ['the pod has no sidecar, from before its namespace was enforced: make a new pod'] : []),
    ...fresh,
  ];
}

function valueIn(pod: Json, field: 'annotations' | 'labels', key: string): unknown {
  return object(object(pod['metadata'])[field])[key];
}

function ours(before: Json, after: Json): readonly string[] {
  const pick = (pod: Json, field: string, names: readonly string[]) =>
    objects(object(pod['spec'])[field]).filter((each) => names.includes(string(each['name'])));
  const same = (field: string, names: readonly string[]) =>
    sameJson(pick(before, field, names), pick(after, field, names));
  return [
    ...(same('initContainers', OUR_CONTAINERS)
      ? []
      : ["the sidecar's containers cannot be changed: make a new pod"]),
    ...(same('volumes', OUR_VOLUMES) ? [] : ["the sidecar's volumes cannot be changed: make a new pod"]),
  ];
}
