/** Whether a new pod has exactly what injection plans for it. */
import { INJECTED_LABEL } from '../../kube/names.ts';
import type { InjectContext } from '../inject/context.ts';
import type { Plan } from '../inject/plan.ts';
import { isPlanned, isPlannedVolume } from '../inject/same-container.ts';
import { OUR_CONTAINERS, OUR_VOLUMES } from '../inject/sidecar.ts';
import { object, objects, string, type Json } from '../json.ts';

export function exactness(pod: Json, plan: Plan, context: InjectContext): readonly string[] {
  const spec = object(pod['spec']);
  const labels = object(object(pod['metadata'])['labels']);
  return [
    ...(labels[INJECTED_LABEL] === 'true' ? [] : [`the label ${INJECTED_LABEL}: "true" is missing`]),
    ...containers(objects(spec['initContainers']), plan),
    ...volumes(objects(spec['volumes']), plan),
    ...names(spec, plan, context),
  ];
}

function containers(initContainers: readonly Json[], plan: Plan): readonly string[] {
  const reasons = plan.containers.flatMap((planned, index) => {
    const name = string(planned['name']);
    const there = initContainers.filter((each) => each['name'] === name);
    if (there.length === 0)
      return [`its init container ${name} is missing: another webhook removed it, or came later`];
    if (!isPlanned(planned, there[0]))
      return [`its init container ${name} is not as injected: something changed it`];
    if (initContainers[index] !== there[0]) {
      return [`its init container ${name} must be number ${index + 1}: something was put before it`];
    }
    return [];
  });
  const planned = plan.containers.map((each) => each['name']);
  const more = initContainers
    .map((each) => string(each['name']))
    .filter((name) => OUR_CONTAINERS.includes(name) && !planned.includes(name));
  return [
    ...reasons,
    ...more.map((name) => `there is an init container ${name} that injection did not make`),
  ];
}

function volumes(there: readonly Json[], plan: Plan): readonly string[] {
  return OUR_VOLUMES.flatMap((name) => {
    const planned = plan.volumes.find((each) => each['name'] === name);
    const actual = there.find((each) => each['name'] === name);
    if (planned === undefined || actual === undefined) return [`its volume ${name} is missing`];
    return isPlannedVolume(planned, actual)
      ? []
      : [`its volume ${name} is not as injected: something changed it`];
  });
}

/** Names that the pod writes into everybody's /etc/hosts. None of them would be believed; the sidecar would find nobody. */
function names(spec: Json, plan: Plan, context: InjectContext): readonly string[] {
  const hosts = [
    ...plan.connections.map(({ target }) => target.host),
    new URL(context.settings.brokerUrl).hostname,
  ];
  const known = new Set(hosts.map(canonical));
  const aliases = objects(spec['hostAliases']).flatMap((each) =>
    Array.isArray(each['hostnames']) ? each['hostnames'].map((host: unknown) => string(host)) : [],
  );
  return aliases
    .filter((host) => known.has(canonical(host)))
    .map((host) => `hostAliases: ${host} is a name that the sidecar uses: leave it out`);
}

function canonical(host: string): string {
  return host.toLowerCase().replace(/\.$/u, '');
}
