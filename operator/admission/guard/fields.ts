/**
 * Fields of a pod that are known, as of Kubernetes 1.35: those not named here may reach into the sidecar by a way that did not exist
 * when this was written, so a pod that has one is refused.
 */
import type { Json } from '../json.ts';

const words = (text: string) => new Set(text.split(/\s+/u).filter((word) => word !== ''));

/** `shareProcessNamespace` and the like are known, and checked where their values matter. */
export const POD_FIELDS = words(`
  activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks ephemeralContainers
  hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os
  overhead preemptionPolicy priority priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName
  schedulerName schedulingGates securityContext serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain
  terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef`);

export const CONTAINER_FIELDS = words(`
  args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy resources restartPolicy
  restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices
  volumeMounts workingDir`);

export const POD_SECURITY_FIELDS = words(`
  appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy seLinuxOptions seccompProfile
  supplementalGroups supplementalGroupsPolicy sysctls windowsOptions`);

export const CONTAINER_SECURITY_FIELDS = words(`
  allowPrivilegeEscalation appArmorProfile capabilities privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser
  seLinuxOptions seccompProfile windowsOptions`);

export const MOUNT_FIELDS = words(
  'mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr',
);

/** Kinds of volumes that hold nothing of the node's; hostPath and what drivers of old mounted from anywhere are not among them. */
export const VOLUME_KINDS = words(
  'configMap csi downwardAPI emptyDir ephemeral image nfs persistentVolumeClaim projected secret',
);

export const PROJECTED_SOURCES = words(
  'clusterTrustBundle configMap downwardAPI podCertificate secret serviceAccountToken',
);

/** A reason for each field that is not known. */
export function unknownFields(value: Json, known: ReadonlySet<string>, where: string): readonly string[] {
  return Object.keys(value)
    .filter((key) => !known.has(key) && value[key] !== undefined && value[key] !== null)
    .map((key) => `${where}.${key} is not known to sidewarden, so it is refused: leave it out`);
}
