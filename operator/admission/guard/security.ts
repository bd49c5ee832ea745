/** What security contexts must not say: what makes a container more than a container, or one like the sidecar. */
import { DROPPED } from '../inject/inject.ts';
import { SIDECAR_UID } from '../../kube/names.ts';
import { object, objects, string, type Json } from '../json.ts';
import { CONTAINER_SECURITY_FIELDS, POD_SECURITY_FIELDS, unknownFields } from './fields.ts';

/** What container runtimes give by default, without NET_RAW. More would reach the node, or the sidecar's packets. */
const CAPABILITIES = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(
    ' ',
  ),
);
/** Namespaced, and harmless to who shares the network namespace. Others, route_localnet say, would open the sidecar's listeners. */
const SYSCTLS = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);
/** Types of SELinux that confine. */
const SELINUX_TYPES = new Set([
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
]);

export function podSecurity(context: Json): readonly string[] {
  const where = 'securityContext';
  const groups: readonly unknown[] = Array.isArray(context['supplementalGroups'])
    ? context['supplementalGroups']
    : [];
  return [
    ...unknownFields(context, POD_SECURITY_FIELDS, where),
    ...sharedSecurity(context, where),
    ...(isSidecars(context['fsGroup']) ? [theSidecars(`${where}.fsGroup`)] : []),
    ...(groups.some(isSidecars) ? [theSidecars(`${where}.supplementalGroups`)] : []),
    ...objects(context['sysctls'])
      .filter((each) => !SYSCTLS.has(string(each['name'])))
      .map(
        (each) =>
          `${where}.sysctls ${string(each['name'])} changes the network that the sidecar is in: leave it out`,
      ),
  ];
}

export function containerSecurity(context: Json, container: string): readonly string[] {
  const where = `container ${container}: securityContext`;
  return [
    ...unknownFields(context, CONTAINER_SECURITY_FIELDS, where),
    ...sharedSecurity(context, where),
    ...(isTrue(context['privileged']) ? [`${where}.privileged gives it the node: leave it out`] : []),
    ...(!['Default', undefined, null].some((each) => each === context['procMount'])
      ? [`${where}.procMount must be Default`]
      : []),
    ...capabilities(object(context['capabilities']), where),
  ];
}

/** What stands in both kinds of security contexts. */
function sharedSecurity(context: Json, where: string): readonly string[] {
  const selinux = object(context['seLinuxOptions']);
  const profile = object(context['appArmorProfile']);
  return [
    ...['runAsUser', 'runAsGroup']
      .filter((key) => isSidecars(context[key]))
      .map((key) => theSidecars(`${where}.${key}`)),
    ...(SELINUX_TYPES.has(string(selinux['type'])) &&
    string(selinux['user']) === '' &&
    string(selinux['role']) === ''
      ? []
      : [`${where}.seLinuxOptions must leave the container confined: leave user, role and type out`]),
    ...(profile['type'] === 'Unconfined' ? [`${where}.appArmorProfile must not be Unconfined`] : []),
    ...(context['windowsOptions'] === undefined || context['windowsOptions'] === null
      ? []
      : [`${where}.windowsOptions: pods of Windows are refused`]),
  ];
}

function capabilities(value: Json, where: string): readonly string[] {
  const names = (field: 'add' | 'drop'): readonly unknown[] =>
    Array.isArray(value[field]) ? value[field] : [];
  const drop = names('drop');
  const kept = drop.includes('ALL') ? [] : DROPPED.filter((each) => !drop.includes(each));
  return [
    ...unknownFields(value, new Set(['add', 'drop']), `${where}.capabilities`),
    ...names('add')
      .filter((each) => typeof each !== 'string' || !CAPABILITIES.has(each))
      .map(
        (each) =>
          `${where}.capabilities must not add ${string(each)}: only what container runtimes give anyway`,
      ),
    ...kept.map(
      (each) => `${where}.capabilities must drop ${each}: with it the sidecar's network is open to the agent`,
    ),
  ];
}

function isSidecars(id: unknown): boolean {
  return Number(id) === SIDECAR_UID && id !== null;
}

function theSidecars(where: string): string {
  return `${where} must not be ${SIDECAR_UID}, which is the sidecar's`;
}

/** Anything but false and absent. */
export function isTrue(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false;
}
