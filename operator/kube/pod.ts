/** What is kept of a pod in the cache: whose it is, what it runs as, and which of its containers have ended. */
import type { KubeObject } from './kube.ts';
import { type Json, isJson } from './object.ts';

const OURS = 'sidewarden.dev/';

/**
 * Keeps the metadata without other people's annotations; `spec`: `serviceAccountName`, `nodeName`, `restartPolicy`, and of containers
 * and init containers `name` and `restartPolicy`; `status`: `phase` and, of each container, `name`, `state` (of a terminated one
 * `exitCode` and `finishedAt`) and `restartCount`.
 */
export function trimPod(pod: KubeObject): KubeObject {
  const spec = json(pod['spec']);
  const status = json(pod['status']);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = pod.metadata;
  const metadata = {
    ...{ name, namespace, uid, resourceVersion, creationTimestamp },
    ...pick(pod.metadata, ['deletionTimestamp', 'labels', 'finalizers']),
    annotations: ownAnnotations(pod),
  };
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata,
    spec: {
      ...pick(spec, ['serviceAccountName', 'nodeName', 'restartPolicy']),
      containers: each(spec['containers'], (one) => pick(one, ['name', 'restartPolicy'])),
      initContainers: each(spec['initContainers'], (one) => pick(one, ['name', 'restartPolicy'])),
    },
    status: {
      ...pick(status, ['phase']),
      containerStatuses: each(status['containerStatuses'], trimStatus),
      initContainerStatuses: each(status['initContainerStatuses'], trimStatus),
    },
  };
}

function trimStatus(status: Json): Json {
  const state = Object.entries(json(status['state'])).map(([kind, detail]): [string, unknown] => [
    kind,
    pick(json(detail), ['exitCode', 'finishedAt']),
  ]);
  return { ...pick(status, ['name', 'restartCount']), state: Object.fromEntries(state) };
}

function ownAnnotations(pod: KubeObject): Readonly<Record<string, string>> {
  const all = Object.entries(pod.metadata.annotations ?? {});
  return Object.fromEntries(all.filter(([key]) => key.startsWith(OURS)));
}

function each(value: unknown, trim: (one: Json) => Json): readonly Json[] {
  return Array.isArray(value) ? value.filter(isJson).map(trim) : [];
}

function json(value: unknown): Json {
  return isJson(value) ? value : {};
}

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  const entries = names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]);
  // The entries are the picked ones, by construction.
  return Object.fromEntries(entries) as Pick<T, K>;
}
