/**
 * Controllers bring the world to what objects say. A controller is told of a name, never of a change: it reads anew, trusts no event,
 * and can be asked at any time, twice or too late. The doc comment of each is its state table.
 */
import type { Logger } from 'pino';
import type { Key, KubeObject, Store } from '../kube/kube.ts';
import { type Again, type Turn, WorkQueue } from '../kube/queue.ts';
import { ChangedMeanwhile } from './condition.ts';

/** Where a controller hears that it may have to look. */
export type Source = StoreSource | Listening;

/** A store, and whose keys an object of it concerns. */
export interface StoreSource {
  readonly store: Store;
  /** `object` is undefined when it is gone, `old` when it was not there. */
  keys(key: Key, object: KubeObject | undefined, old: KubeObject | undefined): readonly Key[];
  /** Milliseconds in which what changes is looked at once: for objects that come and go in numbers. At once when not given. */
  readonly delay?: number;
}

/** Anything else that gives keys; `listen` returns how to stop. */
export interface Listening {
  listen(add: (key: Key) => void): () => void;
}

export interface Controller {
  /** For logs and metrics, such as `policy`. */
  readonly name: string;
  readonly sources: readonly Source[];
  /** How many keys are worked on at once; 4 when not given. */
  readonly workers?: number;
  /** Rejects when it has to be tried again soon; `after`: milliseconds until it wants to look again anyway. */
  reconcile(key: Key): Promise<Again | undefined>;
}

export interface RunningController {
  readonly name: string;
  /** Keys that are due and not begun, and the age of the oldest in milliseconds. */
  readonly depth: number;
  readonly age: number;
  /** Begins nothing more; resolves when what has begun has ended. */
  stop(): Promise<void>;
}

export interface ControllerOptions {
  readonly log: Logger;
  /** After each reconcile, for metrics. */
  readonly onTurn?: (controller: string, turn: Turn) => void;
}

/** The objects of the store itself. */
export function own(store: Store): StoreSource {
  return { store, keys: (key) => [key] };
}

/** Begins with every object that is there. Only the leader runs controllers. */
export function runController(controller: Controller, options: ControllerOptions): RunningController {
  const log = options.log.child({ controller: controller.name });
  const queue = new WorkQueue({
    workers: controller.workers ?? 4,
    work: (key) => controller.reconcile(key),
    onTurn: (turn) => {
      if (turn.error instanceof ChangedMeanwhile) log.debug({ ...turn.key }, turn.error.message);
      else if (turn.error !== undefined)
        log.warn({ err: turn.error, ...turn.key }, 'reconcile failed: again soon');
      options.onTurn?.(controller.name, turn);
    },
  });
  const stops = controller.sources.map((source) => {
    if ('listen' in source) return source.listen((key) => queue.add(key));
    const { store, delay = 0 } = source;
    return store.watch((key, object, old) => {
      for (const each of source.keys(key, object, old))
        if (delay === 0) queue.add(each);
        else queue.addAfter(each, delay);
    });
  });
  return {
    name: controller.name,
    get depth() {
      return queue.depth;
    },
    get age() {
      return queue.age;
    },
    stop: async () => {
      for (const stop of stops) stop();
      await queue.stop();
    },
  };
}
