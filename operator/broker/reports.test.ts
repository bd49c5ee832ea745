import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import pino from 'pino';
import type { KubeObject, Written } from '../kube/kube.ts';
import { Cache } from '../kube/store.ts';
import { Reports, type Reported } from './reports.ts';

const log = pino({ level: 'silent' });
const SESSION: KubeObject = {
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'Session',
  metadata: {
    name: 'orders-1',
    namespace: 'access',
    uid: 'u',
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  status: { phase: 'Active' },
};

const report = (allow: number, ended: 'yes' | 'no' = 'yes'): Reported => ({
  session: SESSION,
  report: { connection: 'access/orders', decisions: { allow, deny: 0, hold: 0 }, recordings: 1, ended },
  location: undefined,
});

/** Time stands still until it is told. */
function scene(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const cache = new Cache(log);
  const written: unknown[] = [];
  const answers: Written[] = [];
  const reports = new Reports(
    {
      patch: (_resource, _namespace, _name, patch) => {
        written.push(Object(patch).status.decisions.allow);
        return Promise.resolve(answers.shift() ?? { kind: 'written', object: SESSION });
      },
      stores: {
        approvals: cache,
        sessions: cache,
        connections: cache,
        policies: cache,
        pods: cache,
        namespaces: cache,
      },
    },
    log,
  );
  return { reports, written, answers, pass: (milliseconds: number) => t.mock.timers.tick(milliseconds) };
}

suite('reports of sessions', () => {
  test('a hundred last ones in a second are written once, and once more in the next interval', async (t) => {
    const { reports, written, pass } = scene(t);
    const outcomes: string[] = [];
    const all: Promise<unknown>[] = [];
    for (let at = 0; at < 100; at += 1) {
      // Half of them do not wait for the one before.
      const taken = reports.take(report(at)).then(
        () => outcomes.push('taken'),
        (error: unknown) => outcomes.push(String(Object(error).code)),
      );
      all.push(taken);
      if (at % 2 === 0) await taken;
      pass(10);
    }
    await Promise.all(all);
    assert.deepEqual(written, [0]);
    assert.equal(outcomes.filter((each) => each === 'taken').length, 1);
    assert.equal(outcomes.filter((each) => each === 'unavailable').length, 99);
    pass(1_000);
    await reports.take(report(200));
    assert.deepEqual(written, [0, 200]);
    await reports.close();
  });

  test('a last one goes before those that wait, and past their interval', async (t) => {
    const { reports, written, pass } = scene(t);
    await reports.take(report(1, 'no'));
    await reports.take(report(2, 'no'));
    await reports.take(report(3));
    pass(2_000);
    assert.deepEqual(written, [1, 3]);
    await reports.close();
  });

  test('a last one that could not be written may come again at once', async (t) => {
    const { reports, written, answers } = scene(t);
    answers.push({ kind: 'conflict' }, { kind: 'rejected', message: 'no' });
    await assert.rejects(reports.take(report(1)), /being changed/);
    await assert.rejects(reports.take(report(2)), /does not take the report/);
    await reports.take(report(3));
    await assert.rejects(reports.take(report(4)), /a moment ago/);
    assert.deepEqual(written, [1, 2, 3]);
    await reports.close();
  });
});
