import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { asked } from '../../sidecar/approval/fixture.ts';
import { newApproval, voided } from '../../sidecar/approval/object.ts';
import { createStamper } from '../approval/stamp.ts';
import type { KubeObject } from '../kube/kube.ts';
import { Cache } from '../kube/store.ts';
import { approvalController } from './approval.ts';

const log = pino({ level: 'silent' });
const ENDED = Date.parse('2026-11-21T12:00:00Z');
const MINUTE = 60_000;
const DAY = 86_400_000;

/** One that became void at `ENDED`, with more in its spec. */
function ended(more: object): KubeObject {
  const made = newApproval('orders-db-1', 'u', asked(), ENDED - MINUTE);
  assert.ok(made.kind === 'new');
  const { apiVersion, kind, metadata, spec, status } = voided(made.approval, 'ClientCancelled', ENDED);
  const { name, namespace = '' } = metadata;
  const creationTimestamp = new Date(ENDED - MINUTE).toISOString();
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid: 'u', resourceVersion: '1', creationTimestamp },
    spec: { ...spec, ...more },
    status,
  };
}

/** Milliseconds after its end at which it is deleted, as the controller itself comes back. */
async function deletedAfter(object: KubeObject, ttl: number | undefined): Promise<number> {
  const approvals = new Cache(log);
  approvals.put(object);
  const none = new Cache(log);
  let now = ENDED;
  const deleted: string[] = [];
  const controller = approvalController({
    kube: {
      stores: {
        approvals,
        sessions: none,
        connections: none,
        policies: none,
        pods: none,
        namespaces: none,
      },
      get: () => Promise.resolve(undefined),
      patch: () => Promise.resolve({ kind: 'not-found' }),
      delete: (_resource, _namespace, name) => {
        deleted.push(name);
        return Promise.resolve({ kind: 'deleted' });
      },
      event: () => undefined,
    },
    stamper: createStamper(new Uint8Array(32)),
    log,
    clock: () => now,
    ...(ttl === undefined ? {} : { ttl }),
  });
  const { name, namespace } = object.metadata;
  for (let turn = 0; turn < 3 && deleted.length === 0; turn += 1)
    now += (await controller.reconcile({ namespace, name }))?.after ?? 0;
  assert.deepEqual(deleted, [name]);
  return now - ENDED;
}

const by = { username: 'alice', groups: ['dba'] };

test('what nobody decided is kept for minutes, what somebody said a word on for the whole time', async () => {
  const cancelled = ended({});
  assert.equal(await deletedAfter(cancelled, undefined), 10 * MINUTE);
  assert.equal(await deletedAfter(cancelled, 7 * DAY), 10 * MINUTE);
  assert.equal(await deletedAfter(cancelled, MINUTE), MINUTE);
  const decided = ended({ decision: { verdict: 'Approve', decidedBy: by } });
  assert.equal(await deletedAfter(decided, undefined), DAY);
  const given = ended({ approvals: [{ by, holds: ['access/orders/schema'] }] });
  assert.equal(await deletedAfter(given, undefined), DAY);
  assert.equal(await deletedAfter(given, MINUTE), MINUTE);
});
