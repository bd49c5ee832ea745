import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SidecarMetrics } from './metrics.ts';
import { openSample, sampleEvents, sampleFolder } from './record/sample-session.ts';

test('operations, holds, rows and masks are counted as they are recorded', async (t) => {
  const { store } = await sampleFolder(t);
  const metrics = new SidecarMetrics();
  metrics.watch(
    () => ({ spoolBytes: 2048, lag: 1500 }),
    () => 250,
  );
  const recorder = metrics.observe(await openSample(store), 'production/orders-db');
  const events = sampleEvents();
  const decisions = events.filter(({ kind }) => kind === 'decision').length;
  for (const event of events) recorder.append(event);
  const rule = { policy: 'production/agents', rule: 'writes' };
  recorder.append({
    kind: 'hold',
    operation: 90,
    approval: 'a-1',
    rules: [rule],
    expiresAt: '2030-01-01T00:00:00Z',
  });
  recorder.append({
    kind: 'hold',
    operation: 91,
    approval: 'a-2',
    rules: [rule],
    expiresAt: '2030-01-01T00:00:00Z',
  });
  recorder.append({
    kind: 'approval',
    operation: 90,
    approval: 'a-1',
    verdict: 'Approve',
    by: 'alice',
    decidedAt: '2030-01-01T00:00:00Z',
    reason: '',
    modified: null,
  });
  const open = await metrics.text();
  assert.match(open, /sidewarden_client_connections\{connection="production\/orders-db"\} 1/);
  assert.match(
    open,
    /sidewarden_hold_seconds_count\{connection="production\/orders-db",verdict="approve"\} 1/,
  );
  assert.match(open, /sidewarden_spool_bytes 2048/);
  assert.match(open, /sidewarden_recorder_lag_seconds 1\.5/);
  assert.match(open, /sidewarden_policy_stale_seconds 0\.25/);
  const counted = [...open.matchAll(/sidewarden_operations_total\{[^}]*\} (\d+)/g)].map(([, n]) => Number(n));
  assert.equal(
    counted.reduce((sum, n) => sum + n, 0),
    decisions,
  );
  await recorder.close('done');
  const closed = await metrics.text();
  assert.match(closed, /sidewarden_client_connections\{connection="production\/orders-db"\} 0/);
  assert.match(closed, /sidewarden_holds_pending\{connection="production\/orders-db"\} 0/);
});
