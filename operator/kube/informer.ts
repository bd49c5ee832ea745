/**
 * Keeps a cache equal to what the API server has of one kind: lists, then watches from there, and lists anew every few minutes and
 * after every error, since a list alone is sure to show what was deleted meanwhile. It never gives up; `stop` ends it.
 *
 * | what happens                                   | what it does                                   |
 * |------------------------------------------------|------------------------------------------------|
 * | the watch ends by its own time limit           | watches on from the last version seen          |
 * | 410, in an answer or as an event               | lists anew                                     |
 * | any other error, a cut line, silence           | waits (jittered, growing), lists anew          |
 * | a list fails                                   | keeps the cache, waits, lists anew             |
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoff } from './backoff.ts';
import { KubeError, type KubeObject, type Resource } from './kube.ts';
import { listPages } from './list.ts';
import { isJson, pathOf, readObject } from './object.ts';
import { type Cache, keyOf } from './store.ts';
import { type Transport, messageOf } from './transport.ts';

export interface InformerOptions {
  readonly transport: Transport;
  readonly resource: Resource;
  readonly labelSelector?: string;
  /** What is kept of an object. */
  readonly trim?: (object: KubeObject) => KubeObject;
  readonly cache: Cache;
  readonly log: Logger;
  readonly stop: AbortSignal;
  readonly onSynced: () => void;
}

/** Between lists, milliseconds; up to half as long again. */
const RELIST_MS = 240_000;
const WAIT = { first: 100, most: 5000 };
/** What went well for so long was no failure from the start. */
const HEALTHY_MS = 10_000;

/** Resolves when it was stopped. */
export async function runInformer(options: InformerOptions): Promise<void> {
  const { stop, log, resource } = options;
  let failures = 0;
  while (!stop.aborted) {
    const began = performance.now();
    try {
      const version = await list(options);
      options.onSynced();
      await follow(options, version);
      failures = 0;
    } catch (error) {
      if (aborted(stop)) return;
      failures = performance.now() - began > HEALTHY_MS ? 1 : failures + 1;
      const level = error instanceof KubeError && error.status === 410 ? 'debug' : 'warn';
      log[level]({ err: error, kind: resource.kind, failures }, 'watching failed: listing anew');
      await sleep(backoff(failures, WAIT), undefined, { signal: stop }).catch(() => undefined);
    }
  }
}

/** Resolves to the version that the list is of. */
async function list({
  transport,
  resource,
  labelSelector,
  trim,
  cache,
  stop,
}: InformerOptions): Promise<string> {
  const uids = new Set<string>();
  const version = await listPages(transport, resource, { labelSelector, stop }, (object) => {
    uids.add(object.metadata.uid);
    cache.put(trim ? trim(object) : object);
  });
  cache.retain(uids);
  return version;
}

/** Watches until it is time to list anew. */
async function follow(options: InformerOptions, version: string): Promise<void> {
  const end = performance.now() + RELIST_MS * (1 + Math.random() / 2);
  let last = version;
  for (;;) {
    const left = Math.round((end - performance.now()) / 1000);
    if (left <= 0) return;
    const began = performance.now();
    last = await watchFrom(options, last, left);
    // An API server that ends each watch at once must not be asked in a busy loop.
    if (performance.now() - began < 1000 && left > 1)
      throw new KubeError('the watch ended at once', undefined);
  }
}

/** Resolves to the last version seen when the API server ends the watch in order. */
async function watchFrom(options: InformerOptions, version: string, seconds: number): Promise<string> {
  const { transport, resource, labelSelector, stop } = options;
  const query = {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: version,
    timeoutSeconds: String(seconds),
    ...(labelSelector === undefined ? {} : { labelSelector }),
  };
  let last = version;
  const lines = transport.lines({ method: 'GET', path: pathOf(resource, ''), query, stop });
  for await (const line of lines) last = apply(options, line);
  return last;
}

function apply({ resource, cache, trim }: InformerOptions, line: string): string {
  const event: unknown = JSON.parse(line);
  if (!isJson(event)) throw new KubeError('a watch event that is none', undefined);
  switch (event['type']) {
    case 'ADDED':
    case 'MODIFIED': {
      const object = readObject(resource, event['object']);
      cache.put(trim ? trim(object) : object);
      return object.metadata.resourceVersion;
    }
    case 'DELETED': {
      const object = readObject(resource, event['object']);
      cache.remove(keyOf(object));
      return object.metadata.resourceVersion;
    }
    case 'BOOKMARK':
      return bookmarked(event['object']);
    default:
      throw new KubeError(`watch: ${messageOf(event['object'])}`, codeOf(event['object']));
  }
}

function bookmarked(object: unknown): string {
  const metadata = isJson(object) ? object['metadata'] : undefined;
  const version = isJson(metadata) ? metadata['resourceVersion'] : undefined;
  if (typeof version !== 'string') throw new KubeError('a bookmark without a version', undefined);
  return version;
}

function codeOf(object: unknown): number | undefined {
  return isJson(object) && typeof object['code'] === 'number' ? object['code'] : undefined;
}

/** A function, since the compiler takes the signal's state before an await for its state after it. */
function aborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
