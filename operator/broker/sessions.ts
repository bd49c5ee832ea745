/** Credentials for a run on a connection: the only place where they leave the operator, and only to the run's own sidecar. */
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { AccessPolicy } from '../../crds/policy.ts';
import { CONNECTIONS, NAMESPACES, SESSIONS, type Key, type Kube, type KubeObject } from '../kube/kube.ts';
import type { Administrator, Provisioner, RunRole, Target } from '../provision/provisioner.ts';
import { holdConnection } from '../reconcile/connection-hold.ts';
import { readConnectionMaterial } from '../reconcile/connection-material.ts';
import type { SessionAnswer } from '../../sidecar/broker/protocol.ts';
import { BrokerFailure } from './broker-failure.ts';
import type { Caller } from './caller.ts';
import { sessionOver } from './changes.ts';
import type { EndedSessions } from './ended-sessions.ts';
import { entitlement } from './entitlement.ts';
import { Hidden } from './hidden.ts';
import type { PolicyBook } from './policy-book.ts';
import { runOf, type Run } from './run.ts';
import { ensureSession } from './session-object.ts';

export interface SessionSources {
  readonly kube: Kube;
  /** Undefined for protocols that have none. */
  readonly provisioner: (protocol: string) => Provisioner | undefined;
  readonly policies: PolicyBook;
  readonly ended: EndedSessions;
}

interface Entitled {
  readonly run: Run;
  readonly object: KubeObject;
  readonly connection: ProtectedConnection;
  readonly policies: readonly AccessPolicy[];
}

const MAX_WARNINGS = 5;

export class Sessions {
  readonly #sources: SessionSources;
  /** By pod and connection: one at a time, or the later password would not be the one that counts. */
  readonly #opening = new Map<string, Promise<Hidden<SessionAnswer>>>();

  constructor(sources: SessionSources) {
    this.#sources = sources;
  }

  /** Everything that it rests on is read live. Idempotent. Rejects with a `BrokerFailure`, or the failure of what it asks. */
  open(caller: Caller, key: Key): Promise<Hidden<SessionAnswer>> {
    const id = `${caller.podUid} ${key.namespace}/${key.name}`;
    const opening = this.#opening.get(id) ?? this.#open(caller, key).finally(() => this.#opening.delete(id));
    this.#opening.set(id, opening);
    return opening;
  }

  async #open(caller: Caller, key: Key): Promise<Hidden<SessionAnswer>> {
    const { kube } = this.#sources;
    const entitled = await this.#entitled(caller, key);
    const { object, connection } = entitled;
    const target: Target = { connection, administrator: await administratorOf(kube, connection) };
    const session = await ensureSession(kube, entitled.run, object);
    if (!connection.spec.role.provision) return answer(session, target.administrator);
    const provisioner = this.#sources.provisioner(connection.spec.protocol);
    if (provisioner === undefined)
      throw new BrokerFailure('unavailable', `no roles can be made for ${connection.spec.protocol}`);
    const { namespace, name, uid } = session.metadata;
    // Revoking needs it, as it is now.
    if (!(await holdConnection(kube, object)))
      throw new BrokerFailure('unavailable', `${key.namespace}/${key.name} has changed meanwhile; try again`);
    const role: RunRole = { session: { namespace, name, uid } };
    const provisioned = await provisioner.provision(target, role, entitled.policies);
    await this.#still(caller, session, () => provisioner.revoke(target, role));
    for (const warning of provisioned.warnings.slice(0, MAX_WARNINGS))
      kube.event(object, 'Warning', 'RoleProvisioned', warning);
    return answer(session, provisioned);
  }

  async #entitled(caller: Caller, key: Key): Promise<Entitled> {
    const { kube, ended, policies: book } = this.#sources;
    const id = `${key.namespace}/${key.name}`;
    const [run, object, namespace] = await Promise.all([
      runOf(kube, caller, 'live'),
      kube.get(CONNECTIONS, key.namespace, key.name),
      kube.get(NAMESPACES, '', caller.namespace),
    ]);
    if (!run.connections.some(({ namespace: ns, name }) => ns === key.namespace && name === key.name))
      throw new BrokerFailure('forbidden', `the pod does not ask for ${id}`);
    if (run.ended) throw new BrokerFailure('ended', 'the run has ended');
    const found = entitlement(run, { key, connection: object, namespace });
    if (found.kind !== 'allowed') {
      const code = found.kind === 'forbidden' ? 'forbidden' : 'unavailable';
      throw new BrokerFailure(code, found.message);
    }
    const over = ended.reason(run, found.object);
    if (over !== undefined) throw new BrokerFailure('ended', over);
    const policies = book.of(key);
    if (policies.kind === 'broken') throw new BrokerFailure('unavailable', policies.message);
    return { run, object: found.object, connection: found.connection, policies: policies.policies };
  }

  /** The run or the session may have ended while the role was made: then whoever revokes may have been there already. */
  async #still(caller: Caller, session: KubeObject, revoke: () => Promise<void>): Promise<void> {
    const { kube } = this.#sources;
    const { namespace, name, uid } = session.metadata;
    const [run, found] = await Promise.all([
      runOf(kube, caller, 'live').catch((error: unknown) => {
        if (error instanceof BrokerFailure) return undefined;
        throw error;
      }),
      kube.get(SESSIONS, namespace, name),
    ]);
    const lives = found?.metadata.uid === uid && !sessionOver(found);
    if (run?.ended === false && lives) return;
    await revoke();
    throw new BrokerFailure('ended', 'the run ended');
  }
}

function answer(
  session: KubeObject,
  { username, password }: { readonly username: string; readonly password: string },
): Hidden<SessionAnswer> {
  return new Hidden({ session: session.metadata.name, username, password });
}

/** Read live. Rejects with `unavailable` when what the connection names is not as it must be. */
async function administratorOf(
  kube: Pick<Kube, 'get'>,
  connection: ProtectedConnection,
): Promise<Administrator> {
  const material = await readConnectionMaterial(kube, connection);
  if (material.kind === 'wrong') throw new BrokerFailure('unavailable', material.message);
  return material.administrator;
}
