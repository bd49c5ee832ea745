/**
 * Enforcement in one process: adapters for all connections of a configuration, the policy in force, recordings and
 * approvals. A new configuration takes its place while sessions go on.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { ApprovalGateway } from './approval/gateway.ts';
import type { Configuration, ConnectionConfig } from './configuration.ts';
import type { Identity } from './operation.ts';
import type { PolicyInForce } from './pipeline.ts';
import { PostgresAdapter } from './postgres/adapter.ts';
import { openRecording } from './record/recorder.ts';
import { newSessionId } from './record/session-id.ts';
import type { RecordingSigner } from './record/signer.ts';
import type { RecordingStore } from './record/store.ts';

export interface EnforcementParts {
  readonly log: Logger;
  readonly store: RecordingStore;
  readonly signer: RecordingSigner;
  readonly approvals: ApprovalGateway;
}

export interface Listening {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export class Enforcement {
  readonly #parts: EnforcementParts;
  #configuration: Configuration;
  readonly #adapters = new Map<string, PostgresAdapter>();
  #staleSince: number | undefined;

  constructor(parts: EnforcementParts, configuration: Configuration) {
    this.#parts = parts;
    this.#configuration = configuration;
  }

  /** Listens for every connection. Rejects, with none listening, when an address cannot be had. */
  async start(): Promise<readonly Listening[]> {
    try {
      const listening: Listening[] = [];
      for (const config of this.#configuration.connections) listening.push(await this.#listen(config));
      return listening;
    } catch (error) {
      await this.close('serve could not start');
      throw error;
    }
  }

  /** Takes a new configuration: policies at once for all sessions, connections that changed by listening anew. */
  async apply(configuration: Configuration): Promise<readonly Listening[]> {
    this.#configuration = configuration;
    this.#staleSince = undefined;
    const wanted = new Map(configuration.connections.map((config) => [keyOf(config), config]));
    for (const [key, adapter] of this.#adapters) {
      const config = wanted.get(key);
      if (config && isDeepStrictEqual(config, adapter.config)) {
        adapter.policyChanged(null);
        continue;
      }
      this.#adapters.delete(key);
      try {
        await adapter.close(config ? 'the connection was changed' : 'the connection was removed');
      } catch (error) {
        this.#parts.log.error({ err: error, connection: key }, 'the connection could not be closed cleanly');
      }
    }
    const listening: Listening[] = [];
    for (const [key, config] of wanted) {
      if (this.#adapters.has(key)) continue;
      try {
        listening.push(await this.#listen(config));
      } catch (error) {
        this.#parts.log.error({ err: error, connection: key }, 'the connection cannot be listened for');
      }
    }
    return listening;
  }

  /** The manifests are wrong or cannot be read: the old ones stay, as long as they may. */
  keepOld(reason: string): void {
    this.#staleSince ??= Date.now();
    for (const adapter of this.#adapters.values()) adapter.policyChanged(reason);
  }

  /** Ends all sessions; resolves when their recordings are closed. */
  async close(reason: string): Promise<void> {
    const adapters = [...this.#adapters.values()];
    this.#adapters.clear();
    await Promise.all(adapters.map(async (adapter) => adapter.close(reason)));
  }

  async #listen(config: ConnectionConfig): Promise<Listening> {
    const { log, store, signer, approvals } = this.#parts;
    const adapter = new PostgresAdapter({
      config,
      log: log.child({ connection: keyOf(config) }),
      approvals,
      policyFor: (identity) => this.#policyFor(identity, config),
      policyDigests: () => this.#configuration.digests,
      staleSince: () => this.#staleSince,
      openRecording: (header, { recording }, onFailure) =>
        openRecording(store, { ...header, session: newSessionId() }, signer, {
          durability: recording.durability,
          onFailure,
        }),
    });
    const port = await adapter.listen();
    this.#adapters.set(keyOf(config), adapter);
    return { name: config.facts.name, address: config.listen.address, port };
  }

  #policyFor(identity: Identity, config: ConnectionConfig): PolicyInForce {
    let { policies } = this.#configuration;
    let session = policies.forSession(identity, config.facts);
    return () => {
      if (policies !== this.#configuration.policies) {
        policies = this.#configuration.policies;
        session = policies.forSession(identity, config.facts);
      }
      return session;
    };
  }
}

function keyOf({ facts }: ConnectionConfig): string {
  return `${facts.namespace}/${facts.name}`;
}
