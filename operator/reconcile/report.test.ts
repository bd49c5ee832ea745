import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SESSIONS, type Kube, type KubeObject } from '../kube/kube.ts';
import { report } from './report.ts';

test('what is wrong is a Warning; that a run is over is not', async () => {
  const object: KubeObject = {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Session',
    metadata: {
      name: 's',
      namespace: 'access',
      uid: 'u',
      generation: 1,
      resourceVersion: '1',
      creationTimestamp: '2026-11-21T00:00:00Z',
    },
  };
  const told: string[] = [];
  const kube: Pick<Kube, 'patch' | 'event'> = {
    patch: () => Promise.resolve({ kind: 'written', object }),
    event: (_about, type, reason) => {
      told.push(`${type} ${reason}`);
    },
  };
  const finding = (status: 'True' | 'False', reason: string) => ({
    type: reason,
    status,
    reason,
    message: '',
  });
  await report(kube, {
    resource: SESSIONS,
    object,
    findings: [
      finding('False', 'RunEnded'),
      finding('False', 'PodDeleted'),
      finding('False', 'ConnectionDeleted'),
      finding('False', 'RecordingCut'),
      finding('True', 'RoleDropped'),
    ],
  });
  assert.deepEqual(told, [
    'Normal RunEnded',
    'Normal PodDeleted',
    'Warning ConnectionDeleted',
    'Warning RecordingCut',
    'Normal RoleDropped',
  ]);
});
