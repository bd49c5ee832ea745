/**
 * The sidecar in its pod: the same enforcement as `sidewarden serve`, told what to enforce by the operator's broker.
 *
 * | what happens | what follows |
 * |---|---|
 * | a configuration | it is enforced, connection by connection; the first one makes the sidecar ready |
 * | the broker is not heard | what is in force goes on, and ages: after `policyMaxAge` everything is refused |
 * | a connection is revoked | its sessions are cut at once, and nobody gets in until a configuration has it again |
 * | the run has ended | as if all its connections were revoked |
 * | SIGTERM | no new clients; what is under way may end; recordings, also broken ones, are handed over, the last reports sent |
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { BrokerApprovals } from './broker/approvals.ts';
import { type BrokerAddress, BrokerClient } from './broker/client.ts';
import type { ConfigurationEvent, DecisionEvent, RevokedEvent } from './broker/event.ts';
import { BrokerRecordings } from './broker/recordings.ts';
import { Reports } from './broker/reports.ts';
import { configureRun } from './broker/run-configuration.ts';
import { recordRun } from './broker/run-recordings.ts';
import { SessionCounts } from './broker/session-counts.ts';
import { SessionCredentials } from './broker/session-credentials.ts';
import { ConfigurationStream, type StreamListener } from './broker/stream.ts';
import { TargetAddresses } from './broker/target-addresses.ts';
import type { Configuration } from './configuration.ts';
import { Enforcement, recordInto } from './enforcement.ts';
import { SidecarMetrics } from './metrics.ts';
import { loadParser } from './postgres/sql/parser.ts';
import { PolicySet } from './policy/policy-set.ts';
import { DirectoryStore } from './record/directory-store.ts';
import { recoverRecordings } from './record/recover.ts';
import { loadSigner, trustedKeyOf, type RecordingSigner } from './record/signer.ts';
import { Uploader } from './record/upload/uploader.ts';

export interface SidecarOptions {
  readonly broker: BrokerAddress;
  /** Folder for recordings, their key, and counts. */
  readonly state: string;
  readonly redirect: boolean;
  /** Recordings that wait for the store, from which on strict sessions refuse operations. */
  readonly spoolBytes?: number;
  readonly log: Logger;
}

/** When an address was taken: tried again after so many milliseconds. */
const LISTEN_AGAIN = 2_000;
/** Of the grace at the end, what is kept for recordings and reports. */
const HANDING_OVER = 5_000;
/** And of that for the last reports, also when recordings cannot be handed over at all. */
const REPORTING = 2_000;

interface Parts {
  readonly log: Logger;
  readonly redirect: boolean;
  readonly client: BrokerClient;
  readonly reports: Reports;
  readonly counts: SessionCounts;
  readonly uploads: Uploader;
  readonly signer: RecordingSigner;
  readonly approvals: BrokerApprovals;
  readonly enforcement: Enforcement;
  readonly metrics: SidecarMetrics;
}

export class Sidecar implements StreamListener {
  readonly #parts: Parts;
  readonly #stream: ConfigurationStream;
  readonly #credentials = new Map<string, SessionCredentials>();
  readonly #addresses = new Map<string, TargetAddresses>();
  /** Why connections are not for this run (any more), until a configuration comes that has them. */
  readonly #revoked = new Map<string, string>();
  #newest: ConfigurationEvent | undefined;
  /** What is in force, and whether all of it is. */
  #applied: { readonly revision: string; readonly whole: boolean } | undefined;
  #applying: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | undefined;
  #lost: { readonly since: number; readonly reason: string } | undefined;
  #stopping = false;

  /** Seals what an earlier start left, and asks the broker what to enforce. Rejects when the state folder cannot be used. */
  static async start(options: SidecarOptions): Promise<Sidecar> {
    const { state, log } = options;
    const parser = loadParser();
    await mkdir(state, { recursive: true, mode: 0o700 });
    const signer = await loadSigner(state);
    const folder = new DirectoryStore(join(state, 'recordings'));
    for (const recovery of await recoverRecordings(folder, signer))
      log.warn({ recovery }, 'a recording of an interrupted session');
    const client = new BrokerClient(options.broker);
    const counts = await SessionCounts.load(state, client, log);
    const uploads = new Uploader({
      folder,
      trusted: trustedKeyOf(signer),
      broker: new BrokerRecordings(client),
      log,
      ...(options.spoolBytes === undefined ? {} : { capacity: options.spoolBytes }),
    });
    await Promise.all([parser, uploads.start()]);
    const reports = new Reports(client, log);
    const metrics = new SidecarMetrics();
    const approvals: BrokerApprovals = new BrokerApprovals({
      client,
      reports,
      log,
      connected: () => sidecar.connected,
      earlier: counts.earlier,
    });
    const openRecording = recordRun(recordInto(uploads.store, signer), { counts, uploads, metrics });
    const enforcement = new Enforcement({ log, approvals, openRecording }, NOTHING);
    const { redirect } = options;
    const parts = {
      log,
      redirect,
      client,
      reports,
      counts,
      uploads,
      signer,
      approvals,
      enforcement,
      metrics,
    };
    const sidecar = new Sidecar(parts);
    metrics.watch(
      () => uploads,
      () => sidecar.age,
    );
    sidecar.#stream.start();
    return sidecar;
  }

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#stream = new ConfigurationStream(parts.client, this, parts.log);
  }

  /** A configuration is in force, and each of its usable connections is listened for. */
  get ready(): boolean {
    return this.#applied !== undefined && !this.#stopping;
  }

  get connected(): boolean {
    return this.#stream.connected;
  }

  /** Milliseconds since the broker was last heard of; 0 while it is there. */
  get age(): number {
    return this.#lost ? performance.now() - this.#lost.since : 0;
  }

  /** Strict sessions refuse operations. */
  get spoolFull(): boolean {
    return this.#parts.uploads.full;
  }

  get metricsType(): string {
    return this.#parts.metrics.contentType;
  }

  metrics(): Promise<string> {
    return this.#parts.metrics.text();
  }

  configuration(event: ConfigurationEvent): void {
    if (this.#stopping) return;
    this.#newest = event;
    for (const [connection, credentials] of this.#credentials)
      credentials.version(event.credentials.get(connection));
    for (const connection of event.credentials.keys()) this.#revoked.delete(connection);
    this.#applySoon();
  }

  decision(event: DecisionEvent): void {
    this.#parts.approvals.decided(event);
  }

  revoked({ connection, reason }: RevokedEvent): void {
    if (!this.#revoked.has(connection))
      this.#parts.log.warn({ connection, reason }, 'a connection was revoked');
    this.#revoked.set(connection, reason);
    // The same configuration once more brings it back.
    if (this.#applied) this.#applied = { ...this.#applied, whole: false };
    this.#credentials.get(connection)?.forget();
    this.#parts.enforcement.revoke(connection, reason);
  }

  lost(since: number, reason: string): void {
    this.#lost = { since, reason };
    this.#parts.log.error(`the broker is not heard, and what is in force ages: ${reason}`);
    this.#parts.enforcement.keepOld(reason, since);
  }

  found(): void {
    this.#lost = undefined;
    this.#applySoon();
  }

  ended(message: string): void {
    for (const connection of this.#newest?.credentials.keys() ?? [])
      this.revoked({ kind: 'revoked', connection, reason: message });
  }

  /** Ends everything within `grace` milliseconds; resolves when it has. */
  async stop(grace: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#again);
    const { enforcement, approvals, uploads, reports, counts, client } = this.#parts;
    const deadline = performance.now() + grace;
    await this.#applying;
    await enforcement.drain('the sidecar is ending', deadline - Math.min(HANDING_OVER, grace / 2));
    approvals.close();
    await this.#sealBroken((deadline - performance.now()) / 3);
    await uploads.close(deadline - Math.min(REPORTING, grace / 4));
    await Promise.all([reports.close(deadline), counts.close(deadline)]);
    await this.#stream.close();
    client.close();
  }

  /** Recordings that failed on the way: the folder ends with the pod, and what is in it must not. */
  async #sealBroken(milliseconds: number): Promise<void> {
    const { uploads, signer, log } = this.#parts;
    const sealing = recoverRecordings(uploads.store, signer).then(
      (recoveries) => {
        for (const recovery of recoveries) log.warn({ recovery }, 'a recording that had failed');
      },
      (error: unknown) => log.error({ err: error }, 'recordings that had failed cannot be sealed'),
    );
    await Promise.race([sealing, sleep(Math.max(0, milliseconds), undefined, { ref: false })]);
  }

  /** One at a time; of several that wait, the newest. */
  #applySoon(): void {
    this.#applying = this.#applying
      .then(() => this.#apply())
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'a configuration could not be enforced');
        this.#parts.enforcement.keepOld('the configuration could not be enforced');
      });
  }

  async #apply(): Promise<void> {
    const event = this.#newest;
    const { enforcement, log } = this.#parts;
    if (event === undefined || this.#stopping) return;
    if (this.#applied?.whole && this.#applied.revision === event.revision) {
      if (!this.#lost) enforcement.fresh();
      return;
    }
    const configuration = this.#withoutRevoked(this.#configured(event));
    const news = event.revision !== this.#applied?.revision;
    if (news) for (const warning of configuration.warnings) log.warn(warning);
    if (news)
      for (const { connection, message } of configuration.unusable)
        log.error({ connection, message }, 'unusable');
    const listening = await enforcement.apply(configuration);
    // Those that were revoked meanwhile.
    for (const [connection, reason] of this.#revoked) enforcement.revoke(connection, reason);
    for (const { name, address, port } of listening)
      log.info({ connection: name, address, port }, 'listening');
    if (this.#lost) enforcement.keepOld(this.#lost.reason, this.#lost.since);
    if (enforcement.missing.size > 0) {
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#applySoon(), LISTEN_AGAIN);
    }
    // A connection that is unusable may be another on the next look; one that is not listened for must be.
    const whole = enforcement.missing.size === 0;
    if (whole || this.#applied) this.#applied = { revision: event.revision, whole };
    if (news) log.info({ policies: configuration.digests }, 'the configuration is in force');
  }

  #configured(event: ConfigurationEvent): Configuration {
    return configureRun(event, {
      kind: 'pod',
      identity: event.identity,
      credentials: (connection) => this.#credentialsOf(connection),
      lookup: (connection) => this.#addressesOf(connection).lookup,
      redirect: this.#parts.redirect,
    });
  }

  /** What was revoked since the configuration came is not brought back by it. */
  #withoutRevoked(configuration: Configuration): Configuration {
    const unusable = [...configuration.unusable];
    const connections = configuration.connections.filter(({ facts, listen }) => {
      const connection = `${facts.namespace}/${facts.name}`;
      const reason = this.#revoked.get(connection);
      if (reason !== undefined)
        unusable.push({ connection, message: `this connection was revoked: ${reason}`, listen });
      return reason === undefined;
    });
    return { ...configuration, connections, unusable };
  }

  #addressesOf(connection: string): TargetAddresses {
    const known = this.#addresses.get(connection);
    if (known) return known;
    const addresses = new TargetAddresses(connection, this.#parts.client);
    this.#addresses.set(connection, addresses);
    return addresses;
  }

  #credentialsOf(connection: string): SessionCredentials {
    const known = this.#credentials.get(connection);
    if (known) return known;
    const { client, counts } = this.#parts;
    const credentials = new SessionCredentials(connection, client, () => counts.begun(connection));
    credentials.version(this.#newest?.credentials.get(connection));
    this.#credentials.set(connection, credentials);
    return credentials;
  }
}

/** Until the broker has told more. */
const NOTHING: Configuration = {
  connections: [],
  policies: new PolicySet([]),
  digests: [],
  warnings: [],
  unusable: [],
};
