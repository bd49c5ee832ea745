/**
 * Enforcement in one process: adapters for all connections of a configuration, the policy in force, recordings and
 * approvals. A new configuration takes its place while sessions go on.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { ApprovalGateway } from './approval/gateway.ts';
import type { Configuration, ConnectionConfig, UnusableConnection } from './configuration.ts';
import type { Identity } from './operation.ts';
import type { PolicyInForce } from './pipeline.ts';
import type { PolicySet } from './policy/policy-set.ts';
import { PostgresAdapter } from './postgres/adapter.ts';
import { RefusingListener } from './postgres/refusing.ts';
import type { PolicyDigest } from './record/event.ts';
import { openRecording, type RecordingHeader, type SessionRecorder } from './record/recorder.ts';
import { newSessionId } from './record/session-id.ts';
import type { RecordingSigner } from './record/signer.ts';
import type { RecordingStore } from './record/store.ts';

/** Opens the recording of one client's connection. */
export type OpenRecording = (
  config: ConnectionConfig,
  header: Omit<RecordingHeader, 'session'>,
  onFailure: (error: Error) => void,
) => Promise<SessionRecorder>;

/** All recordings into one store, signed with one key. */
export function recordInto(store: RecordingStore, signer: RecordingSigner): OpenRecording {
  return ({ recording }, header, onFailure) =>
    openRecording(store, { ...header, session: newSessionId() }, signer, {
      durability: recording.durability,
      onFailure,
    });
}

export interface EnforcementParts {
  readonly log: Logger;
  readonly approvals: ApprovalGateway;
  readonly openRecording: OpenRecording;
}

export interface Listening {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** What decides on one connection; where that is broken now, what decided before. */
interface InForce {
  policies: PolicySet;
  digests: readonly PolicyDigest[];
  /** Since when it could not be had anew, by `performance.now()`. */
  staleSince: number | undefined;
}

export class Enforcement {
  readonly #parts: EnforcementParts;
  #configuration: Configuration;
  readonly #adapters = new Map<string, PostgresAdapter>();
  readonly #refusing = new Map<string, RefusingListener>();
  readonly #inForce = new Map<string, InForce>();
  readonly #missing = new Set<string>();

  constructor(parts: EnforcementParts, configuration: Configuration) {
    this.#parts = parts;
    this.#configuration = configuration;
  }

  /** Connections that are in order and yet not listened for: their address could not be had. */
  get missing(): ReadonlySet<string> {
    return this.#missing;
  }

  /** Listens for every connection. Rejects, with none listening, when an address cannot be had. */
  async start(): Promise<readonly Listening[]> {
    try {
      const listening: Listening[] = [];
      for (const config of this.#configuration.connections) {
        this.#renew(config);
        listening.push(await this.#listen(config));
      }
      return listening;
    } catch (error) {
      await this.close('serve could not start');
      throw error;
    }
  }

  /**
   * Takes a new configuration: policies at once for all sessions, connections that changed by listening anew. What is unusable by
   * now goes on with what it had, for as long as it may; what never was usable is refused with the reason. Not to be called anew
   * before it has resolved.
   */
  async apply(configuration: Configuration): Promise<readonly Listening[]> {
    this.#configuration = configuration;
    const wanted = new Map(configuration.connections.map((config) => [keyOf(config), config]));
    const unusable = new Map(configuration.unusable.map((one) => [one.connection, one]));
    for (const config of wanted.values()) this.#renew(config);
    await Promise.all(
      [...this.#adapters].map(([key, adapter]) => this.#keep(key, adapter, wanted, unusable)),
    );
    for (const [key, listener] of this.#refusing) {
      if (unusable.get(key)?.message === listener.message) continue;
      this.#refusing.delete(key);
      await listener.close();
    }
    for (const one of unusable.values()) await this.#refuse(one);
    return this.#listenForAll(wanted);
  }

  /** The configuration cannot be read anew, since `since` by `performance.now()`: the old one stays, as long as it may. */
  keepOld(reason: string, since = performance.now()): void {
    for (const inForce of this.#inForce.values()) inForce.staleSince ??= since;
    for (const adapter of this.#adapters.values()) adapter.policyChanged(reason);
  }

  /** The configuration that is in force was read anew. */
  fresh(): void {
    for (const config of this.#configuration.connections) {
      const key = keyOf(config);
      const inForce = this.#inForce.get(key);
      if (inForce?.staleSince === undefined) continue;
      inForce.staleSince = undefined;
      this.#adapters.get(key)?.policyChanged(null);
    }
  }

  /** Cuts what there is of a connection; a later configuration that has it brings it back. */
  revoke(connection: string, reason: string): void {
    this.#adapters.get(connection)?.revoke(reason);
  }

  /** Takes no more clients; what is under way may end until the deadline, by `performance.now()`. */
  async drain(reason: string, deadline: number): Promise<void> {
    const adapters = [...this.#adapters.values()];
    this.#adapters.clear();
    const refusing = this.#closeRefusing();
    await Promise.all(adapters.map(async (adapter) => adapter.drain(reason, deadline)));
    await refusing;
  }

  /** Ends all sessions; resolves when their recordings are closed. */
  async close(reason: string): Promise<void> {
    const adapters = [...this.#adapters.values()];
    this.#adapters.clear();
    const refusing = this.#closeRefusing();
    await Promise.all(adapters.map(async (adapter) => adapter.close(reason)));
    await refusing;
  }

  async #closeRefusing(): Promise<void> {
    const listeners = [...this.#refusing.values()];
    this.#refusing.clear();
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  #renew(config: ConnectionConfig): void {
    const { policies, digests } = this.#configuration;
    const found = this.#inForce.get(keyOf(config));
    if (found) Object.assign(found, { policies, digests, staleSince: undefined });
    else this.#inForce.set(keyOf(config), { policies, digests, staleSince: undefined });
  }

  /** Leaves an adapter as it is where it still serves the same connection, else closes it. */
  async #keep(
    key: string,
    adapter: PostgresAdapter,
    wanted: ReadonlyMap<string, ConnectionConfig>,
    unusable: ReadonlyMap<string, UnusableConnection>,
  ): Promise<void> {
    const config = wanted.get(key);
    const broken = unusable.get(key);
    if (config && !adapter.revoked && isDeepStrictEqual(config, adapter.config)) {
      adapter.policyChanged(null);
      return;
    }
    const inForce = this.#inForce.get(key);
    if (!config && broken && inForce && !adapter.revoked) {
      inForce.staleSince ??= performance.now();
      adapter.policyChanged(broken.message);
      return;
    }
    // What was revoked keeps telling so until it is wanted again.
    if (!config && adapter.revoked) return;
    this.#adapters.delete(key);
    if (!config) this.#inForce.delete(key);
    try {
      await adapter.close(config ? 'the connection was changed' : 'the connection was removed');
    } catch (error) {
      this.#parts.log.error({ err: error, connection: key }, 'the connection could not be closed cleanly');
    }
  }

  async #listenForAll(wanted: ReadonlyMap<string, ConnectionConfig>): Promise<readonly Listening[]> {
    const listening: Listening[] = [];
    this.#missing.clear();
    for (const [key, config] of wanted) {
      if (this.#adapters.has(key)) continue;
      try {
        listening.push(await this.#listen(config));
      } catch (error) {
        this.#missing.add(key);
        this.#parts.log.error({ err: error, connection: key }, 'the connection cannot be listened for');
      }
    }
    return listening;
  }

  async #refuse({ connection, message, listen }: UnusableConnection): Promise<void> {
    if (listen === undefined || this.#adapters.has(connection) || this.#refusing.has(connection)) return;
    const listener = new RefusingListener(message);
    try {
      await listener.listen(listen.address, listen.port);
      this.#refusing.set(connection, listener);
    } catch (error) {
      this.#parts.log.error({ err: error, connection }, 'the connection cannot be listened for');
    }
  }

  async #listen(config: ConnectionConfig): Promise<Listening> {
    const { log, approvals } = this.#parts;
    const key = keyOf(config);
    const adapter = new PostgresAdapter({
      config,
      log: log.child({ connection: key }),
      approvals,
      policyFor: (identity) => this.#policyFor(identity, config),
      policyDigests: () => this.#inForce.get(key)?.digests ?? [],
      staleSince: () => this.#inForce.get(key)?.staleSince,
      openRecording: (header, _config, onFailure) => this.#parts.openRecording(config, header, onFailure),
    });
    const port = await adapter.listen();
    this.#adapters.set(key, adapter);
    return { name: config.facts.name, address: config.listen.address, port };
  }

  #policyFor(identity: Identity, config: ConnectionConfig): PolicyInForce {
    const inForce = this.#inForce.get(keyOf(config));
    let policies = inForce?.policies ?? this.#configuration.policies;
    let session = policies.forSession(identity, config.facts);
    return () => {
      if (inForce && policies !== inForce.policies) {
        policies = inForce.policies;
        session = policies.forSession(identity, config.facts);
      }
      return session;
    };
  }
}

function keyOf({ facts }: ConnectionConfig): string {
  return `${facts.namespace}/${facts.name}`;
}
