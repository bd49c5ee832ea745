/**
 * Events about objects: equal ones are one Event with a count, an object that has too much to say is cut short, and nothing here
 * ever fails or delays who records one.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Kube, KubeObject, Resource } from './kube.ts';

const EVENTS: Resource = { group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true };
const COMPONENT = 'sidewarden';

/** Of one object: so many at once, then one in so many milliseconds. */
const BURST = 15;
const REFILL_MS = 30_000;
/** How many different events are remembered. */
const MOST = 2000;
const MESSAGE_LIMIT = 1024;

export interface Happening {
  readonly about: KubeObject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

interface Known extends Happening {
  readonly name: string;
  readonly first: Date;
  last: Date;
  count: number;
  /** What the API server has been told of; 0 when the Event is not there yet. */
  told: number;
}

interface Bucket {
  left: number;
  since: number;
}

export class EventRecorder {
  readonly #kube: Pick<Kube, 'create' | 'patch'>;
  readonly #log: Logger;
  readonly #instance: string;
  readonly #known = new Map<string, Known>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #pending = new Set<Known>();
  #working: Promise<void> | undefined;

  /** `instance`: which replica it is that tells. */
  constructor(kube: Pick<Kube, 'create' | 'patch'>, instance: string, log: Logger) {
    this.#kube = kube;
    this.#instance = instance;
    this.#log = log;
  }

  record(happening: Happening): void {
    if (!this.#admit(happening.about.metadata.uid)) return;
    const message = shorten(happening.message);
    const { type, reason, about } = happening;
    const key = JSON.stringify([about.metadata.uid, type, reason, message]);
    const known = this.#known.get(key) ?? fresh({ ...happening, message });
    known.count += 1;
    known.last = new Date();
    remember(this.#known, key, known);
    this.#pending.add(known);
    this.#working ??= this.#work();
  }

  /** Resolves when all that was recorded has been told, or could not be. */
  async flush(): Promise<void> {
    await this.#working;
  }

  #admit(uid: string): boolean {
    const now = Date.now();
    const bucket = this.#buckets.get(uid) ?? { left: BURST, since: now };
    const refilled = Math.floor((now - bucket.since) / REFILL_MS);
    bucket.left = Math.min(BURST, bucket.left + refilled);
    bucket.since += refilled * REFILL_MS;
    remember(this.#buckets, uid, bucket);
    if (bucket.left === 0) return false;
    bucket.left -= 1;
    return true;
  }

  async #work(): Promise<void> {
    // What is recorded in this turn of the loop is told together.
    await Promise.resolve();
    for (const known of this.#pending) {
      this.#pending.delete(known);
      await this.#tell(known).catch((error: unknown) => {
        this.#log.warn({ err: error, reason: known.reason }, 'an event could not be recorded');
      });
    }
    this.#working = undefined;
  }

  async #tell(known: Known): Promise<void> {
    const { count, name } = known;
    const namespace = namespaceFor(known.about);
    if (known.told > 0) {
      const change = { count, lastTimestamp: known.last.toISOString() };
      const { kind } = await this.#kube.patch(EVENTS, namespace, name, change);
      // The API server forgets Events after an hour.
      if (kind === 'written') known.told = count;
      if (kind !== 'not-found') return;
    }
    const made = await this.#kube.create(EVENTS, this.#event(known, namespace));
    if (made.kind === 'written') known.told = count;
  }

  #event(known: Known, namespace: string): unknown {
    const { about, type, reason, message, count, first, last, name } = known;
    const { metadata, apiVersion, kind } = about;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion,
        kind,
        name: metadata.name,
        ...(metadata.namespace === '' ? {} : { namespace: metadata.namespace }),
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
      },
      ...{ type, reason, message, count },
      firstTimestamp: first.toISOString(),
      lastTimestamp: last.toISOString(),
      source: { component: COMPONENT },
      reportingComponent: COMPONENT,
      reportingInstance: this.#instance,
    };
  }
}

function fresh(happening: Happening): Known {
  const { name } = happening.about.metadata;
  const now = new Date();
  return {
    ...happening,
    // A name of an object has at most 253 characters.
    name: `${name.slice(0, 230)}.${randomBytes(8).toString('hex')}`,
    first: now,
    last: now,
    count: 0,
    told: 0,
  };
}

/** Of objects without a namespace, Events are in `default`. */
function namespaceFor({ metadata }: KubeObject): string {
  return metadata.namespace === '' ? 'default' : metadata.namespace;
}

function shorten(message: string): string {
  return message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 1)}…`;
}

/** Puts it last, and forgets the first when there are too many. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.size > MOST ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}
