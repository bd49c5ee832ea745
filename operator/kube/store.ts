/** An informer's cache of one kind, and who listens to its changes. */
import type { Logger } from 'pino';
import type { Key, KubeObject, Store } from './kube.ts';

type Listener = Parameters<Store['watch']>[0];

export class Cache implements Store {
  readonly #log: Logger;
  readonly #namespaces = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<Listener>();

  constructor(log: Logger) {
    this.#log = log;
  }

  get(namespace: string, name: string): KubeObject | undefined {
    return this.#namespaces.get(namespace)?.get(name);
  }

  list(namespace?: string): readonly KubeObject[] {
    if (namespace !== undefined) return [...(this.#namespaces.get(namespace)?.values() ?? [])];
    return [...this.#namespaces.values()].flatMap((objects) => [...objects.values()]);
  }

  watch(listener: Listener): () => void {
    // A function of its own a call: the same listener given twice is two.
    const own: Listener = (key, object, old) => listener(key, object, old);
    this.#listeners.add(own);
    const known = this.list();
    if (known.length > 0) queueMicrotask(() => this.#replay(own, known));
    return () => void this.#listeners.delete(own);
  }

  put(object: KubeObject): void {
    const key = keyOf(object);
    const old = this.get(key.namespace, key.name);
    if (old?.metadata.uid === object.metadata.uid) {
      if (old.metadata.resourceVersion === object.metadata.resourceVersion) return;
      this.#set(object);
      this.#tell(key, object, old);
      return;
    }
    // Deleted and made again while nobody looked.
    if (old) this.remove(key);
    this.#set(object);
    this.#tell(key, object, undefined);
  }

  remove(key: Key): void {
    const objects = this.#namespaces.get(key.namespace);
    const old = objects?.get(key.name);
    if (!objects || !old) return;
    objects.delete(key.name);
    if (objects.size === 0) this.#namespaces.delete(key.namespace);
    this.#tell(key, undefined, old);
  }

  /** Removes all but these: what was deleted while nobody looked. */
  retain(listed: ReadonlySet<string>): void {
    for (const object of this.list()) if (!listed.has(object.metadata.uid)) this.remove(keyOf(object));
  }

  #set(object: KubeObject): void {
    const { namespace, name } = object.metadata;
    const objects = this.#namespaces.get(namespace) ?? new Map<string, KubeObject>();
    objects.set(name, object);
    this.#namespaces.set(namespace, objects);
  }

  #replay(listener: Listener, known: readonly KubeObject[]): void {
    for (const object of known) {
      const key = keyOf(object);
      // What has changed since has been told already.
      if (this.#listeners.has(listener) && this.get(key.namespace, key.name) === object)
        this.#call(listener, key, object, undefined);
    }
  }

  #tell(key: Key, object: KubeObject | undefined, old: KubeObject | undefined): void {
    for (const listener of [...this.#listeners]) this.#call(listener, key, object, old);
  }

  #call(listener: Listener, key: Key, object: KubeObject | undefined, old: KubeObject | undefined): void {
    try {
      listener(key, object, old);
    } catch (error) {
      this.#log.error({ err: error, ...key }, 'a listener to changes failed');
    }
  }
}

export function keyOf({ metadata: { namespace, name } }: KubeObject): Key {
  return { namespace, name };
}
