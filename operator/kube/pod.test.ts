import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from './kube.ts';
import { trimPod } from './pod.ts';

test('a pod keeps what tells when its run ends, and nothing of what its containers are', () => {
  const pod: KubeObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'run',
      namespace: 'ci',
      uid: 'u',
      resourceVersion: '1',
      creationTimestamp: '2026-11-21T00:00:00Z',
      annotations: { 'sidewarden.dev/connections': 'a/b', other: 'large' },
    },
    spec: {
      restartPolicy: 'Never',
      containers: [
        { name: 'agent', image: 'x', env: [{ name: 'A', value: 'secret' }], restartPolicy: 'OnFailure' },
      ],
      initContainers: [{ name: 'sidewarden', image: 'y', restartPolicy: 'Always' }],
    },
    status: {
      phase: 'Running',
      containerStatuses: [
        {
          name: 'agent',
          imageID: 'z',
          restartCount: 1,
          state: { terminated: { exitCode: 3, reason: 'Error' } },
        },
      ],
    },
  };
  const { metadata, ...rest } = trimPod(pod);
  assert.deepEqual(metadata.annotations, { 'sidewarden.dev/connections': 'a/b' });
  assert.deepEqual(rest, {
    apiVersion: 'v1',
    kind: 'Pod',
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'agent', restartPolicy: 'OnFailure' }],
      initContainers: [{ name: 'sidewarden', restartPolicy: 'Always' }],
    },
    status: {
      phase: 'Running',
      containerStatuses: [{ name: 'agent', restartCount: 1, state: { terminated: { exitCode: 3 } } }],
      initContainerStatuses: [],
    },
  });
});
