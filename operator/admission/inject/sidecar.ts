/**
 * What injection puts into a pod, as plain data. Every field that the API server would default is written out, so that the guard
 * can compare field by field what came of it.
 */
import { BROKER_AUDIENCE } from '../../../sidecar/broker/protocol.ts';
import {
  HEALTH_PORT,
  INJECTED_ENVIRONMENT,
  SPOOL_FOLDER,
  TOKEN_FILE_NAME,
  TOKEN_FOLDER,
} from '../../../sidecar/injected.ts';
import { SIDECAR_NAME, SIDECAR_UID } from '../../kube/names.ts';
import type { Json } from '../json.ts';
import type { Placed } from './connections.ts';
import type { InjectContext } from './context.ts';
import { bytesOf } from './quantity.ts';

/** The init container that sets the redirect's rules. */
export const REDIRECT_NAME = 'sidewarden-redirect';
const TOKEN_VOLUME = 'sidewarden-token';
const SPOOL_VOLUME = 'sidewarden-spool';
export const OUR_VOLUMES: readonly string[] = [TOKEN_VOLUME, SPOOL_VOLUME];
export const OUR_CONTAINERS: readonly string[] = [SIDECAR_NAME, REDIRECT_NAME];

const TERMINATION = { terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' };
const CONFINED = {
  allowPrivilegeEscalation: false,
  privileged: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** Of the volume's limit: the sidecar stops taking more at once at 1.25 times what it is told, and the kubelet evicts at the limit. */
const SPOOL_SHARE = 0.75;
/** Seconds of the pod's grace that the agent's own containers have before the sidecar is told to end, and it to be gone. */
const GRACE_KEPT = 3;

/** A native sidecar: an init container that goes on. `grace` is the pod's own, in seconds. */
export function sidecarContainer(
  { settings, brokerCa }: InjectContext,
  redirect: boolean,
  grace: number,
): Json {
  const names = INJECTED_ENVIRONMENT;
  return {
    name: SIDECAR_NAME,
    image: settings.image,
    imagePullPolicy: settings.pullPolicy,
    restartPolicy: 'Always',
    env: [
      { name: names.brokerUrl, value: settings.brokerUrl },
      { name: names.brokerCa, value: brokerCa },
      { name: names.tokenFile, value: `${TOKEN_FOLDER}/${TOKEN_FILE_NAME}` },
      { name: names.spool, value: SPOOL_FOLDER },
      { name: names.spoolBytes, value: String(spoolBytes(settings.spoolLimit)) },
      { name: names.grace, value: String(Math.max(1, grace - GRACE_KEPT)) },
      { name: names.podAddress, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } },
      { name: names.healthPort, value: String(HEALTH_PORT) },
      { name: names.redirect, value: String(redirect) },
    ],
    ports: [{ name: 'sidewarden', containerPort: HEALTH_PORT, protocol: 'TCP' }],
    resources: settings.resources,
    securityContext: {
      ...CONFINED,
      capabilities: { drop: ['ALL'] },
      runAsUser: SIDECAR_UID,
      runAsGroup: SIDECAR_UID,
      runAsNonRoot: true,
    },
    startupProbe: {
      httpGet: { path: '/readyz', port: HEALTH_PORT, scheme: 'HTTP' },
      periodSeconds: 1,
      timeoutSeconds: 1,
      successThreshold: 1,
      failureThreshold: 120,
    },
    volumeMounts: [
      { name: TOKEN_VOLUME, mountPath: TOKEN_FOLDER, readOnly: true },
      { name: SPOOL_VOLUME, mountPath: SPOOL_FOLDER },
    ],
    ...TERMINATION,
  };
}

/** The settings were checked: the limit is a quantity. */
function spoolBytes(limit: string): number {
  return Math.floor((bytesOf(limit) ?? 0) * SPOOL_SHARE);
}

/** Runs to its end before any container of the agent starts; the only one with NET_ADMIN. */
export function redirectContainer({ settings }: InjectContext, placed: readonly Placed[]): Json {
  return {
    name: REDIRECT_NAME,
    image: settings.image,
    imagePullPolicy: settings.pullPolicy,
    args: ['redirect', String(SIDECAR_UID), ...placed.map(redirectArgument)],
    resources: settings.resources,
    securityContext: {
      ...CONFINED,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
    },
    ...TERMINATION,
  };
}

/** `LISTEN=HOST:PORT`, as `sidecar/redirect.ts` reads it. */
function redirectArgument({ port, target }: Placed): string {
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return `${port}=${host}:${target.port}`;
}

export function volumes({ settings }: InjectContext): readonly Json[] {
  const token = { audience: BROKER_AUDIENCE, expirationSeconds: 3600, path: TOKEN_FILE_NAME };
  return [
    { name: TOKEN_VOLUME, projected: { defaultMode: 0o644, sources: [{ serviceAccountToken: token }] } },
    { name: SPOOL_VOLUME, emptyDir: { sizeLimit: settings.spoolLimit } },
  ];
}
