/**
 * The life of a Session: from its first byte to revocation, and then until it is collected.
 *
 * | phase | what is so | what is done |
 * |---|---|---|
 * | Active | its run lives, its connection is there | its role is renewed in time |
 * | Active | its run is over (`run.ts`), a person deleted it, or its connection is being deleted | Ending, Ready False |
 * | Ending | revoking fails | Revoked False, RevocationFailed, an Event; tried again for ever |
 * | Ending | its role is gone and has no backends, or it had none | Revoked True; the finalizer goes; Ended |
 * | Ended | the sidecar may still send something | nothing yet |
 * | Ended | all its recordings are whole | RecordingComplete True: their place and the digest of their list |
 * | Ended | the connection names no store | RecordingComplete False, RecordingCut |
 * | Ended | the sidecar is gone without its last report | RecordingComplete False, RecordingCut |
 * | Ended | they are not, and there is nobody to send more | RecordingComplete False, RecordingCut; looked again |
 * | Ended | for longer than the TTL | deleted; one with unfinished recordings is kept for a week |
 *
 * Deleted by a person it goes when it is revoked and its recordings are listed; what they lack then is waited for no longer than a
 * minute. How many there are is known with the sidecar's last report, which it sends when its pod ends: of a run that goes on for longer,
 * or whose sidecar is gone without it, nothing is listed, RecordingComplete False, RecordingCut.
 * That a role must be revoked is what the finalizer says, which is there before anything is provisioned.
 */
import { type Session, type SessionReason } from '../../crds/session.ts';
import { milliseconds } from '../../crds/schema/duration.ts';
import { type Key, type Kube, type KubeObject, PODS, SESSIONS } from '../kube/kube.ts';
import { POD_NAME_ANNOTATION, POD_NAMESPACE_LABEL, POD_UID_LABEL, SESSION_FINALIZER } from '../kube/names.ts';
import type { Again } from '../kube/queue.ts';
import { readConnection, readSession } from '../kube/read.ts';
import { text } from '../kube/field.ts';
import { ProvisionError } from '../provision/provision-error.ts';
import type { Provisioner, RunRole } from '../provision/provisioner.ts';
import type { Recordings } from '../recordings/recordings.ts';
import { ChangedMeanwhile, type Finding, type StatusChange } from './condition.ts';
import { type Controller, own } from './controller.ts';
import { remove } from './remove.ts';
import { report } from './report.ts';
import { runState, sidecarRuns } from './run.ts';
import { TargetMissing, connectionOf, targetOf } from './session-target.ts';

export interface SessionControllerOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'patch' | 'delete' | 'event'>;
  /** Undefined for protocols that have none. */
  readonly provisioner: (protocol: string) => Provisioner | undefined;
  readonly recordings: Pick<Recordings, 'complete'>;
  /** Milliseconds that ended sessions are kept. */
  readonly ttl: number;
}

type ConditionType = 'Ready' | 'Revoked' | 'RecordingComplete';
type SessionFinding = Finding<ConditionType, SessionReason>;

interface Ending {
  readonly reason: SessionReason;
  readonly message: string;
}

const WEEK = 7 * 24 * 3_600_000;
/** Milliseconds: how soon recordings that are not whole are looked at again, and how long a deleted session waits for them. */
const LOOK_AGAIN = 15_000;
const LAST_WAIT = 60_000;
const ATTEMPTS = 5;
/** Many runs may end at once; each waits for its target and the API server. */
const WORKERS = 16;

export function sessionController(options: SessionControllerOptions): Controller {
  const { sessions, pods, connections } = options.kube.stores;
  const reconciler = new SessionReconciler(options);
  return {
    name: 'session',
    workers: WORKERS,
    sources: [
      own(sessions),
      {
        store: pods,
        keys: (_key, object, old) => {
          const uid = (object ?? old)?.metadata.uid;
          return keysOf(sessions.list().filter((each) => each.metadata.labels?.[POD_UID_LABEL] === uid));
        },
      },
      {
        store: connections,
        keys: ({ namespace, name }, object, old) => {
          if (object && object.metadata.generation === old?.metadata.generation) return [];
          return keysOf(
            sessions.list(namespace).filter((each) => text(each, ['spec', 'connection']) === name),
          );
        },
      },
    ],
    reconcile: (key) => reconciler.reconcile(key),
  };
}

function keysOf(objects: readonly KubeObject[]): readonly Key[] {
  return objects.map(({ metadata: { namespace, name } }) => ({ namespace, name }));
}

class SessionReconciler {
  readonly #options: SessionControllerOptions;
  /** By uid: when its role is renewed next, in milliseconds since the epoch. */
  readonly #renewals = new Map<string, number>();

  constructor(options: SessionControllerOptions) {
    this.#options = options;
  }

  async reconcile(key: Key): Promise<Again | undefined> {
    const object = this.#options.kube.stores.sessions.get(key.namespace, key.name);
    if (!object) return undefined;
    const session = parsed(object);
    if (session.status?.phase === 'Ended' && !hasFinalizer(object)) return this.#ended(object, session);
    const ending = await this.#ending(object, session);
    return ending ? this.#end(object, session, ending) : this.#keep(object, session);
  }

  /** Why it is over; undefined while it lives. */
  async #ending(object: KubeObject, session: Session): Promise<Ending | undefined> {
    if (['Ending', 'Ended'].includes(session.status?.phase ?? '')) {
      const ready = session.status?.conditions?.find(({ type }) => type === 'Ready');
      return { reason: ready?.reason ?? 'RunEnded', message: ready?.message ?? 'the session is over' };
    }
    if (object.metadata.deletionTimestamp !== undefined)
      return { reason: 'InternalError', message: 'the Session object was deleted' };
    const { namespace } = object.metadata;
    const connection = this.#options.kube.stores.connections.get(namespace, session.spec.connection);
    if (connection?.metadata.deletionTimestamp !== undefined)
      return { reason: 'ConnectionDeleted', message: 'the connection was deleted' };
    const run = runState(await this.#pod(object), podUid(object));
    return run.kind === 'over' ? run : undefined;
  }

  /** The cache may not have it yet, or have it without its label: that it is gone, only the API server says. */
  async #pod({ metadata }: KubeObject): Promise<KubeObject | undefined> {
    const { kube } = this.#options;
    const namespace = metadata.labels?.[POD_NAMESPACE_LABEL] ?? '';
    const name = metadata.annotations?.[POD_NAME_ANNOTATION] ?? '';
    if (namespace === '' || name === '') return undefined;
    const cached = kube.stores.pods.get(namespace, name);
    if (cached && cached.metadata.uid === metadata.labels?.[POD_UID_LABEL]) return cached;
    return kube.get(PODS, namespace, name);
  }

  async #keep(object: KubeObject, session: Session): Promise<Again | undefined> {
    const { kube } = this.#options;
    const { namespace, uid } = object.metadata;
    const cached = kube.stores.connections.get(namespace, session.spec.connection);
    const connection = cached && readConnection(cached);
    if (connection?.kind !== 'parsed' || !connection.value.spec.role.provision) return undefined;
    const provisioner = this.#options.provisioner(connection.value.spec.protocol);
    if (!provisioner) return undefined;
    const ttl = milliseconds(connection.value.spec.role.ttl);
    // Of a session that another leader looked after nobody knows when it was renewed: at once, when it is old enough for that.
    const due = this.#renewals.get(uid) ?? Date.parse(session.spec.startedAt) + ttl / 3;
    if (Date.now() < due) return { after: due - Date.now() };
    await provisioner
      .renew(await targetOf(kube, connection.value), roleOf(object))
      .catch((error: unknown) => {
        // It has no role yet, or somebody dropped it: the sidecar asks the broker for one when it needs it.
        if (!(error instanceof ProvisionError && error.code === 'invalid')) throw error;
      });
    this.#renewals.set(uid, Date.now() + ttl / 3);
    return { after: ttl / 3 };
  }

  async #end(object: KubeObject, session: Session, { reason, message }: Ending): Promise<Again | undefined> {
    this.#renewals.delete(object.metadata.uid);
    const ready: SessionFinding = { type: 'Ready', status: 'False', reason, message };
    const endedAt = session.status?.endedAt ?? now();
    if (session.status?.phase !== 'Ending' && session.status?.phase !== 'Ended')
      await this.#say(object, [ready], { phase: 'Ending', endedAt });
    const revoked = hasFinalizer(object) ? await this.#revoke(object, session) : undefined;
    if (object.metadata.deletionTimestamp === undefined) {
      await this.#say(object, [ready, ...(revoked ? [revoked] : [])], { phase: 'Ended', endedAt });
    } else if (revoked && !(await this.#lastWait(object, endedAt))) {
      await this.#say(object, [ready, revoked], { phase: 'Ending', endedAt });
      return { after: 2_000 };
    }
    await this.#release(object);
    return undefined;
  }

  /** Resolves when nothing is left on the target. Rejects, after it was said, when that could not be done. */
  async #revoke(object: KubeObject, session: Session): Promise<SessionFinding> {
    const { kube } = this.#options;
    try {
      const connection = await connectionOf(kube, object.metadata.namespace, session.spec.connection);
      const provisioner = this.#options.provisioner(connection.spec.protocol);
      if (!provisioner || !connection.spec.role.provision)
        return {
          type: 'Revoked',
          status: 'True',
          reason: 'NothingProvisioned',
          message: 'there was no role',
        };
      await provisioner.revoke(await targetOf(kube, connection), roleOf(object));
      const message = 'the role is dropped, and its backends are ended';
      return { type: 'Revoked', status: 'True', reason: 'RoleDropped', message };
    } catch (error) {
      if (!(error instanceof ProvisionError) && !(error instanceof TargetMissing)) throw error;
      const { message } = error;
      await this.#say(
        object,
        [{ type: 'Revoked', status: 'False', reason: 'RevocationFailed', message }],
        {},
      );
      throw error;
    }
  }

  /** Of a session that is being deleted: whether its list of recordings is written, will never be, or was waited for long enough. */
  async #lastWait(object: KubeObject, endedAt: string): Promise<boolean> {
    const { namespace, name, uid } = object.metadata;
    const pod = await this.#pod(object);
    // Live, and after the pod: of a sidecar that is gone, the last report is in the status by now, or never comes.
    const live = await this.#options.kube.get(SESSIONS, namespace, name);
    if (live?.metadata.uid !== uid) return true;
    const session = parsed(live);
    if ((session.status?.recordings ?? 0) === 0 || this.#namesNoStore(object, session)) return true;
    const done = session.status?.sidecarDone === true;
    if (Date.now() - Date.parse(endedAt) <= LAST_WAIT) {
      if (done) return (await this.#complete(object, session).catch(() => undefined)) !== undefined;
      // What it has not reported yet would be missing in the list, and refused afterwards. One that crashed is started again.
      if (sidecarRuns(pod, podUid(object)) || runState(pod, podUid(object)).kind === 'lives') return false;
    }
    await this.#cut(
      object,
      done
        ? 'the Session object was deleted, and not all recordings are whole'
        : 'the Session object was deleted before the last report of the sidecar: recordings may be missing',
    );
    return true;
  }

  async #release({ metadata: { namespace, name, uid } }: KubeObject): Promise<void> {
    const { kube } = this.#options;
    await retried(async () => {
      const object = await kube.get(SESSIONS, namespace, name);
      if (object?.metadata.uid !== uid || !hasFinalizer(object)) return;
      const finalizers = (object.metadata.finalizers ?? []).filter((each) => each !== SESSION_FINALIZER);
      const patch = { metadata: { uid, resourceVersion: object.metadata.resourceVersion, finalizers } };
      const written = await kube.patch(SESSIONS, namespace, name, patch);
      if (written.kind === 'conflict') throw new ChangedMeanwhile(`Session ${namespace}/${name} has changed`);
      if (written.kind === 'rejected')
        throw new Error(`the finalizer of Session ${namespace}/${name} stays: ${written.message}`);
    });
  }

  async #ended(object: KubeObject, session: Session): Promise<Again | undefined> {
    const { kube, ttl } = this.#options;
    const age = Date.now() - Date.parse(session.status?.endedAt ?? object.metadata.creationTimestamp);
    const complete = await this.#recordings(object, session);
    const kept = complete ? ttl : Math.max(ttl, WEEK);
    if (age >= kept) {
      await remove(kube, SESSIONS, object);
      return undefined;
    }
    return { after: complete ? kept - age : Math.min(kept - age, Math.max(LOOK_AGAIN, age / 4)) };
  }

  /** Whether there is nothing more to wait for. */
  async #recordings(object: KubeObject, session: Session): Promise<boolean> {
    const said = session.status?.conditions?.find(({ type }) => type === 'RecordingComplete');
    if (said?.status === 'True') return true;
    const sidecar = sidecarRuns(await this.#pod(object), podUid(object));
    const done = session.status?.sidecarDone === true;
    if (sidecar && !done) return false;
    if (this.#namesNoStore(object, session)) {
      await this.#cut(object, 'the connection names no store: recordings go with the pod');
      return true;
    }
    if (!done) {
      // How many there are is not known: what is in the store may not be all.
      await this.#cut(
        object,
        'the sidecar ended before its last report was taken: recordings may be missing',
      );
      return session.status?.recordings === undefined;
    }
    let cut = 'not all recordings are whole, and the sidecar that could send more is gone';
    try {
      const complete = await this.#complete(object, session);
      if (complete) {
        const { location, digest } = complete;
        const message = 'the list of all recordings is signed and stored';
        await this.#say(
          object,
          [{ type: 'RecordingComplete', status: 'True', reason: 'ManifestSigned', message }],
          { recording: { ...session.status.recording, location, manifestDigest: digest } },
        );
        return true;
      }
    } catch (error) {
      cut = error instanceof Error ? error.message : 'unknown';
    }
    if (!sidecar) await this.#cut(object, cut);
    return false;
  }

  async #cut(object: KubeObject, message: string): Promise<void> {
    await this.#say(
      object,
      [{ type: 'RecordingComplete', status: 'False', reason: 'RecordingCut', message }],
      {},
    );
  }

  #namesNoStore({ metadata }: KubeObject, session: Session): boolean {
    const { connections } = this.#options.kube.stores;
    const object = connections.get(metadata.namespace, session.spec.connection);
    const connection = object && readConnection(object);
    return connection?.kind === 'parsed' && connection.value.spec.recording.configMapRef === undefined;
  }

  #complete({ metadata }: KubeObject, session: Session): ReturnType<Recordings['complete']> {
    const { namespace, name } = metadata;
    const owner = { namespace, connection: session.spec.connection, session: name };
    return this.#options.recordings.complete(owner, session.status?.recordings ?? 0);
  }

  /** The broker writes statuses too: what is said is said of the object as it is now. */
  async #say(
    { metadata: { namespace, name, uid } }: KubeObject,
    findings: readonly SessionFinding[],
    status: StatusChange,
  ): Promise<void> {
    const { kube } = this.#options;
    await retried(async () => {
      const object = await kube.get(SESSIONS, namespace, name);
      if (object?.metadata.uid !== uid) return;
      const { status: before } = parsed(object);
      // A status needs a phase.
      const phase = before?.phase ?? 'Active';
      await report(kube, {
        resource: SESSIONS,
        object,
        conditions: before?.conditions,
        findings,
        status: { phase, ...status },
      });
    });
  }
}

async function retried(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= ATTEMPTS || !(error instanceof ChangedMeanwhile)) throw error;
    }
  }
}

function parsed(object: KubeObject): Session {
  const session = readSession(object);
  if (session.kind === 'parsed') return session.value;
  throw new Error(`Session ${object.metadata.namespace}/${object.metadata.name} cannot be read`);
}

function hasFinalizer({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(SESSION_FINALIZER) === true;
}

function podUid({ metadata }: KubeObject): string {
  return metadata.labels?.[POD_UID_LABEL] ?? '';
}

function roleOf({ metadata: { namespace, name, uid } }: KubeObject): RunRole {
  return { session: { namespace, name, uid } };
}

/** As the API server writes times. */
function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/u, 'Z');
}
