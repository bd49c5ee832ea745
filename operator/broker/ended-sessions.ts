/**
 * Sessions that are over while their runs live, because a person deleted them: such a run does not get another one on that connection,
 * also when the object is gone. Remembered as long as the pod is there, by each replica that saw it.
 */
import type { Cached, KubeObject, Store } from '../kube/kube.ts';
import { POD_NAME_ANNOTATION, POD_NAMESPACE_LABEL, POD_UID_LABEL } from '../kube/names.ts';
import { sessionOver } from './changes.ts';
import type { Run } from './run.ts';
import { sessionName } from './session-name.ts';

export class EndedSessions {
  /** Names (`namespace/name`) by pod uid. */
  readonly #ended = new Map<string, Set<string>>();
  readonly #stops: readonly (() => void)[];

  constructor(stores: Readonly<Record<Cached, Store>>) {
    this.#stops = [
      stores.sessions.watch(({ namespace, name }, object, old) => {
        const known = object ?? old;
        if (known === undefined || (object !== undefined && !sessionOver(object))) return;
        const uid = podOf(stores.pods, known);
        if (uid !== undefined) this.#add(uid, `${namespace}/${name}`);
      }),
      stores.pods.watch((_key, object, old) => {
        if (object === undefined && old !== undefined) this.#ended.delete(old.metadata.uid);
      }),
    ];
  }

  /** Why the run has no session on the connection any more; undefined when it may have one. */
  reason(run: Run, connection: KubeObject): string | undefined {
    const uid = run.pod.metadata.uid;
    const { namespace } = connection.metadata;
    const name = sessionName(connection, uid);
    if (this.#ended.get(uid)?.has(`${namespace}/${name}`) !== true) return undefined;
    return `the session ${namespace}/${name} was ended`;
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #add(uid: string, name: string): void {
    const names = this.#ended.get(uid) ?? new Set();
    names.add(name);
    this.#ended.set(uid, names);
  }
}

/** Its pod's uid, while that pod is there: of a run that is over, nothing is remembered. */
function podOf(pods: Store, { metadata: { labels, annotations } }: KubeObject): string | undefined {
  const pod = pods.get(labels?.[POD_NAMESPACE_LABEL] ?? '', annotations?.[POD_NAME_ANNOTATION] ?? '');
  const uid = labels?.[POD_UID_LABEL];
  return pod?.metadata.uid === uid ? uid : undefined;
}
