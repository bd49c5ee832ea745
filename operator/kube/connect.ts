/** Kubernetes as the operator sees it: caches that keep themselves current, live calls, events. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { trimApproval } from './ended-approval.ts';
import { EventRecorder } from './events.ts';
import { type InformerOptions, runInformer } from './informer.ts';
import {
  APPROVALS,
  CACHED,
  type Cached,
  CONNECTIONS,
  type Kube,
  KubeError,
  NAMESPACES,
  PODS,
  POLICIES,
  SESSIONS,
} from './kube.ts';
import { live } from './live.ts';
import { INJECTED_LABEL } from './names.ts';
import { trimPod } from './pod.ts';
import { PodAccess, type PodPlace } from './pod-access.ts';
import { Cache } from './store.ts';
import { type ClusterAccess, Transport } from './transport.ts';

export interface ConnectOptions {
  /** Path of a kubeconfig; the pod's own service account when not given. */
  readonly kubeconfig?: string | undefined;
  readonly pod?: PodPlace | undefined;
  readonly log: Logger;
}

export interface RunningKube extends Kube {
  /** Resolves when every store has been listed once; rejects with a `KubeError` when it is closed before. */
  readonly synced: Promise<void>;
  /** Stops the informers, tells what events are left for at most two seconds, and closes all connections. */
  close(): Promise<void>;
}

const CLOSE_LIMIT_MS = 2000;

const informed: Readonly<Record<Cached, Pick<InformerOptions, 'resource' | 'labelSelector' | 'trim'>>> = {
  connections: { resource: CONNECTIONS },
  policies: { resource: POLICIES },
  approvals: { resource: APPROVALS, trim: trimApproval },
  sessions: { resource: SESSIONS },
  pods: { resource: PODS, labelSelector: `${INJECTED_LABEL}=true`, trim: trimPod },
  namespaces: { resource: NAMESPACES },
};

/**
 * Returns at once: the stores are empty until `synced`. Rejects with a `KubeError` only when the configuration is none; an API server
 * that is away is waited for.
 */
export async function connectKube(options: ConnectOptions): Promise<RunningKube> {
  const { log } = options;
  const transport = new Transport(await accessOf(options));
  const calls = live(transport);
  const events = new EventRecorder(calls, hostname(), log);
  const stop = new AbortController();
  const caches = {
    connections: new Cache(log),
    policies: new Cache(log),
    approvals: new Cache(log),
    sessions: new Cache(log),
    pods: new Cache(log),
    namespaces: new Cache(log),
  };
  const informers = CACHED.map((name) => {
    const first = Promise.withResolvers<undefined>();
    const onSynced = () => first.resolve(undefined);
    const informer = { ...informed[name], transport, cache: caches[name], log, stop: stop.signal, onSynced };
    const ended = runInformer(informer).then(() =>
      first.reject(new KubeError('closed before it was synced', undefined)),
    );
    return { ended, synced: first.promise };
  });
  const synced = Promise.all(informers.map((each) => each.synced)).then(() => undefined);
  // Who does not wait for it need not handle that it was closed.
  synced.catch(() => undefined);
  return {
    ...calls,
    stores: caches,
    event: (about, type, reason, message) => events.record({ about, type, reason, message }),
    synced,
    close: async () => {
      stop.abort();
      await Promise.all(informers.map((each) => each.ended));
      const limit = new AbortController();
      const late = sleep(CLOSE_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => undefined);
      await Promise.race([events.flush(), late]);
      limit.abort();
      transport.close();
    },
  };
}

/** The client library is loaded for a kubeconfig only. Rejects with a `KubeError` when there is neither. */
async function accessOf({ kubeconfig, pod }: ConnectOptions): Promise<ClusterAccess> {
  if (kubeconfig !== undefined) return (await import('./kubeconfig.ts')).readKubeconfig(kubeconfig);
  if (pod !== undefined) return new PodAccess(pod);
  throw new KubeError('no kubeconfig is named, and this is no pod: no API server is known', undefined);
}
