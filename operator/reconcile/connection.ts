/**
 * Says of each connection whether it can be used: `CredentialsValid`, `RecordingReady`, and `Ready` of all.
 *
 * | ProtectedConnection                                    | condition              | reason                            |
 * |--------------------------------------------------------|------------------------|-----------------------------------|
 * | gone, or being deleted                                 | -                      | -                                 |
 * | cannot be parsed, or no pod could sign in              | Ready False            | InternalError                     |
 * | its protocol is not served yet                         | all Unknown or False   | ProtocolUnsupported               |
 * | a Secret or ConfigMap, or a key of it, is not there    | CredentialsValid False | SecretNotFound, SecretKeyMissing, ConfigMapNotFound |
 * | the operator may not read that namespace's             | CredentialsValid False | SecretNotFound, ConfigMapNotFound |
 * | a certificate is none                                  | CredentialsValid False | CertificateInvalid                |
 * | the target cannot be reached                           | CredentialsValid Unknown | TargetUnreachable               |
 * | the target refuses the credentials                     | CredentialsValid False | AuthenticationFailed              |
 * | the target takes them                                  | CredentialsValid True  | Reconciled                        |
 * | names no ConfigMap for recordings: they go with the pod | RecordingReady False  | RecordingMisconfigured            |
 * | that ConfigMap is not there                            | RecordingReady False   | ConfigMapNotFound                 |
 * | it, its Secret or its bucket are not as they must be   | RecordingReady False   | RecordingMisconfigured, RecordingUnreachable |
 * | the store takes recordings                             | RecordingReady True    | Reconciled                        |
 * | no policy names it, or one that does is not valid      | Ready False            | NoPolicy                          |
 * | one of the above, in this order                        | Ready False            | that                              |
 * | none of them                                           | Ready True             | Reconciled                        |
 *
 * Sign-ins and stores are asked at most every five minutes, and soon after something changed or went wrong. Until there is a first
 * answer nothing is said of them. Secrets and ConfigMaps are in no cache: they are read anew every minute. Sessions that come and go
 * only change the count.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ConnectionReason, ProtectedConnection } from '../../crds/connection.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { checkConnection } from '../admission/objects.ts';
import { items } from '../kube/field.ts';
import { PolicyBook } from '../broker/policy-book.ts';
import { CONFIG_MAPS, CONNECTIONS, type Key, type Kube, type KubeObject, type Store } from '../kube/kube.ts';
import type { Again } from '../kube/queue.ts';
import { readConnection, readSession } from '../kube/read.ts';
import { readNamed } from '../kube/reading.ts';
import type { Target } from '../provision/provisioner.ts';
import type { RecordingReady } from '../recordings/recording-ready.ts';
import type { Finding } from './condition.ts';
import { readConnectionMaterial } from './connection-material.ts';
import type { Controller } from './controller.ts';
import { report } from './report.ts';
import type { SignIn } from './sign-in.ts';
import { StandingCheck } from './standing-check.ts';

export interface ConnectionControllerOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'patch' | 'event'>;
  readonly signIn: (target: Target) => Promise<SignIn>;
  /** Of the ConfigMap of that name. */
  readonly recordingReady: (namespace: string, configMap: string) => Promise<RecordingReady>;
}

type ConditionType = 'Ready' | 'CredentialsValid' | 'RecordingReady';
type ConnectionFinding = Finding<ConditionType, ConnectionReason>;

const LOOK_AGAIN_MS = 60_000;
const GOOD_MS = 300_000;
/** After something went wrong that time may heal. */
const BAD_MS = 30_000;
/** Sessions come and go in numbers. */
const COUNT_DELAY_MS = 1000;

export function connectionController(options: ConnectionControllerOptions): Controller {
  const reconciler = new ConnectionReconciler(options);
  const { connections, policies, sessions } = options.kube.stores;
  return {
    name: 'connection',
    sources: [
      { store: connections, keys: (key, object, old) => (isSame(object, old) ? [] : reconciler.due([key])) },
      {
        store: policies,
        keys: (key, object, old) =>
          reconciler.due([object, old].flatMap((each) => namedBy(connections, key, each))),
      },
      { store: sessions, keys: (key, object, old) => countedFor(key, object, old), delay: COUNT_DELAY_MS },
      { listen: (add) => reconciler.signIns.listen((key) => reconciler.due([key]).forEach(add)) },
      { listen: (add) => reconciler.stores.listen((key) => reconciler.due([key]).forEach(add)) },
    ],
    reconcile: (key) => reconciler.reconcile(key),
  };
}

class ConnectionReconciler {
  readonly signIns = new StandingCheck<SignIn>({
    // A wrong password tried too often may lock the account.
    goodFor: ({ kind }) => (kind === 'unreachable' ? BAD_MS : GOOD_MS),
    workers: 8,
  });
  readonly stores = new StandingCheck<RecordingReady>({
    goodFor: ({ kind }) => (kind === 'ready' ? GOOD_MS : BAD_MS),
    workers: 8,
  });
  readonly #options: ConnectionControllerOptions;
  readonly #policies: PolicyBook;
  /** When a connection was last looked at whole; nothing when it has to be again. */
  readonly #looked = new Map<string, number>();

  constructor(options: ConnectionControllerOptions) {
    this.#options = options;
    this.#policies = new PolicyBook(options.kube.stores.policies);
  }

  /** These have to be looked at whole, not only counted for. */
  due(keys: readonly Key[]): readonly Key[] {
    for (const { namespace, name } of keys) this.#looked.delete(`${namespace}/${name}`);
    return keys;
  }

  async reconcile(key: Key): Promise<Again | undefined> {
    const { kube } = this.#options;
    const object = kube.stores.connections.get(key.namespace, key.name);
    if (!object || object.metadata.deletionTimestamp !== undefined) {
      this.due([key]);
      this.signIns.forget(key);
      this.stores.forget(key);
      return undefined;
    }
    const parsed = readConnection(object);
    if (parsed.kind === 'invalid') {
      const message = parsed.errors.map((each) => `${formatPath(each.path)}: ${each.message}`).join('\n');
      const findings = [finding('Ready', 'False', 'InternalError', message)];
      await report(kube, { resource: CONNECTIONS, object, findings });
      return undefined;
    }
    const connection = parsed.value;
    const status = { sessions: countSessions(kube, key) };
    const id = `${key.namespace}/${key.name}`;
    const began = performance.now();
    const left = (this.#looked.get(id) ?? -Infinity) + LOOK_AGAIN_MS - began;
    if (left > 0) {
      await report(kube, { resource: CONNECTIONS, object, findings: [], status });
      return { after: left };
    }
    // Before looking: what changes meanwhile takes it away again.
    this.#looked.set(id, began);
    try {
      const findings = (await this.#findings(key, object, connection)) ?? [];
      await report(kube, { resource: CONNECTIONS, object, findings, status });
    } catch (error) {
      this.due([key]);
      throw error;
    }
    return { after: LOOK_AGAIN_MS };
  }

  /** Undefined as long as an answer is waited for: what was said before stands, for the generation that it was said of. */
  async #findings(
    key: Key,
    object: KubeObject,
    connection: ProtectedConnection,
  ): Promise<readonly ConnectionFinding[] | undefined> {
    const { protocol } = connection.spec;
    if (protocol !== 'postgres') return unsupported(protocol);
    const [credentials, recording] = await Promise.all([
      this.#credentials(key, connection),
      this.#recording(key, connection),
    ]);
    if (!credentials || !recording) return undefined;
    return [this.#ready(key, object, credentials, recording), credentials, recording.finding];
  }

  async #credentials(key: Key, connection: ProtectedConnection): Promise<ConnectionFinding | undefined> {
    const { kube, signIn } = this.#options;
    const material = await readConnectionMaterial(kube, connection);
    if (material.kind === 'wrong')
      return finding('CredentialsValid', 'False', material.reason, material.message);
    const { administrator, fingerprint } = material;
    const answer = this.signIns.result(key, fingerprint, () => signIn({ connection, administrator }));
    switch (answer?.kind) {
      case undefined:
        return undefined;
      case 'accepted':
        return finding('CredentialsValid', 'True', 'Reconciled', 'the target takes the credentials');
      case 'refused':
        return finding('CredentialsValid', 'False', 'AuthenticationFailed', answer.message);
      case 'unreachable':
        return finding('CredentialsValid', 'Unknown', 'TargetUnreachable', answer.message);
    }
  }

  async #recording(key: Key, { spec }: ProtectedConnection): Promise<Recording | undefined> {
    const name = spec.recording.configMapRef?.name;
    if (name === undefined) {
      const message = 'spec.recording.configMapRef is not set: recordings go with the pod';
      return {
        finding: finding('RecordingReady', 'False', 'RecordingMisconfigured', message),
        wanted: false,
      };
    }
    const { kube, recordingReady } = this.#options;
    const reading = await readNamed(kube, CONFIG_MAPS, key.namespace, name);
    if (reading.kind !== 'found') {
      const message = reading.kind === 'missing' ? `there is no ConfigMap ${name}` : reading.message;
      return { finding: finding('RecordingReady', 'False', 'ConfigMapNotFound', message), wanted: true };
    }
    const { uid, resourceVersion } = reading.object.metadata;
    const fingerprint = JSON.stringify([name, uid, resourceVersion]);
    const answer = this.stores.result(key, fingerprint, () => recordingReady(key.namespace, name));
    if (!answer) return undefined;
    const said =
      answer.kind === 'ready'
        ? finding('RecordingReady', 'True', 'Reconciled', answer.message)
        : finding('RecordingReady', 'False', answer.reason, answer.message);
    return { finding: said, wanted: true };
  }

  #ready(
    key: Key,
    object: KubeObject,
    credentials: ConnectionFinding,
    recording: Recording,
  ): ConnectionFinding {
    const { errors } = checkConnection(object);
    if (errors.length > 0) return finding('Ready', 'False', 'InternalError', errors.join('\n'));
    if (credentials.status !== 'True') return { ...credentials, type: 'Ready', status: 'False' };
    if (recording.wanted && recording.finding.status !== 'True')
      return { ...recording.finding, type: 'Ready', status: 'False' };
    const policies = this.#policies.of(key);
    if (policies.kind === 'broken') return finding('Ready', 'False', 'NoPolicy', policies.message);
    const count = policies.policies.length;
    if (count === 0)
      return finding('Ready', 'False', 'NoPolicy', 'no policy names this connection: all is refused');
    return finding('Ready', 'True', 'Reconciled', `${count} ${count === 1 ? 'policy' : 'policies'}`);
  }
}

interface Recording {
  readonly finding: ConnectionFinding;
  /** Whether the connection asks for a store at all. */
  readonly wanted: boolean;
}

function finding(
  type: ConditionType,
  status: ConnectionFinding['status'],
  reason: ConnectionReason,
  message: string,
): ConnectionFinding {
  return { type, status, reason, message };
}

function unsupported(protocol: string): readonly ConnectionFinding[] {
  const message = `${protocol} is not served yet; postgres is`;
  return [
    finding('Ready', 'False', 'ProtocolUnsupported', message),
    finding('CredentialsValid', 'Unknown', 'ProtocolUnsupported', message),
    finding('RecordingReady', 'Unknown', 'ProtocolUnsupported', message),
  ];
}

/** Whether nothing but the status is another: we write that ourselves. */
function isSame(object: KubeObject | undefined, old: KubeObject | undefined): boolean {
  if (!object || !old) return false;
  const [now, before] = [object, old].map(({ metadata }) => {
    const { uid, generation, labels, annotations, deletionTimestamp } = metadata;
    return { uid, generation, labels, annotations, deletionTimestamp };
  });
  return isDeepStrictEqual(now, before);
}

/** As `PolicyBook` has it: of a policy whose list of connections cannot be read, all are meant. */
function namedBy(connections: Store, { namespace }: Key, policy: KubeObject | undefined): readonly Key[] {
  if (!policy) return [];
  const named = items(policy, ['spec', 'connections']).filter((name) => typeof name === 'string');
  const names = named.length > 0 ? named : connections.list(namespace).map(({ metadata }) => metadata.name);
  return names.map((name) => ({ namespace, name }));
}

/** The connection whose count changes. */
function countedFor(
  { namespace }: Key,
  object: KubeObject | undefined,
  old: KubeObject | undefined,
): readonly Key[] {
  const [now, before] = [connectionUsed(object), connectionUsed(old)];
  if (now === before) return [];
  return [now, before].filter((name) => name !== undefined).map((name) => ({ namespace, name }));
}

function countSessions({ stores }: Pick<Kube, 'stores'>, { namespace, name }: Key): number {
  return stores.sessions.list(namespace).filter((object) => connectionUsed(object) === name).length;
}

/** By a session that is not over. */
function connectionUsed(session: KubeObject | undefined): string | undefined {
  const parsed = session && readSession(session);
  if (parsed?.kind !== 'parsed' || parsed.value.status?.phase === 'Ended') return undefined;
  return parsed.value.spec.connection;
}
