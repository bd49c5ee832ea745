/**
 * One leader among the replicas, by a Lease. A candidate takes the Lease when nobody holds it, or when it has not been renewed for its
 * duration by the candidate's own clock: no two clocks are compared. Each write is bound to the version that was read.
 *
 *     renewed            stops leading           another may take it
 *        |-------- 10 s --------|------- 5 s -------|
 *
 * The leader counts from before it asked for the renewal, and others from when they saw it: so it has stopped before.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { type Kube, KubeError, type KubeObject, LEASES, type Written } from './kube.ts';
import { type Json, isJson } from './object.ts';

export interface LeaseTimes {
  /** All in milliseconds; each is less than the one before. */
  readonly duration: number;
  readonly renewLimit: number;
  readonly retry: number;
}

export interface LeaderOptions {
  readonly namespace: string;
  readonly name: string;
  /** Of this process, for people; what the Lease says begins with it. */
  readonly identity: string;
  readonly log: Logger;
  readonly times?: LeaseTimes;
}

export interface LeaderCallbacks {
  onStarted(): void;
  /** It leads no more; what it resolves to is waited for before it leads again, and before the Lease is given back. */
  onStopped(): Promise<void> | void;
}

export interface Election {
  /** Whether this process may act as the leader at this moment. */
  readonly leading: boolean;
  /** Stops leading, and gives the Lease back so that another need not wait. */
  close(): Promise<void>;
}

const TIMES: LeaseTimes = { duration: 15_000, renewLimit: 10_000, retry: 2000 };

/** Returns at once, a candidate. */
export function electLeader(
  kube: Pick<Kube, 'get' | 'create' | 'patch'>,
  options: LeaderOptions,
  callbacks: LeaderCallbacks,
  clock: Clock = systemClock,
): Election {
  return new Candidate(kube, options, callbacks, clock);
}

class Candidate implements Election {
  readonly #kube: Pick<Kube, 'get' | 'create' | 'patch'>;
  readonly #options: LeaderOptions;
  readonly #times: LeaseTimes;
  readonly #callbacks: LeaderCallbacks;
  readonly #clock: Clock;
  readonly #holder: string;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  /** What was last seen of the Lease, and when it was seen first. */
  #seen = { version: '', at: 0 };
  /** Since before the last renewal was asked for. */
  #renewed = -Infinity;
  #acting = false;
  #stopped: Promise<void> = Promise.resolve();
  #giveUp: () => void = () => undefined;

  constructor(
    kube: Pick<Kube, 'get' | 'create' | 'patch'>,
    options: LeaderOptions,
    callbacks: LeaderCallbacks,
    clock: Clock,
  ) {
    this.#kube = kube;
    this.#options = options;
    this.#times = options.times ?? TIMES;
    this.#callbacks = callbacks;
    this.#clock = clock;
    this.#holder = `${options.identity}_${randomUUID()}`;
    this.#ended = this.#run();
  }

  get leading(): boolean {
    return this.#acting && this.#clock.now() < this.#renewed + this.#times.renewLimit;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#stop();
    await this.#ended;
    await this.#stopped;
    await this.#release().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'the Lease could not be given back: it runs out by itself');
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const step = this.#step().catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'the Lease could not be asked for');
      });
      // A call that hangs must not use up the time in which the next one could succeed.
      const enough = new AbortController();
      const limit = sleep(this.#times.renewLimit / 2, undefined, { signal: enough.signal });
      await Promise.race([step, limit.catch(() => undefined)]);
      enough.abort();
      const wait = this.#times.retry * (0.9 + Math.random() * 0.2);
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Renews the Lease, or takes it when it is free; leads from then on. */
  async #step(): Promise<void> {
    const { namespace, name } = this.#options;
    const asked = this.#clock.now();
    const lease = await this.#kube.get(LEASES, namespace, name);
    if (lease && !this.#mayTake(lease)) return;
    // Only when what it did as the leader before has come to its end.
    if (!this.#acting) await this.#stopped;
    if (this.#closing.signal.aborted) return;
    const written = await this.#write(lease);
    if (written.kind === 'written') this.#lead(asked);
    else if (written.kind !== 'conflict')
      throw new KubeError(`the Lease ${namespace}/${name}: ${written.kind}`, undefined);
  }

  #mayTake(lease: KubeObject): boolean {
    const { resourceVersion } = lease.metadata;
    if (this.#seen.version !== resourceVersion)
      this.#seen = { version: resourceVersion, at: this.#clock.now() };
    const spec = specOf(lease);
    const holder = spec['holderIdentity'];
    if (holder === undefined || holder === null || holder === '' || holder === this.#holder) return true;
    const seconds = spec['leaseDurationSeconds'];
    const duration = typeof seconds === 'number' ? seconds * 1000 : this.#times.duration;
    return this.#clock.now() > this.#seen.at + duration;
  }

  #write(lease: KubeObject | undefined): Promise<Written> {
    const { namespace, name } = this.#options;
    const now = microseconds(new Date());
    const old = lease ? specOf(lease) : {};
    const mine = old['holderIdentity'] === this.#holder;
    const changes = typeof old['leaseTransitions'] === 'number' ? old['leaseTransitions'] : 0;
    const spec = {
      holderIdentity: this.#holder,
      leaseDurationSeconds: Math.ceil(this.#times.duration / 1000),
      renewTime: now,
      ...(mine ? {} : { acquireTime: now, leaseTransitions: lease ? changes + 1 : 0 }),
    };
    if (!lease) {
      const made = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { namespace, name },
        spec,
      };
      return this.#kube.create(LEASES, made);
    }
    const { uid, resourceVersion } = lease.metadata;
    return this.#kube.patch(LEASES, namespace, name, { metadata: { uid, resourceVersion }, spec });
  }

  #lead(asked: number): void {
    if (this.#closing.signal.aborted) return;
    this.#renewed = Math.max(this.#renewed, asked);
    const left = this.#renewed + this.#times.renewLimit - this.#clock.now();
    if (left <= 0) return;
    this.#giveUp();
    this.#giveUp = this.#clock.later(left, () => {
      this.#options.log.error('the Lease could not be renewed in time: leading no more');
      this.#stop();
    });
    if (this.#acting) return;
    this.#acting = true;
    this.#options.log.info({ holder: this.#holder }, 'leading');
    this.#callbacks.onStarted();
  }

  #stop(): void {
    this.#giveUp();
    if (!this.#acting) return;
    this.#acting = false;
    const stop = async () => this.#callbacks.onStopped();
    this.#stopped = stop().catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'stopping to lead failed');
    });
  }

  /** Twice, since a renewal may still have been on its way. */
  async #release(): Promise<void> {
    const { namespace, name } = this.#options;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const lease = await this.#kube.get(LEASES, namespace, name);
      if (!lease || specOf(lease)['holderIdentity'] !== this.#holder) return;
      const { uid, resourceVersion } = lease.metadata;
      const body = { metadata: { uid, resourceVersion }, spec: { holderIdentity: '' } };
      const { kind } = await this.#kube.patch(LEASES, namespace, name, body);
      if (kind !== 'conflict') return;
    }
  }
}

function specOf(lease: KubeObject): Json {
  return isJson(lease['spec']) ? lease['spec'] : {};
}

/** Kubernetes' MicroTime. */
function microseconds(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
