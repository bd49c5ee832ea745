import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { POLICIES, type KubeObject, type Written } from '../kube/kube.ts';
import { ChangedMeanwhile, conditionsOf, mergeConditions, writeStatus } from './condition.ts';

const before = '2026-01-01T00:00:00Z';
const now = new Date('2026-02-02T00:00:00.500Z');
const old = [
  {
    type: 'Ready',
    status: 'False',
    reason: 'A',
    message: 'a',
    lastTransitionTime: before,
    observedGeneration: 1,
  },
  {
    type: 'Other',
    status: 'True',
    reason: 'B',
    message: 'b',
    lastTransitionTime: before,
    observedGeneration: 1,
  },
] as const;

const object = (status?: unknown): KubeObject => ({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'n', namespace: 'ns', uid: 'u', resourceVersion: '7', creationTimestamp: before },
  status,
});

suite('conditions', () => {
  test('the time changes with the status alone; other conditions stay', () => {
    const same = { type: 'Ready', status: 'False', reason: 'C', message: 'c' } as const;
    assert.deepEqual(mergeConditions(old, [same], 2, now), [
      { ...same, lastTransitionTime: before, observedGeneration: 2 },
      old[1],
    ]);
    const other = { ...same, status: 'True' } as const;
    assert.deepEqual(mergeConditions(old, [other], undefined, now), [
      { ...other, lastTransitionTime: '2026-02-02T00:00:00Z' },
      old[1],
    ]);
  });

  test('a message is never longer than the schema lets it be', () => {
    const long = { type: 'Ready', status: 'True', reason: 'C', message: 'x'.repeat(5000) } as const;
    assert.equal(mergeConditions([], [long], 1)[0]?.message.length, 4096);
  });

  test('of an object that has none, or nonsense, there are none', () => {
    for (const status of [
      undefined,
      null,
      7,
      {},
      { conditions: 'x' },
      { conditions: [null, {}, { type: 'Ready' }] },
    ])
      assert.deepEqual(conditionsOf(object(status)), []);
    assert.deepEqual(conditionsOf(object({ conditions: old })), old);
  });
});

suite('a status is written', () => {
  async function write(change: Readonly<Record<string, unknown>>, answer: Written = { kind: 'not-found' }) {
    const patches: unknown[] = [];
    const patch = (...args: readonly unknown[]): Promise<Written> => {
      patches.push(args.slice(1));
      return Promise.resolve(answer);
    };
    const written = await writeStatus({ patch }, POLICIES, object({ a: [1], b: 'x' }), change);
    return { written, patches };
  }

  test('only where it differs, bound to what was read; what is undefined goes', async () => {
    assert.deepEqual(await write({ a: [1], b: 'x', c: undefined }), { written: false, patches: [] });
    const { written, patches } = await write({ a: [2], b: undefined }, { kind: 'written', object: object() });
    assert.equal(written, true);
    const body = { metadata: { uid: 'u', resourceVersion: '7' }, status: { a: [2], b: null } };
    assert.deepEqual(patches, [['ns', 'n', body, 'status']]);
  });

  test('unless it is gone, has changed, or is refused', async () => {
    assert.equal((await write({ b: 'y' })).written, false);
    await assert.rejects(write({ b: 'y' }, { kind: 'conflict' }), ChangedMeanwhile);
    await assert.rejects(write({ b: 'y' }, { kind: 'rejected', message: 'no' }), /refused: no/u);
  });
});
