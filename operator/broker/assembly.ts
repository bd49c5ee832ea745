/**
 * What a run gets: of each connection that it asks for, one of three.
 *
 * | state | when | what the sidecar is told |
 * |---|---|---|
 * | usable | it exists, allows the namespace, has an identity source that fits; all its policies compile; all that it refers to is there | its manifests |
 * | unusable | something of it is broken, or cannot be read now | `unusable`: a sidecar that has had it goes on with that, up to its policyMaxAge |
 * | forbidden | it is gone, does not allow the namespace (any more), or its session was ended | `unusable` and `revoked`: all of it is cut |
 */
import { createHash } from 'node:crypto';
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { BrokerEvent } from '../../sidecar/broker/protocol.ts';
import type { Key, KubeObject, Store } from '../kube/kube.ts';
import { entitlement } from './entitlement.ts';
import { manifestOf, type Manifest } from './manifest.ts';
import type { Materials } from './materials.ts';
import type { PolicyBook } from './policy-book.ts';
import type { Run } from './run.ts';

type State =
  | {
      readonly kind: 'usable';
      readonly port: number;
      readonly manifests: readonly Manifest[];
      readonly credentials: string;
    }
  | {
      readonly kind: 'unusable' | 'forbidden';
      readonly message: string;
      /** Where clients come, when that can be told. */
      readonly port: number | undefined;
    };

export interface Assembled {
  readonly event: BrokerEvent;
  /** By `namespace/name`: why the connection is not for this run. */
  readonly forbidden: ReadonlyMap<string, string>;
}

export interface AssemblySources {
  readonly stores: Readonly<Record<'connections' | 'namespaces', Store>>;
  readonly policies: PolicyBook;
  readonly materials: Materials;
  /** Why the run may not use the connection, though all else would let it. */
  readonly ended: (run: Run, connection: KubeObject) => string | undefined;
}

export async function assemble(sources: AssemblySources, run: Run): Promise<Assembled> {
  const states = await Promise.all(
    run.connections.map(async (key): Promise<[string, State]> => [
      `${key.namespace}/${key.name}`,
      await stateOf(sources, run, key),
    ]),
  );
  return assembled(run, withoutCollisions(states));
}

async function stateOf(sources: AssemblySources, run: Run, key: Key): Promise<State> {
  const object = sources.stores.connections.get(key.namespace, key.name);
  const namespace = sources.stores.namespaces.get('', run.pod.metadata.namespace);
  const found = entitlement(run, { key, connection: object, namespace });
  if (found.kind === 'forbidden') return { ...found, port: undefined };
  if (found.kind === 'broken') return { kind: 'unusable', message: found.message, port: undefined };
  const { port } = found.connection.spec.listen;
  const ended = sources.ended(run, found.object);
  if (ended !== undefined) return { kind: 'forbidden', message: ended, port };
  const policies = sources.policies.of(key);
  if (policies.kind === 'broken') return { kind: 'unusable', message: policies.message, port };
  const material = await sources.materials.of(`${key.namespace}/${key.name}`, found.connection);
  if (material.kind === 'incomplete') return { kind: 'unusable', message: material.message, port };
  return {
    kind: 'usable',
    port,
    manifests: [manifestOf(found.object), ...policies.manifests, ...material.manifests],
    credentials: credentialsVersion(found.connection, material.credentials, policies.manifests),
  };
}

/** A role of the run's own is made anew when what it is made from changes; otherwise the Secret is what counts. */
function credentialsVersion(
  { spec }: ProtectedConnection,
  secret: string,
  policies: readonly Manifest[],
): string {
  if (!spec.role.provision) return secret;
  return digest([spec.target, spec.role, policies.map((policy) => policy['spec'])]);
}

/** Two listeners on one port would leave the pod without either: the one that the annotation names first has it. */
function withoutCollisions(states: readonly [string, State][]): readonly [string, State][] {
  const ports = new Map<number, string>();
  return states.map(([id, state]): [string, State] => {
    if (state.kind !== 'usable') return [id, state];
    const other = ports.get(state.port);
    if (other !== undefined)
      return [
        id,
        { kind: 'unusable', message: `${other} listens on port ${state.port} too`, port: undefined },
      ];
    ports.set(state.port, id);
    return [id, state];
  });
}

function assembled(run: Run, states: readonly [string, State][]): Assembled {
  const manifests = new Map<string, Manifest>();
  const unusable: NonNullable<BrokerEvent['unusable']>[number][] = [];
  const credentials: Record<string, string> = {};
  const forbidden = new Map<string, string>();
  for (const [id, state] of states) {
    if (state.kind === 'usable') {
      credentials[id] = state.credentials;
      for (const manifest of state.manifests) add(manifests, manifest);
    } else {
      const { message, port } = state;
      unusable.push({
        connection: id,
        message: message.slice(0, 4096),
        ...(port === undefined ? {} : { port }),
      });
      if (state.kind === 'forbidden') forbidden.set(id, message.slice(0, 1024));
    }
  }
  const { identity } = run;
  const content = {
    identity: { ...identity, groups: [...identity.groups], claims: {} },
    manifests: [...manifests.values()],
    unusable,
    credentials,
  };
  return { event: { kind: 'configuration', revision: digest(content), ...content }, forbidden };
}

/** A policy can be of several connections, a Secret too, with other keys. */
function add(manifests: Map<string, Manifest>, manifest: Manifest): void {
  const { kind, metadata } = manifest;
  const id = `${kind} ${metadata.namespace}/${metadata.name}`;
  const known = manifests.get(id);
  const data = known?.['data'];
  if (typeof data === 'object' && data !== null && typeof manifest['data'] === 'object')
    manifests.set(id, { ...manifest, data: { ...data, ...manifest['data'] } });
  else manifests.set(id, manifest);
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
