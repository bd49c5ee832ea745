import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { KubeObject } from '../kube/kube.ts';
import { runState, sidecarRuns } from './run.ts';

const UID = '6f1f5ee0-7b0e-4d6b-9a55-0c2f1f8f4a11';
const running = { running: { startedAt: '2026-11-21T10:00:00Z' } };
const waiting = {
  waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s restarting failed container' },
};
const exited = (exitCode: number) => ({
  terminated: {
    exitCode,
    reason: exitCode === 0 ? 'Completed' : 'Error',
    finishedAt: '2026-11-21T10:05:00Z',
  },
});

interface Shape {
  readonly restartPolicy?: string;
  readonly phase?: string;
  readonly deleted?: boolean;
  /** By container; undefined: no status yet. */
  readonly states: readonly (object | undefined)[];
  readonly sidecar?: object;
  readonly ownPolicy?: string;
}

/** As the API server gives them. */
function pod({
  restartPolicy = 'Never',
  phase = 'Running',
  deleted,
  states,
  sidecar,
  ownPolicy,
}: Shape): KubeObject {
  const name = (index: number) => `c${index}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'run',
      namespace: 'agents',
      uid: UID,
      resourceVersion: '1',
      creationTimestamp: '2026-11-21T09:59:00Z',
      ...(deleted === true ? { deletionTimestamp: '2026-11-21T10:06:00Z' } : {}),
    },
    spec: {
      restartPolicy,
      initContainers: [{ name: 'sidewarden', restartPolicy: 'Always' }],
      containers: states.map((_state, index) => ({
        name: name(index),
        ...(ownPolicy === undefined ? {} : { restartPolicy: ownPolicy }),
      })),
    },
    status: {
      phase,
      initContainerStatuses: sidecar ? [{ name: 'sidewarden', state: sidecar, restartCount: 0 }] : [],
      containerStatuses: states.flatMap((state, index) =>
        state ? [{ name: name(index), state, restartCount: 0, ready: false }] : [],
      ),
    },
  };
}

suite('whether a run is over', () => {
  const cases: readonly (readonly [string, Shape, 'lives' | 'RunEnded' | 'PodDeleted'])[] = [
    ['pending, no status', { phase: 'Pending', states: [undefined] }, 'lives'],
    ['running', { states: [running] }, 'lives'],
    ['one of two has finished', { states: [exited(0), running] }, 'lives'],
    ['one has finished, the other has no status yet', { states: [exited(0), undefined] }, 'lives'],
    [
      'both have finished, our sidecar runs',
      { states: [exited(0), exited(3)], sidecar: running },
      'RunEnded',
    ],
    ['OnFailure: finished well', { restartPolicy: 'OnFailure', states: [exited(0)] }, 'RunEnded'],
    [
      'OnFailure: failed, will be started again',
      { restartPolicy: 'OnFailure', states: [exited(1)] },
      'lives',
    ],
    ['OnFailure: waits to be started again', { restartPolicy: 'OnFailure', states: [waiting] }, 'lives'],
    ['Always: finished, will be started again', { restartPolicy: 'Always', states: [exited(0)] }, 'lives'],
    ['a container that is always started again', { states: [exited(0)], ownPolicy: 'Always' }, 'lives'],
    [
      'a container that is never started again',
      { restartPolicy: 'Always', states: [exited(1)], ownPolicy: 'Never' },
      'RunEnded',
    ],
    ['Succeeded', { phase: 'Succeeded', states: [exited(0)] }, 'RunEnded'],
    ['Failed without statuses: evicted', { phase: 'Failed', states: [undefined] }, 'RunEnded'],
    ['being deleted, still running', { deleted: true, states: [running] }, 'lives'],
    ['being deleted, one still running', { deleted: true, states: [exited(137), running] }, 'lives'],
    [
      'being deleted, all finished',
      { deleted: true, restartPolicy: 'Always', states: [exited(137)] },
      'PodDeleted',
    ],
    ['being deleted, never started', { deleted: true, phase: 'Pending', states: [undefined] }, 'PodDeleted'],
  ];
  for (const [name, shape, expected] of cases)
    test(name, () => {
      const state = runState(pod(shape), UID);
      assert.equal(state.kind === 'lives' ? 'lives' : state.reason, expected);
    });

  test('no pod, or another one of that name', () => {
    assert.equal(runState(undefined, UID).kind, 'over');
    assert.equal(runState(pod({ states: [running] }), 'another-uid').kind, 'over');
  });

  test('no containers at all is no end', () => {
    assert.equal(runState(pod({ states: [] }), UID).kind, 'lives');
  });

  test('the sidecar may send as long as it runs', () => {
    assert.equal(sidecarRuns(pod({ states: [exited(0)], sidecar: running }), UID), true);
    assert.equal(sidecarRuns(pod({ states: [exited(0)], sidecar: exited(0) }), UID), false);
    assert.equal(sidecarRuns(pod({ states: [exited(0)], sidecar: running, phase: 'Failed' }), UID), false);
    assert.equal(sidecarRuns(undefined, UID), false);
  });
});
