/**
 * The agent gets no token of its service account: with one it could do in the cluster what the account may. The one that the API
 * server mounts by itself is taken away; one that the pod asks for itself is a wish that is refused, or kept where that is allowed.
 */
import { objects, object, string, type Json } from '../json.ts';
import { SERVICE_ACCOUNT_TOKEN_ANNOTATION, type Wish } from './annotations.ts';
import type { InjectContext } from './context.ts';
import { OUR_VOLUMES } from './sidecar.ts';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether the volume is the one that the API server's ServiceAccount admission adds. */
function isAutomatic(volume: Json): boolean {
  const names = string(volume['name']).startsWith('kube-api-access-');
  return names && hasToken(volume);
}

export function hasToken(volume: Json): boolean {
  return objects(object(volume['projected'])['sources']).some(
    (source) => source['serviceAccountToken'] !== undefined,
  );
}

/** The pod's spec without what gives the agent a token; what is wrong goes to `problems`. */
export function withoutToken(spec: Json, wish: Wish, context: InjectContext, problems: string[]): Json {
  const explicit = spec['automountServiceAccountToken'] === true;
  const volumes = objects(spec['volumes']);
  const automatic = spec['automountServiceAccountToken'] === false ? [] : volumes.filter(isAutomatic);
  const own = volumes.filter(
    (volume) =>
      hasToken(volume) && !automatic.includes(volume) && !OUR_VOLUMES.includes(string(volume['name'])),
  );
  if (wish.keepToken && context.enforced) {
    problems.push(
      `annotation ${SERVICE_ACCOUNT_TOKEN_ANNOTATION}: in an enforced namespace no agent may have a service account token`,
    );
  }
  if (wish.keepToken) return spec;
  const remedy = context.enforced
    ? 'in an enforced namespace no agent may have one: leave it out'
    : `leave it out, or say that the agent may have it by the annotation ${SERVICE_ACCOUNT_TOKEN_ANNOTATION}: "keep"`;
  if (explicit)
    problems.push(`automountServiceAccountToken: true asks for a service account token; ${remedy}`);
  for (const volume of own) {
    problems.push(`volume ${string(volume['name'])} holds a service account token; ${remedy}`);
  }
  const names = new Set(automatic.map((volume) => volume['name']));
  const strip = (containers: unknown) =>
    Array.isArray(containers)
      ? { list: containers.map((each: unknown) => unmounted(each, names)) }
      : undefined;
  const containers = strip(spec['containers']);
  const initContainers = strip(spec['initContainers']);
  return {
    ...spec,
    automountServiceAccountToken: false,
    ...(Array.isArray(spec['volumes'])
      ? { volumes: volumes.filter((volume) => !automatic.includes(volume)) }
      : {}),
    ...(containers === undefined ? {} : { containers: containers.list }),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.list }),
  };
}

function unmounted(container: unknown, names: ReadonlySet<unknown>): unknown {
  const json = object(container);
  if (!Array.isArray(json['volumeMounts'])) return container;
  const volumeMounts = objects(json['volumeMounts']).filter(
    (mount) => !(names.has(mount['name']) && mount['mountPath'] === MOUNT_PATH),
  );
  return { ...json, volumeMounts };
}
