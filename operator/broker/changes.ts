/** Which streams a change of the cluster's objects concerns. */
import type { Cached, KubeObject, Store } from '../kube/kube.ts';
import { POD_UID_LABEL } from '../kube/names.ts';
import { text } from '../kube/field.ts';
import type { Run } from './run.ts';

type Listener = () => void;

export class Changes {
  /** By what they depend on: `connections ns`, `namespace ns`, `pod uid`. */
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #stops: readonly (() => void)[];

  constructor(stores: Readonly<Record<Cached, Store>>) {
    const inNamespace = ({ namespace }: { readonly namespace: string }) =>
      this.#tell(`connections ${namespace}`);
    this.#stops = [
      stores.connections.watch((key, object, old) => {
        if (object === undefined || old === undefined || differs(object, old)) inNamespace(key);
      }),
      stores.policies.watch((key, object, old) => {
        if (object === undefined || old === undefined || differs(object, old)) inNamespace(key);
      }),
      stores.namespaces.watch(({ name }) => this.#tell(`namespace ${name}`)),
      stores.pods.watch((_key, object, old) => {
        const uid = (object ?? old)?.metadata.uid;
        if (uid !== undefined) this.#tell(`pod ${uid}`);
      }),
      stores.sessions.watch((_key, object, old) => this.#session(object, old)),
    ];
  }

  subscribe(run: Run, listener: Listener): () => void {
    const { namespace, uid } = run.pod.metadata;
    const topics = [
      `pod ${uid}`,
      `namespace ${namespace}`,
      ...new Set(run.connections.map((key) => `connections ${key.namespace}`)),
    ];
    for (const topic of topics) {
      const listeners = this.#listeners.get(topic) ?? new Set();
      listeners.add(listener);
      this.#listeners.set(topic, listeners);
    }
    return () => {
      for (const topic of topics) {
        const listeners = this.#listeners.get(topic);
        listeners?.delete(listener);
        if (listeners?.size === 0) this.#listeners.delete(topic);
      }
    };
  }

  /** Something that no store has changed, of connections in this namespace. */
  connections(namespace: string): void {
    this.#tell(`connections ${namespace}`);
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  /** Its counts change all the time; only its end concerns the run. */
  #session(object: KubeObject | undefined, old: KubeObject | undefined): void {
    const uid = (object ?? old)?.metadata.labels?.[POD_UID_LABEL];
    if (uid !== undefined && (object === undefined || sessionOver(object))) this.#tell(`pod ${uid}`);
  }

  #tell(topic: string): void {
    for (const listener of [...(this.#listeners.get(topic) ?? [])]) listener();
  }
}

/** A status changes often, and concerns no run. */
function differs(a: KubeObject, b: KubeObject): boolean {
  const what = ({ metadata, ...rest }: KubeObject) =>
    JSON.stringify([metadata.uid, metadata.labels, metadata.deletionTimestamp, rest['spec']]);
  return what(a) !== what(b);
}

/** Deleted by a person, or ended: nothing more happens in it. */
export function sessionOver(session: KubeObject): boolean {
  const phase = text(session, ['status', 'phase']);
  return session.metadata.deletionTimestamp !== undefined || phase === 'Ending' || phase === 'Ended';
}
