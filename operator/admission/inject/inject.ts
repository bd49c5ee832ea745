/**
 * Injection, on plain data: a pod in, the pod with its sidecar out, or all reasons why not. Doing it again changes nothing, and what
 * others put into the pod in between is kept.
 */
import { INJECTED_LABEL } from '../../kube/names.ts';
import { isJson, object, objects, string, type Json } from '../json.ts';
import type { InjectContext } from './context.ts';
import { withEnvironment } from './environment.ts';
import { planFor, type Plan } from './plan.ts';
import { isPlanned, isPlannedVolume } from './same-container.ts';
import { OUR_CONTAINERS, OUR_VOLUMES } from './sidecar.ts';
import { withoutToken } from './token.ts';

export type Injected =
  | { readonly kind: 'injected'; readonly pod: Json; readonly warnings: readonly string[] }
  /** It asks for no connection. */
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** What no container of an agent may do in the network namespace that it shares with the sidecar: see its packets, change its rules. */
export const DROPPED = ['NET_ADMIN', 'NET_RAW'] as const;

/** On the image of a static pod that its kubelet writes. */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

export function inject(pod: Json, context: InjectContext): Injected {
  const planned = planFor(pod, context);
  if (planned.kind === 'none') return { kind: 'unchanged' };
  if (planned.kind === 'refused') return planned;
  const problems: string[] = [];
  const warnings: string[] = [];
  const next = injected(pod, planned.plan, context, problems, warnings);
  if (problems.length > 0) return { kind: 'refused', problems };
  return { kind: 'injected', pod: next, warnings };
}

function injected(
  pod: Json,
  plan: Plan,
  context: InjectContext,
  problems: string[],
  warnings: string[],
): Json {
  const { wish, connections } = plan;
  const metadata = object(pod['metadata']);
  const labels = object(metadata['labels']);
  const before = object(pod['spec']);
  if (before['hostNetwork'] === true) {
    problems.push('hostNetwork: the sidecar would listen for the whole node: leave it out');
  }
  if (object(metadata['annotations'])[MIRROR_ANNOTATION] !== undefined) {
    problems.push('a static pod cannot use connections: its node would run it without the sidecar');
  }
  // What has our names and is not known to be ours is somebody else's, and must not vanish.
  if (labels[INJECTED_LABEL] !== 'true') checkNames(before, plan, problems);
  if (objects(before['containers']).some(isOurContainer)) {
    problems.push(`containers: the names ${OUR_CONTAINERS.join(' and ')} are the sidecar's: choose others`);
  }
  for (const connection of connections) {
    if (connection.verified) continue;
    warnings.push(
      `connection ${connection.id}: its target's certificate is not checked, so whoever is on the way there could stand in for it: set target.tls.mode to verify-full`,
    );
  }
  const spec = withoutToken(before, wish, context, problems);
  const agent = (container: unknown) => {
    if (!isJson(container)) return container;
    return dropped(withEnvironment(container, connections, wish.redirect, problems, warnings));
  };
  const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
  const others = list(spec['initContainers']).filter((each) => !isJson(each) || !isOurContainer(each));
  const otherVolumes = list(spec['volumes']).filter((each) => !isJson(each) || !isOurVolume(each));
  return {
    ...pod,
    metadata: { ...metadata, labels: { ...labels, [INJECTED_LABEL]: 'true' } },
    spec: {
      ...spec,
      initContainers: [...kept(plan.containers, spec['initContainers'], isPlanned), ...others.map(agent)],
      containers: list(spec['containers']).map(agent),
      volumes: [...otherVolumes, ...kept(plan.volumes, spec['volumes'], isPlannedVolume)],
    },
  };
}

/** Those that are there as planned stay as the API server has them. */
function kept(
  planned: readonly Json[],
  actual: unknown,
  isSame: (planned: Json, actual: unknown) => boolean,
): readonly Json[] {
  return planned.map((each) => objects(actual).find((other) => isSame(each, other)) ?? each);
}

function checkNames(spec: Json, plan: Plan, problems: string[]): void {
  const containers = objects(spec['initContainers']).filter(isOurContainer);
  const volumes = objects(spec['volumes']).filter(isOurVolume);
  const foreign = [
    ...containers.filter((each) => !plan.containers.some((ours) => isPlanned(ours, each))),
    ...volumes.filter((each) => !plan.volumes.some((ours) => isPlannedVolume(ours, each))),
  ];
  for (const each of foreign) {
    problems.push(
      `the name ${string(each['name'])} is the sidecar's: choose another, or leave it to injection`,
    );
  }
}

function isOurContainer(container: Json): boolean {
  return OUR_CONTAINERS.includes(string(container['name']));
}

function isOurVolume(volume: Json): boolean {
  return OUR_VOLUMES.includes(string(volume['name']));
}

/** The container without the capabilities that runtimes give and that reach into the sidecar's network. */
function dropped(container: Json): Json {
  const securityContext = object(container['securityContext']);
  const capabilities = object(securityContext['capabilities']);
  const drop: readonly unknown[] = Array.isArray(capabilities['drop']) ? capabilities['drop'] : [];
  if (drop.includes('ALL')) return container;
  const missing = DROPPED.filter((each) => !drop.includes(each));
  if (missing.length === 0) return container;
  return {
    ...container,
    securityContext: { ...securityContext, capabilities: { ...capabilities, drop: [...drop, ...missing] } },
  };
}
