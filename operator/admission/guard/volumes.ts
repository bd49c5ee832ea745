/** What volumes and mounts must not do: hold something of the node, a token of ours, or what only the sidecar may see. */
import { BROKER_AUDIENCE } from '../../../sidecar/broker/protocol.ts';
import { SERVICE_ACCOUNT_TOKEN_ANNOTATION } from '../inject/annotations.ts';
import { OUR_VOLUMES } from '../inject/sidecar.ts';
import { isJson, object, objects, string, type Json } from '../json.ts';
import { MOUNT_FIELDS, PROJECTED_SOURCES, unknownFields, VOLUME_KINDS } from './fields.ts';

/** Of a volume that is not ours. */
export function volumeDangers(volume: Json, mayKeepToken: boolean): readonly string[] {
  const name = string(volume['name']);
  const kinds = Object.keys(volume).filter((key) => key !== 'name' && isJson(volume[key]));
  return [
    ...kinds
      .filter((kind) => !VOLUME_KINDS.has(kind))
      .map(
        (kind) => `volume ${name}: ${kind} may hold what is the node's or the sidecar's: use another kind`,
      ),
    ...objects(object(volume['projected'])['sources']).flatMap((source) => [
      ...unknownFields(source, PROJECTED_SOURCES, `volume ${name}: source`),
      ...tokenDangers(source['serviceAccountToken'], name, mayKeepToken),
      ...certificateDangers(object(source['podCertificate']), name, mayKeepToken),
    ]),
  ];
}

function tokenDangers(token: unknown, volume: string, mayKeepToken: boolean): readonly string[] {
  if (token === undefined || token === null) return [];
  if (object(token)['audience'] === BROKER_AUDIENCE) {
    return [`volume ${volume}: a token for ${BROKER_AUDIENCE} is the sidecar's alone: leave it out`];
  }
  if (mayKeepToken) return [];
  return [
    `volume ${volume} holds a service account token: leave it out, or outside enforced namespaces annotate the pod with ${SERVICE_ACCOUNT_TOKEN_ANNOTATION}: "keep"`,
  ];
}

/** Kubernetes' own signers make what the API server, or a kubelet, takes for the service account. */
function certificateDangers(certificate: Json, volume: string, mayKeepToken: boolean): readonly string[] {
  const signer = string(certificate['signerName']);
  if (mayKeepToken || !signer.startsWith('kubernetes.io/')) return [];
  return [`volume ${volume} holds a certificate of ${signer}, which is as good as a token: leave it out`];
}

/** Of a container that is not ours. */
export function mountDangers(container: Json, name: string): readonly string[] {
  const where = `container ${name}`;
  const devices = objects(container['volumeDevices']);
  return [
    ...(devices.length === 0 ? [] : [`${where}: volumeDevices give it raw devices: leave them out`]),
    ...objects(container['volumeMounts']).flatMap((mount) => [
      ...unknownFields(mount, MOUNT_FIELDS, `${where}: volumeMounts`),
      ...(OUR_VOLUMES.includes(string(mount['name']))
        ? [`${where} must not mount ${string(mount['name'])}, which is the sidecar's`]
        : []),
      ...(mount['mountPropagation'] === 'Bidirectional'
        ? [`${where}: mountPropagation Bidirectional reaches other containers: leave it out`]
        : []),
    ]),
    ...objects(container['env']).flatMap((each) => fileDangers(object(each['valueFrom']), where)),
  ];
}

/** A variable may also be read out of a file in a volume. */
function fileDangers(valueFrom: Json, where: string): readonly string[] {
  const known = new Set(['configMapKeyRef', 'fieldRef', 'fileKeyRef', 'resourceFieldRef', 'secretKeyRef']);
  const volume = string(object(valueFrom['fileKeyRef'])['volumeName']);
  return [
    ...unknownFields(valueFrom, known, `${where}: env.valueFrom`),
    ...(OUR_VOLUMES.includes(volume)
      ? [`${where} must not read from ${volume}, which is the sidecar's`]
      : []),
  ];
}
