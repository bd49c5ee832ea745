/** All ways in which a pod could reach into its own sidecar or get round it (THREATS, class 36): each a reason in words. */
import { OUR_CONTAINERS, OUR_VOLUMES } from '../inject/sidecar.ts';
import { object, objects, string, type Json } from '../json.ts';
import { CONTAINER_FIELDS, POD_FIELDS, unknownFields } from './fields.ts';
import { containerSecurity, isTrue, podSecurity } from './security.ts';
import { mountDangers, volumeDangers } from './volumes.ts';

/** `mayKeepToken`: the agent may have a token of its service account. Our own containers and volumes are left out: see `exact.ts`. */
export function dangers(pod: Json, mayKeepToken: boolean): readonly string[] {
  const spec = object(pod['spec']);
  const others = (field: string) =>
    objects(spec[field]).filter(
      (each) => field !== 'initContainers' || !OUR_CONTAINERS.includes(string(each['name'])),
    );
  return [
    ...unknownFields(spec, POD_FIELDS, 'spec'),
    ...namespaces(spec),
    ...podSecurity(object(spec['securityContext'])),
    ...[...others('initContainers'), ...others('containers')].flatMap(containerDangers),
    ...objects(spec['ephemeralContainers']).map(
      (each) =>
        `ephemeral container ${string(each['name'])}: it could join the sidecar's processes; none may be added`,
    ),
    ...objects(spec['volumes'])
      .filter((volume) => !OUR_VOLUMES.includes(string(volume['name'])))
      .flatMap((volume) => volumeDangers(volume, mayKeepToken)),
  ];
}

function namespaces(spec: Json): readonly string[] {
  const os = object(spec['os'])['name'];
  return [
    ...['hostNetwork', 'hostPID', 'hostIPC'].flatMap((field) =>
      isTrue(spec[field]) ? [`${field} shares the node's: leave it out`] : [],
    ),
    ...(isTrue(spec['shareProcessNamespace'])
      ? ["shareProcessNamespace shows the sidecar's processes and memory to the agent: leave it out"]
      : []),
    ...(os === undefined || os === 'linux' ? [] : ['os: only pods of Linux can have a sidecar']),
  ];
}

function containerDangers(container: Json): readonly string[] {
  const name = string(container['name']);
  return [
    ...unknownFields(container, CONTAINER_FIELDS, `container ${name}`),
    ...(OUR_CONTAINERS.includes(name) ? [`the name ${name} is the sidecar's: choose another`] : []),
    ...containerSecurity(object(container['securityContext']), name),
    ...mountDangers(container, name),
    ...objects(container['ports']).flatMap((port) =>
      isTrue(port['hostPort']) && port['hostPort'] !== 0
        ? [`container ${name}: hostPort opens the pod's network on the node: leave it out`]
        : [],
    ),
  ];
}
