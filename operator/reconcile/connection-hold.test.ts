import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject, Written } from '../kube/kube.ts';
import { CONNECTION_FINALIZER } from '../kube/names.ts';
import { holdConnection } from './connection-hold.ts';

const OTHERS = 'example.com/other';

function connection(more: Partial<KubeObject['metadata']> = {}): KubeObject {
  const metadata = {
    name: 'orders',
    namespace: 'access',
    uid: 'u',
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '2026-11-21T12:00:00Z',
    finalizers: [OTHERS],
    ...more,
  };
  return { apiVersion: 'sidewarden.dev/v1alpha1', kind: 'ProtectedConnection', metadata };
}

interface Tried {
  readonly held: boolean | Error;
  readonly patches: readonly unknown[];
}

/** `live`: what the API server has by then; it takes a patch only of that. */
async function tried(read: KubeObject, live: KubeObject | undefined, rejected?: string): Promise<Tried> {
  const patches: unknown[] = [];
  const held = await holdConnection(
    {
      get: () => Promise.resolve(live),
      patch: (_resource, _namespace, _name, patch): Promise<Written> => {
        const { metadata } = patch as { metadata: KubeObject['metadata'] };
        patches.push(metadata);
        if (rejected !== undefined) return Promise.resolve({ kind: 'rejected', message: rejected });
        if (live === undefined) return Promise.resolve({ kind: 'not-found' });
        const same =
          metadata.uid === live.metadata.uid && metadata.resourceVersion === live.metadata.resourceVersion;
        return Promise.resolve(same ? { kind: 'written', object: live } : { kind: 'conflict' });
      },
    },
    read,
  ).catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
  return { held, patches };
}

test('the finalizer is put beside others, bound to what was read', async () => {
  const { held, patches } = await tried(connection(), connection());
  assert.equal(held, true);
  assert.deepEqual(patches, [{ uid: 'u', resourceVersion: '1', finalizers: [OTHERS, CONNECTION_FINALIZER] }]);
});

test('where it is there nothing is written', async () => {
  const has = connection({ finalizers: [CONNECTION_FINALIZER] });
  assert.deepEqual(await tried(has, has), { held: true, patches: [] });
});

test('a status that was written meanwhile is none of its business; another spec, a deletion, another object is', async () => {
  const status = await tried(connection(), connection({ resourceVersion: '2' }));
  assert.deepEqual([status.held, status.patches.length], [true, 2]);
  const rows: readonly (KubeObject | undefined)[] = [
    connection({ resourceVersion: '2', generation: 2 }),
    connection({ resourceVersion: '2', generation: 2, deletionTimestamp: '2026-11-21T12:00:01Z' }),
    connection({ resourceVersion: '2', uid: 'another' }),
    undefined,
  ];
  for (const live of rows) {
    const { held, patches } = await tried(connection(), live);
    assert.deepEqual([held, patches.length], [false, 1]);
  }
});

test('a finalizer that is refused is told', async () => {
  const { held } = await tried(connection(), connection(), 'no');
  assert.ok(held instanceof Error && held.message.includes('is refused: no'));
});
