/**
 * The guard, on plain data: all reasons why a request must not go through; none when it may.
 *
 * | request | refused when |
 * |---|---|
 * | a new pod, injected or in an enforced namespace | it has not exactly what injection plans, or any of `dangers` |
 * | a changed pod, its resources, status or ephemeral containers | what decides its connections changes, the sidecar does, or a danger is added |
 * | exec, attach | into the sidecar |
 * | port-forward | in an enforced namespace |
 * | a binding | it brings our labels or annotations |
 * | a service account's token | it is for the broker, and not asked for by a kubelet |
 */
import { CONNECTIONS_ANNOTATION } from '../../kube/names.ts';
import type { InjectContext } from '../inject/context.ts';
import { planFor } from '../inject/plan.ts';
import type { Json } from '../json.ts';
import type { AdmissionRequest } from '../review.ts';
import { dangers } from './dangers.ts';
import { entryDangers } from './entry.ts';
import { exactness } from './exact.ts';
import { isInjected, updateDangers } from './update.ts';

export function guard(request: AdmissionRequest, context: InjectContext): readonly string[] {
  const { enforced } = context;
  const entry = entryDangers(request, enforced);
  if (entry !== undefined) return entry;
  const { object: pod, oldObject, operation } = request;
  const isPod = request.resource.group === '' && request.resource.resource === 'pods';
  if (!isPod || pod === undefined) return ['this kind of request is not known to sidewarden'];
  if (operation === 'CREATE') return created(pod, context);
  if (operation !== 'UPDATE' || oldObject === undefined)
    return ['this kind of request is not known to sidewarden'];
  const ours = enforced || isInjected(oldObject) || isInjected(pod);
  return ours ? updateDangers(oldObject, pod, enforced) : [];
}

function created(pod: Json, context: InjectContext): readonly string[] {
  const planned = planFor(pod, context);
  if (planned.kind === 'refused') return [...planned.problems, ...dangers(pod, false)];
  if (planned.kind === 'plan') {
    const { plan } = planned;
    const mayKeepToken = plan.wish.keepToken && !context.enforced;
    return [...exactness(pod, plan, context), ...dangers(pod, mayKeepToken)];
  }
  if (!context.enforced && !isInjected(pod)) return [];
  const lacks = `the pod has no sidecar: name the connections that it may use by the annotation ${CONNECTIONS_ANNOTATION}, or run it in another namespace`;
  return [lacks, ...dangers(pod, false)];
}
