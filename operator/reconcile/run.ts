/** Whether a run is over, by the API server's word on its pod alone: what a sidecar says of it counts for nothing. Pure. */
import { field, items, text } from '../kube/field.ts';
import type { KubeObject } from '../kube/kube.ts';
import { SIDECAR_NAME } from '../kube/names.ts';

export type RunState =
  | { readonly kind: 'lives' }
  | { readonly kind: 'over'; readonly reason: 'RunEnded' | 'PodDeleted'; readonly message: string };

const LIVES: RunState = { kind: 'lives' };

/**
 * | pod | run |
 * |---|---|
 * | not there, or another one has its name | over: PodDeleted |
 * | phase Succeeded or Failed | over: RunEnded |
 * | being deleted, none of its containers runs | over: PodDeleted |
 * | each of its containers has finished, and none will be started again | over: RunEnded |
 * | anything else | lives |
 *
 * Containers are the regular ones: native sidecars, ours too, are ended by the kubelet after them. One that finished is started again
 * under Always, and under OnFailure unless its exit code is 0; a container's own restartPolicy goes before its pod's.
 */
export function runState(pod: KubeObject | undefined, uid: string): RunState {
  if (pod?.metadata.uid !== uid)
    return { kind: 'over', reason: 'PodDeleted', message: 'the pod of the run is gone' };
  const phase = text(pod, ['status', 'phase']);
  if (phase === 'Succeeded' || phase === 'Failed')
    return { kind: 'over', reason: 'RunEnded', message: `the pod of the run has ended: ${phase}` };
  const statuses = items(pod, ['status', 'containerStatuses']);
  if (pod.metadata.deletionTimestamp !== undefined) {
    const runs = statuses.some((status) => field(status, ['state', 'running']) !== undefined);
    return runs
      ? LIVES
      : { kind: 'over', reason: 'PodDeleted', message: 'the pod of the run is being deleted' };
  }
  const containers = items(pod, ['spec', 'containers']);
  const podPolicy = text(pod, ['spec', 'restartPolicy']) ?? 'Always';
  const over =
    containers.length > 0 &&
    containers.every((container) => {
      const name = text(container, ['name']);
      const status = statuses.find((each) => text(each, ['name']) === name);
      return hasFinished(status, text(container, ['restartPolicy']) ?? podPolicy);
    });
  return over
    ? { kind: 'over', reason: 'RunEnded', message: 'the containers of the run have finished' }
    : LIVES;
}

function hasFinished(status: unknown, restartPolicy: string): boolean {
  const exitCode = field(status, ['state', 'terminated', 'exitCode']);
  if (typeof exitCode !== 'number') return false;
  return restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && exitCode === 0);
}

/** Whether the sidecar can still send something: it may, for a while after its run is over. */
export function sidecarRuns(pod: KubeObject | undefined, uid: string): boolean {
  if (pod?.metadata.uid !== uid) return false;
  const phase = text(pod, ['status', 'phase']);
  if (phase === 'Succeeded' || phase === 'Failed') return false;
  const ours = items(pod, ['status', 'initContainerStatuses']).find(
    (status) => text(status, ['name']) === SIDECAR_NAME,
  );
  return field(ours, ['state', 'running']) !== undefined;
}
