/**
 * Roles that are left on targets: made by an operator that died before it could say so, or for a session that was over by then.
 *
 * | role marked as ours, its Session by uid | the role |
 * |---|---|
 * | not there, or Ended | is revoked |
 * | there | is the session's |
 *
 * Looked for on each connection when the leader starts, when the connection changes, soon after a session on it ended, and every few
 * minutes.
 */
import type { Logger } from 'pino';
import { type Kube, type KubeObject, SESSIONS } from '../kube/kube.ts';
import { readConnection } from '../kube/read.ts';
import { text } from '../kube/field.ts';
import { ProvisionError } from '../provision/provision-error.ts';
import type { Provisioner, RunRole, Target } from '../provision/provisioner.ts';
import type { Controller } from './controller.ts';
import { TargetMissing, targetOf } from './session-target.ts';

export interface OrphanOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'list'>;
  /** Undefined for protocols that have none. */
  readonly provisioner: (protocol: string) => Provisioner | undefined;
  readonly log: Logger;
  /** Milliseconds. */
  readonly every?: number;
}

const EVERY = 5 * 60_000;
/** Many sessions may end at once: looked for them together. */
const AFTER_END = 10_000;
/** The connection's own conditions say what is wrong with its target. */
const AWAY = 60_000;

export function orphanController({ kube, provisioner, log, every = EVERY }: OrphanOptions): Controller {
  return {
    name: 'orphan',
    workers: 2,
    sources: [
      {
        store: kube.stores.connections,
        // Statuses change every minute.
        keys: (key, object, old) =>
          object !== undefined && object.metadata.generation === old?.metadata.generation ? [] : [key],
      },
      {
        store: kube.stores.sessions,
        // A role may have been made while its session ended, or the connection may say no more that roles are made.
        keys: ({ namespace }, object, old) => {
          const name = text(object ?? old, ['spec', 'connection']);
          const ends = object && old && isEnded(object) && !isEnded(old);
          return ends === true && name !== undefined ? [{ namespace, name }] : [];
        },
        delay: AFTER_END,
      },
    ],
    reconcile: async (key) => {
      const object = kube.stores.connections.get(key.namespace, key.name);
      if (!object) return undefined;
      const parsed = readConnection(object);
      if (parsed.kind === 'invalid') return undefined;
      const roles = provisioner(parsed.value.spec.protocol);
      if (!roles) return undefined;
      try {
        const target = await targetOf(kube, parsed.value);
        const failures: unknown[] = [];
        for (const session of await orphans(kube, roles, target)) {
          log.warn({ session }, 'a role without a session is revoked');
          // One that cannot be must not keep those behind it.
          await roles.revoke(target, { session }).catch((error: unknown) => failures.push(error));
        }
        if (failures.length > 0) throw failures[0];
      } catch (error) {
        const away = error instanceof ProvisionError && ['unreachable', 'credentials'].includes(error.code);
        if (away || error instanceof TargetMissing) return { after: AWAY };
        throw error;
      }
      return { after: every };
    },
  };
}

/** The roles first, then the sessions: each role's session was there before it. */
async function orphans(
  kube: OrphanOptions['kube'],
  roles: Provisioner,
  target: Target,
): Promise<readonly RunRole['session'][]> {
  const marked = await roles.marked(target);
  if (marked.length === 0) return [];
  const namespaces = [...new Set(marked.map(({ namespace }) => namespace))];
  const lists = await Promise.all(namespaces.map((namespace) => kube.list(SESSIONS, namespace)));
  const live = new Set(
    lists
      .flat()
      .filter((each) => !isEnded(each))
      .map(({ metadata }) => metadata.uid),
  );
  return marked.filter(({ uid }) => !live.has(uid));
}

function isEnded(session: KubeObject): boolean {
  return text(session, ['status', 'phase']) === 'Ended';
}
