import assert from 'node:assert/strict';
import { CustomObjectsApi, setHeaderOptions } from '@kubernetes/client-node';
import { after, before, suite, test } from 'node:test';
import pino from 'pino';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import {
  alice,
  amir,
  eve,
  messageOf,
  NAMESPACE,
  startScene,
  sven,
  type Scene,
} from '../../e2e/approvals/scene.ts';
import { APPROVALS, SESSIONS } from '../kube/kube.ts';
import { approvalController } from '../reconcile/approval.ts';
import { runController } from '../reconcile/controller.ts';
import { createApprovals } from './approvals.ts';
import type { ToldOutcome } from './outcome.ts';
import { loadStamper } from './stamp.ts';

const unavailable = await controlPlaneUnavailable();
const connection = `${NAMESPACE}/orders-db`;
const log = pino({ level: 'silent' });

suite('approvals for the broker', { skip: unavailable ?? false, timeout: 300_000 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await startScene();
  });
  after(() => scene.close());

  const decide = (name: string, verdict: string, as: { user: string; groups?: readonly string[] }) =>
    scene.plane.kubectl(
      [
        'patch',
        'approval',
        name,
        '-n',
        NAMESPACE,
        '--type',
        'merge',
        '-p',
        JSON.stringify({ spec: { decision: { verdict } } }),
      ],
      { as },
    );

  test('an Approval says all, belongs to its Session, and can be decided from a list', async () => {
    const name = await scene.ask({
      text: 'ALTER TABLE orders ADD a int; --\u202e',
      recording: 'rec-7',
      rules: ['schema', 'operations'],
    });
    const { metadata, spec } = await scene.read(name);
    assert.equal(metadata.ownerReferences?.[0]?.['uid'], scene.run.session.uid);
    assert.deepEqual([spec.request.session, spec.request.recording], ['orders-db-one', 'rec-7']);
    assert.deepEqual(
      spec.request.requirements.map(({ approvers, timeout }) => [approvers.groups, timeout]),
      [
        [['dba'], '15m'],
        [['sre'], '15m'],
      ],
    );
    await scene.phase(name, 'Pending');
    const table = await scene.plane.kubectl(['get', 'approvals', '-n', NAMESPACE]);
    assert.match(table, /NAME +PHASE +CONNECTION +WHO +VERB +ROWS +OPERATION +WARNING +EXPIRES +AGE/);
    assert.match(
      table,
      /Pending +orders-db +system:serviceaccount:agents:runner +ALTER TABLE +12 +ALTER TABLE orders ADD a int; --\\u\{202E\} +the text has characters that change the reading direction/,
    );
    const wide = await scene.plane.kubectl(['get', 'approval', name, '-n', NAMESPACE, '-o', 'wide']);
    assert.match(wide, /NEEDED +DECIDED BY +HELD BY/);
    assert.match(wide, /group dba; and group sre/);
  });

  test('who may decide is the policy’s to say: another rule, policy or connection is refused', async () => {
    const message = messageOf();
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ requirements: [{ policy: connection, rule: 'schema' }] }, /not in force/],
      [{ requirements: [{ policy: `${NAMESPACE}/orders`, rule: 'reads' }] }, /not in force/],
      [{ requirements: [{ policy: `${NAMESPACE}/orders`, rule: 'nothing' }] }, /not in force/],
      [{ requirements: [{ policy: 'other/orders', rule: 'schema' }] }, /not in force/],
      [{ connection: `${NAMESPACE}/other-db` }, /could not be asked for/],
      [{ operation: { ...message.operation, text: 7 } }, /could not be asked for/],
      [{ operation: { ...message.operation, secret: 'x' } }, /could not be asked for/],
      [{ evidence: { plan: 7 } }, /could not be asked for/],
      [{ operation: { ...message.operation, text: 'x'.repeat(270_000) } }, /could not be asked for/],
    ];
    const run = await scene.newRun('orders-db-wrong');
    for (const [change, said] of cases) {
      const answer = await scene.approvals.ask(run, { ...message, ...change });
      assert.equal(answer.kind, 'refused');
      assert.match(answer.denial?.message ?? '', said);
    }
    const plan = await scene.approvals.ask(run, { ...message, evidence: { plan: 'x'.repeat(70_000) } });
    assert.equal(plan.kind, 'pending');
  });

  test('asked again with the same key: the same approval, also at a replica whose cache is behind', async () => {
    const run = await scene.newRun('orders-db-again');
    const message = messageOf({ key: 'abc' });
    const [one, two] = await Promise.all([
      scene.approvals.ask(run, message),
      scene.approvals.ask(run, message),
    ]);
    assert.equal(one.kind, 'pending');
    assert.equal(one.name, two.name);
    assert.equal((await scene.approvals.ask(run, message)).name, one.name);
    const other = await scene.approvals.ask(run, messageOf({ key: 'abc' }));
    assert.notEqual(other.name, one.name, 'another operation under the same key');
  });

  test('limits: so many pending, over all replicas; what was just denied is refused', async () => {
    const run = await scene.newRun('orders-db-limited');
    const tight = {
      ...run,
      connection: {
        ...run.connection,
        spec: { ...run.connection.spec, limits: { ...run.connection.spec.limits, maxPendingApprovals: 2 } },
      },
    };
    const replica = createApprovals({ kube: scene.kube, stamper: scene.stamper, log });
    const first = await scene.ask({ run: tight });
    const second = (await replica.ask(tight, messageOf())).name ?? '';
    // Asking until it is refused would make more of them, and they would stay pending.
    await until('the cache has both', () => {
      const cached = [first, second].map((name) => scene.kube.stores.approvals.get(NAMESPACE, name));
      return cached.every((one) => one !== undefined) || undefined;
    });
    for (const each of [scene.approvals, replica]) {
      const { denial } = await each.ask(tight, messageOf());
      assert.match(denial?.message ?? '', /too many approvals are pending/);
    }
    await decide(first, 'Deny', alice);
    const { text } = (await scene.read(first)).spec.request.operation;
    for (const each of [scene.approvals, replica]) {
      const denial = await until('it is remembered', async () => {
        const answer = await each.ask(tight, messageOf({ text }));
        return answer.denial?.code === 'approval-denied' ? answer.denial : undefined;
      });
      assert.match(denial.message, /the same operation was denied \d+s ago by alice/);
    }
    replica.close();
  });

  test('a decision is told, and again to whoever comes later', async () => {
    const run = await scene.newRun('orders-db-fast');
    const told = new Set<string>();
    const stop = scene.approvals.outcomes(run, (name) => told.add(name));
    const names: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const name = await scene.ask({ run });
      names.push(name);
      await scene.phase(name, 'Pending');
      const config = await scene.plane.clientFor(alice);
      await config.makeApiClient(CustomObjectsApi).patchNamespacedCustomObject(
        {
          group: 'sidewarden.dev',
          version: 'v1alpha1',
          namespace: NAMESPACE,
          plural: 'approvals',
          name,
          body: { spec: { decision: { verdict: 'Approve' } } },
        },
        setHeaderOptions('Content-Type', 'application/merge-patch+json'),
      );
      await until('told', () => told.has(name) || undefined);
    }
    stop();
    const later: string[] = [];
    const [used = '', voided = '', ...rest] = names;
    await scene.approvals.end(run, { connection, name: used, how: 'used' });
    await scene.approvals.end(run, { connection, name: used, how: 'ClientDisconnected' });
    await scene.approvals.end(run, { connection, name: voided, how: 'StateChanged' });
    assert.equal((await scene.read(used)).status?.phase, 'Used');
    assert.equal((await scene.read(voided)).status?.phase, 'Void');
    await until('the cache has it', () => {
      const phases = [used, voided].map(
        (name) => scene.kube.stores.approvals.get(NAMESPACE, name)?.['status'],
      );
      return phases.every((status) => /"phase":"(Used|Void)"/.test(JSON.stringify(status))) || undefined;
    });
    scene.approvals.outcomes(run, (name, { kind }) => later.push(`${name} ${kind}`))();
    assert.deepEqual(later.sort(), rest.map((name) => `${name} approved`).sort());
  });

  test('another session can neither end nor hear it', async () => {
    const [one, two] = [await scene.newRun('orders-db-mine'), await scene.newRun('orders-db-theirs')];
    const name = await scene.ask({ run: one });
    await scene.approvals.end(two, { connection, name, how: 'ClientCancelled' });
    assert.notEqual((await scene.read(name)).status?.phase, 'Void');
    const heard: ToldOutcome[] = [];
    const stop = scene.approvals.outcomes(two, (_, outcome) => heard.push(outcome));
    await decide(name, 'Approve', alice);
    await scene.phase(name, 'Approved');
    assert.deepEqual(heard, []);
    stop();
  });

  test('a sidecar that died: what its session asked for is void, used, denied, and others’ are left', async () => {
    const [run, other] = [await scene.newRun('orders-db-died'), await scene.newRun('orders-db-lives')];
    const [open, approved, used, theirs] = [
      await scene.ask({ run }),
      await scene.ask({ run }),
      await scene.ask({ run }),
      await scene.ask({ run: other }),
    ];
    await decide(approved, 'Approve', alice);
    await decide(used, 'Approve', alice);
    await scene.phase(used, 'Approved');
    await scene.approvals.end(run, { connection, name: used, how: 'used' });
    await scene.approvals.lost(run);
    for (const name of [open, approved]) {
      const { status } = await scene.phase(name, 'Void');
      assert.equal(
        status?.conditions?.find(({ type }) => type === 'Completed')?.reason,
        'ClientDisconnected',
      );
    }
    assert.equal((await scene.read(used)).status?.phase, 'Used');
    await scene.phase(theirs, 'Pending');
  });

  test('the session ends: what is not used is void, decided or not; a session that is deleted takes them along', async () => {
    const run = await scene.newRun('orders-db-ending');
    const open = await scene.ask({ run });
    const approved = await scene.ask({ run });
    const partly = await scene.ask({ run, rules: ['schema', 'operations'] });
    await decide(approved, 'Approve', alice);
    await decide(partly, 'Approve', alice);
    await scene.phase(approved, 'Approved');
    await scene.kube.patch(SESSIONS, NAMESPACE, 'orders-db-ending', { status: { phase: 'Ended' } }, 'status');
    for (const name of [open, approved, partly]) {
      const { status } = await scene.phase(name, 'Void');
      assert.equal(status?.conditions?.find(({ type }) => type === 'Completed')?.reason, 'SessionEnded');
    }
    const gone = await scene.newRun('orders-db-gone');
    const left = await scene.ask({ run: gone });
    await scene.kube.delete(SESSIONS, NAMESPACE, 'orders-db-gone');
    // The garbage collector looks for new kinds every half minute.
    await until(
      'it is collected',
      async () => (await scene.kube.get(APPROVALS, NAMESPACE, left)) === undefined || undefined,
      { limit: 120_000 },
    );
  });

  test('one whose time comes while it is looked at is looked at again', async () => {
    const name = await scene.ask();
    const { spec } = await scene.phase(name, 'Pending');
    const end = Date.parse(spec.request.expiresAt);
    const key = { namespace: NAMESPACE, name };
    await until('the cache has it', () => scene.kube.stores.approvals.get(NAMESPACE, name)?.['status']);
    const times = [end - 1, end + 1];
    const clock = (): number => times.shift() ?? end + 2;
    const { kube, stamper } = scene;
    const again = await approvalController({ kube, stamper, log, clock }).reconcile(key);
    assert.ok(again?.after !== undefined && again.after < 100, JSON.stringify(again));
  });

  test('what is over is deleted after its time; Events tell its story', async () => {
    const run = await scene.newRun('orders-db-old');
    const name = await scene.ask({ run });
    await decide(name, 'Approve', amir);
    await scene.phase(name, 'Approved');
    await scene.approvals.end(run, { connection, name, how: 'used' });
    const { kube, stamper } = scene;
    const impatient = runController(approvalController({ kube, stamper, log, ttl: 1_500 }), { log });
    await until(
      'it is deleted',
      async () => (await kube.get(APPROVALS, NAMESPACE, name)) === undefined || undefined,
    );
    await impatient.stop();
    const events = await until('events', async () => {
      const found = await scene.plane.kubectl([
        'get',
        'events',
        '-n',
        NAMESPACE,
        '--field-selector',
        `involvedObject.name=${name}`,
      ]);
      return /Used/.test(found) && /Approved/.test(found) ? found : undefined;
    });
    assert.match(events, /approved by amir/);
  });

  test('all replicas have one key; without it nothing is proven', async () => {
    const other = await loadStamper(scene.kube, 'sidewarden');
    const name = await scene.ask({ rules: ['schema', 'operations'] });
    await decide(name, 'Approve', sven);
    const approval = await scene.read(name);
    const [given] = approval.spec.approvals ?? [];
    assert.ok(given !== undefined && other.verify(approval, { kind: 'given', given }, 'real'));
    const foreign = await loadStamper(scene.kube, 'agents');
    assert.equal(foreign.verify(approval, { kind: 'given', given }, 'real'), false);
    assert.equal(other.verify(approval, { kind: 'given', given }, 'dry-run'), false);
    const elsewhere = { ...approval, metadata: { ...approval.metadata, uid: 'other' } };
    assert.equal(other.verify(elsewhere, { kind: 'given', given }, 'real'), false);
  });

  test('an Approval that was made again past admission, with other approvers, counts for nothing', async () => {
    const name = await scene.ask();
    const heard = scene.told.get(name);
    const { metadata, spec, apiVersion, kind } = await scene.read(name);
    const owned = { name, namespace: NAMESPACE, ownerReferences: metadata.ownerReferences };
    const [first] = spec.request.requirements;
    const request = {
      ...spec.request,
      requirements: [{ ...first, approvers: { users: ['eve'], groups: [] } }],
    };
    await scene.withoutWebhooks(async () => {
      await scene.plane.kubectl(['delete', 'approval', name, '-n', NAMESPACE]);
      const made = { apiVersion, kind, metadata: owned, spec: { request, stamp: spec.stamp } };
      await scene.plane.apply(JSON.stringify(made));
    });
    await assert.rejects(decide(name, 'Approve', eve), /Sidewarden did not write/);
    assert.equal(heard, undefined);
    assert.equal(scene.told.get(name), undefined);
  });

  test('texts that are no text: half a pair is replaced, and it can be decided', async () => {
    const name = await scene.ask({ text: "SELECT '\ud83d', '\u0000', '\u2028'" });
    await decide(name, 'Approve', alice);
    assert.equal((await scene.outcome(name)).kind, 'approved');
  });

  test('a namespace goes away whole, sessions and pending approvals included', async () => {
    await scene.ask();
    await scene.plane.kubectl(['delete', 'namespace', NAMESPACE, '--timeout=120s']);
  });
});
