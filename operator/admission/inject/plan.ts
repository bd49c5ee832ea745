/** What a pod is to get: the one plan that injection carries out, and that the guard compares with. */
import type { Json } from '../json.ts';
import { object } from '../json.ts';
import { wishOf, type Wish } from './annotations.ts';
import { place, type Placed } from './connections.ts';
import type { InjectContext } from './context.ts';
import { redirectContainer, sidecarContainer, volumes } from './sidecar.ts';

export interface Plan {
  readonly wish: Wish;
  readonly connections: readonly Placed[];
  /** In their order, before all other init containers. */
  readonly containers: readonly Json[];
  readonly volumes: readonly Json[];
}

export type PlanOrProblems =
  | { readonly kind: 'plan'; readonly plan: Plan }
  /** The pod asks for nothing. */
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

export function planFor(pod: Json, context: InjectContext): PlanOrProblems {
  const wished = wishOf(object(object(pod['metadata'])['annotations']));
  if (wished.kind === 'none') return wished;
  if (wished.kind === 'malformed') return { kind: 'refused', problems: wished.problems };
  const { wish } = wished;
  const problems: string[] = [];
  const connections = place(wish, context, problems);
  if (problems.length > 0) return { kind: 'refused', problems };
  const containers = [
    sidecarContainer(context, wish.redirect, graceOf(pod)),
    ...(wish.redirect ? [redirectContainer(context, connections)] : []),
  ];
  return { kind: 'plan', plan: { wish, connections, containers, volumes: volumes(context) } };
}

/** Kubernetes' own default where the pod says nothing. */
const GRACE_SECONDS = 30;

function graceOf(pod: Json): number {
  const grace = object(pod['spec'])['terminationGracePeriodSeconds'];
  return typeof grace === 'number' && grace >= 0 ? Math.min(grace, 86_400) : GRACE_SECONDS;
}
