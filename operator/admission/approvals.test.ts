import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request, type RequestOptions } from 'node:https';
import { after, before, suite, test } from 'node:test';
import type { KubeConfig } from '@kubernetes/client-node';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import {
  alice,
  amir,
  dora,
  eve,
  NAMESPACE,
  root,
  startScene,
  sven,
  type Scene,
} from '../../e2e/approvals/scene.ts';

import { object, type Json } from './json.ts';

const unavailable = await controlPlaneUnavailable();
const approve = { spec: { decision: { verdict: 'Approve' } } };

suite('decisions in the cluster', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await startScene();
  });
  after(() => scene.close());

  const patch = (
    name: string,
    body: unknown,
    as: { user: string; groups?: readonly string[] },
    more: readonly string[] = ['--type', 'merge'],
  ) =>
    scene.plane.kubectlOutcome(
      ['patch', 'approval', name, '-n', NAMESPACE, ...more, '-p', JSON.stringify(body)],
      { as },
    );

  async function refusedAs(name: string, said: RegExp, outcome: ReturnType<typeof patch>) {
    const { code, stderr } = await outcome;
    assert.notEqual(code, 0, `${name} was accepted`);
    assert.match(stderr, said);
    const approval = await scene.read(name);
    assert.equal(approval.spec.decision, undefined);
    assert.equal(scene.told.get(name), undefined);
  }

  test('alice of dba approves; who it was is the API server’s word', async () => {
    const name = await scene.ask();
    const forged = {
      verdict: 'Approve',
      decidedBy: { username: 'amir', groups: ['x'] },
      at: '2020-01-01T00:00:00Z',
      stamp: 'AAAA',
    };
    const { code, stderr } = await patch(name, { spec: { decision: { ...forged, reason: 'fine' } } }, alice);
    assert.equal(code, 0, stderr);
    const { decision } = (await scene.read(name)).spec;
    assert.equal(decision?.decidedBy?.username, 'alice');
    assert.ok(decision.decidedBy.groups.includes('dba') && !decision.decidedBy.groups.includes('x'));
    assert.ok(Date.now() - Date.parse(decision.at ?? '') < 60_000);
    const outcome = await scene.outcome(name);
    assert.ok(outcome.kind === 'approved');
    assert.deepEqual([outcome.by.map(({ username }) => username), outcome.reason], [['alice'], 'fine']);
    const { status } = await scene.phase(name, 'Approved');
    assert.equal(status?.decidedBy?.username, 'alice');
    await scene.approvals.end(scene.run, { connection: `${NAMESPACE}/orders-db`, name, how: 'used' });
    await scene.phase(name, 'Used');
    assert.equal(scene.told.get(name)?.length, 1);
  });

  test('who may not', async () => {
    const name = await scene.ask();
    const run = { user: 'system:serviceaccount:agents:runner', groups: ['dba'] };
    const cases: readonly (readonly [object, RegExp])[] = [
      [eve, /eve is not an approver: group dba/],
      [
        dora,
        /dora may not approve on production-access\/orders-db.*kubectl create rolebinding approvers -n production-access --clusterrole=sidewarden-approver --user=dora/,
      ],
      [run, /the run's own identity cannot decide/],
      [{ user: 'frank', groups: ['dba'] }, /"frank" cannot (get|patch) resource "approvals"/],
      [root, /root is not an approver/],
    ];
    for (const [as, said] of cases) await refusedAs(name, said, patch(name, approve, as as { user: string }));
    // Impersonation: what the API server says, not who stands behind it.
    const like = (...flags: string[]) => patch(name, approve, root, ['--type', 'merge', ...flags]);
    await refusedAs(name, /eve is not an approver/, like('--as', 'eve', '--as-group', 'developers'));
    await refusedAs(
      name,
      /cannot impersonate/,
      patch(name, approve, eve, ['--type', 'merge', '--as', 'alice']),
    );
    await refusedAs(name, /the run's own identity/, like('--as', run.user, '--as-group', 'dba'));
    const { code, stderr } = await like('--as', 'alice', '--as-group', 'dba');
    assert.equal(code, 0, stderr);
    assert.equal((await scene.read(name)).spec.decision?.decidedBy?.username, 'alice');
  });

  test('a token of the run’s pod cannot decide, whatever its groups', async () => {
    const name = await scene.ask();
    const loaded = await scene.plane.clientFor(root);
    const said = await impersonated(loaded, name, 'job-1');
    assert.match(said, /the run's own identity cannot decide/);
    assert.equal((await scene.read(name)).spec.decision, undefined);
    assert.doesNotMatch(await impersonated(loaded, name, 'job-2'), /own identity/);
    assert.equal(
      (await scene.phase(name, 'Approved')).spec.decision?.decidedBy?.username,
      'system:serviceaccount:agents:other',
    );
  });

  test('the request, the status, the metadata', async () => {
    const name = await scene.ask();
    const text = { operation: { text: 'SELECT 1' } };
    await refusedAs(
      name,
      /spec.request never changes/,
      patch(name, { spec: { request: text, ...approve.spec } }, alice),
    );
    await refusedAs(name, /spec.request never changes/, patch(name, { spec: { request: text } }, root));
    const status = ['--type', 'merge', '--subresource', 'status'];
    await refusedAs(name, /operator alone/, patch(name, { status: { phase: 'Approved' } }, alice, status));
    await refusedAs(
      name,
      /operator alone/,
      patch(name, { ...approve, status: { phase: 'Approved' } }, root, status),
    );
    const owners = { metadata: { ownerReferences: null }, ...approve };
    await refusedAs(name, /not yours to change/, patch(name, owners, alice));
    await refusedAs(name, /not yours to change/, patch(name, { metadata: { finalizers: ['a/b'] } }, alice));
    const { code } = await patch(name, { metadata: { labels: { team: 'shop' } } }, alice);
    assert.equal(code, 0);
    const removed = await scene.plane.kubectlOutcome(['delete', 'approval', name, '-n', NAMESPACE], {
      as: alice,
    });
    assert.match(removed.stderr, /deny it instead/);
    assert.equal((await patch(name, { spec: { decision: { verdict: 'Deny' } } }, alice)).code, 0);
    await scene.phase(name, 'Denied');
    await scene.plane.kubectl(['delete', 'approval', name, '-n', NAMESPACE], { as: alice });
  });

  test('only the operator makes approvals, and sessions', async () => {
    const object = JSON.parse(
      await scene.plane.kubectl(['get', 'approval', await scene.ask(), '-n', NAMESPACE, '-o', 'json']),
    );
    const copy = { ...object, metadata: { name: 'mine', namespace: NAMESPACE }, status: undefined };
    const create = (value: unknown, as: { user: string }) =>
      scene.plane.kubectlOutcome(['create', '-f', '-'], { as, input: JSON.stringify(value) });
    assert.match((await create(copy, alice)).stderr, /made by Sidewarden's operator alone/);
    assert.match((await create(copy, root)).stderr, /made by Sidewarden's operator alone/);
    const session = ['session', 'orders-db-one', '-n', NAMESPACE];
    const bySession = (args: readonly string[]) => scene.plane.kubectlOutcome(args, { as: root });
    const ended = ['--type', 'merge', '-p', '{"status":{"phase":"Ended"}}'];
    assert.match((await bySession(['delete', ...session])).stderr, /operator alone/);
    assert.match(
      (await bySession(['patch', ...session, '--subresource', 'status', ...ended])).stderr,
      /operator alone/,
    );
    assert.match((await bySession(['label', ...session, 'a=b'])).stderr, /operator alone/);
  });

  test('a decision is made once, whoever tries again and however', async () => {
    const name = await scene.ask();
    assert.equal(
      (await patch(name, { spec: { decision: { verdict: 'Deny', reason: 'no' } } }, alice)).code,
      0,
    );
    const tries: readonly (readonly [unknown, readonly string[]])[] = [
      [approve, ['--type', 'merge']],
      [{ spec: { decision: null } }, ['--type', 'merge']],
      [
        { spec: { approvals: [{ by: { username: 'alice', groups: ['dba'] }, holds: [] }] } },
        ['--type', 'merge'],
      ],
      [[{ op: 'replace', path: '/spec/decision/verdict', value: 'Approve' }], ['--type', 'json']],
      [[{ op: 'remove', path: '/spec/decision' }], ['--type', 'json']],
      [[{ op: 'replace', path: '/spec/decision/decidedBy/username', value: 'amir' }], ['--type', 'json']],
    ];
    for (const [body, more] of tries) {
      const { code, stderr } = await patch(name, body, amir, more);
      const after = await scene.read(name);
      assert.ok(code !== 0 || after.spec.approvals === undefined, stderr);
      assert.deepEqual(
        [after.spec.decision?.verdict, after.spec.decision?.decidedBy?.username],
        ['Deny', 'alice'],
      );
    }
    assert.match(
      (await patch(name, approve, amir)).stderr,
      /a decision is made once: it was denied by alice/,
    );
    assert.equal((await scene.outcome(name)).kind, 'denied');
  });

  test('JSON patch, server-side apply, kubectl edit, kubectl apply', async () => {
    const json = await scene.ask();
    const add = [{ op: 'add', path: '/spec/decision', value: { verdict: 'Approve' } }];
    assert.equal((await patch(json, add, alice, ['--type', 'json'])).code, 0);
    assert.equal((await scene.outcome(json)).kind, 'approved');

    const applied = await scene.ask();
    const manifest = {
      apiVersion: 'sidewarden.dev/v1alpha1',
      kind: 'Approval',
      metadata: { name: applied, namespace: NAMESPACE },
      spec: approve.spec,
    };
    const server = (name: string, as: object) =>
      scene.plane.kubectlOutcome(['apply', '--server-side', '-f', '-'], {
        as: as as { user: string },
        input: JSON.stringify({ ...manifest, metadata: { ...manifest.metadata, name } }),
      });
    assert.match((await server(applied, eve)).stderr, /eve is not an approver/);
    const byApply = await server(applied, alice);
    assert.equal(byApply.code, 0, byApply.stderr);
    assert.equal((await scene.outcome(applied)).kind, 'approved');
    assert.match((await server('made-by-apply', alice)).stderr, /operator alone|Required value/);

    const edited = await scene.ask();
    const editor = join(scene.plane.folder, 'editor.sh');
    await writeFile(
      editor,
      `#!/bin/sh\nsed -i 's/^spec:/spec:\\n  decision: {verdict: Modify, modified: "SELECT 1"}/' "$1"\n`,
    );
    await chmod(editor, 0o755);
    const edit = (name: string, as: { user: string }) =>
      scene.plane.kubectlOutcome(['edit', 'approval', name, '-n', NAMESPACE], {
        as,
        env: { EDITOR: editor },
      });
    assert.match((await edit(edited, eve)).stderr, /eve is not an approver/);
    assert.equal((await edit(edited, alice)).code, 0);
    const outcome = await scene.outcome(edited);
    assert.ok(outcome.kind === 'modified' && outcome.text === 'SELECT 1');

    const strategic = await scene.ask();
    await refusedAs(
      strategic,
      /strategic merge patch|not supported|unsupported/i,
      patch(strategic, approve, alice, ['--type', 'strategic']),
    );
  });

  test('a dry run decides nothing, and its stamp is worth nothing', async () => {
    const name = await scene.ask();
    const dry = await patch(name, approve, alice, ['--type', 'merge', '--dry-run=server', '-o', 'json']);
    assert.equal(dry.code, 0, dry.stderr);
    const { decision } = JSON.parse(dry.stdout).spec;
    assert.equal(decision.decidedBy.username, 'alice');
    assert.equal((await scene.read(name)).spec.decision, undefined);
    await scene.withoutWebhooks(async () => {
      await patch(name, { spec: { decision } }, alice);
    });
    const { status } = await until('it is seen', async () => {
      const found = await scene.read(name);
      return found.status?.conditions?.[0]?.reason === 'DecisionNotStamped' ? found : undefined;
    });
    assert.equal(status?.phase, 'Pending');
    assert.equal(scene.told.get(name), undefined);
  });

  test('two at once: exactly one wins', async () => {
    const run = await scene.newRun('orders-db-race');
    const told = new Map<string, string[]>();
    const stop = scene.approvals.outcomes(run, (name, { kind }) =>
      told.set(name, [...(told.get(name) ?? []), kind]),
    );
    for (let round = 0; round < 5; round += 1) {
      const name = await scene.ask({ run });
      const deny = { spec: { decision: { verdict: 'Deny' } } };
      const results = await Promise.all([patch(name, approve, alice), patch(name, deny, amir)]);
      assert.equal(results.filter(({ code }) => code === 0).length, 1, JSON.stringify(results));
      const { decision } = (await scene.read(name)).spec;
      const kinds = await until('told', () => told.get(name));
      assert.deepEqual(kinds, [decision?.verdict === 'Approve' ? 'approved' : 'denied']);
      assert.equal(decision?.decidedBy?.username, results[0].code === 0 ? 'alice' : 'amir');
    }
    stop();
  });

  test('several approvers: moved to spec.approvals, and the last one decides', async () => {
    const name = await scene.ask({ rules: ['schema', 'operations'] });
    const first = await patch(
      name,
      { spec: { decision: { verdict: 'Approve', reason: 'schema is fine' } } },
      alice,
    );
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /Warning: approved by alice; still needed: group sre/);
    const between = await scene.read(name);
    assert.equal(between.spec.decision, undefined);
    assert.deepEqual(
      between.spec.approvals?.map(({ by, holds }) => [by.username, holds]),
      [['alice', [`${NAMESPACE}/orders/schema`]]],
    );
    const needed = await until('status', async () => {
      const { status } = await scene.read(name);
      return status?.needed === 'group sre' ? status : undefined;
    });
    assert.deepEqual([needed.phase, needed.awaiting], ['Pending', [`${NAMESPACE}/orders/operations`]]);
    const again = await patch(name, approve, alice);
    assert.match(again.stderr, /you have approved it already; still needed: group sre/);
    await refusedAs(name, /what amir may approve is approved already/, patch(name, approve, amir));
    const modify = { spec: { decision: { verdict: 'Modify', modified: 'SELECT 1' } } };
    await refusedAs(name, /one person who may decide on every hold/, patch(name, modify, sven));
    const forged = [
      ...(between.spec.approvals ?? []),
      { by: { username: 'sven', groups: ['sre'] }, holds: [`${NAMESPACE}/orders/operations`] },
    ];
    const wrote = await patch(name, { spec: { approvals: forged } }, alice);
    assert.match(wrote.stderr, /written by Sidewarden alone/);
    assert.equal((await patch(name, { spec: { approvals: null } }, sven)).code, 0);
    assert.equal((await scene.read(name)).spec.approvals?.length, 1);
    assert.equal(scene.told.get(name), undefined);
    assert.equal((await patch(name, approve, sven)).code, 0);
    const outcome = await scene.outcome(name);
    assert.ok(outcome.kind === 'approved');
    assert.deepEqual(
      outcome.by.map(({ username }) => username),
      ['alice', 'sven'],
    );
    const denied = await scene.ask({ rules: ['schema', 'operations'] });
    assert.equal((await patch(denied, approve, alice)).code, 0);
    assert.equal((await patch(denied, { spec: { decision: { verdict: 'Deny' } } }, sven)).code, 0);
    assert.equal((await scene.outcome(denied)).kind, 'denied');
  });

  test('what is written while the webhooks are off is not believed', async () => {
    const one = await scene.ask();
    const two = await scene.ask({ rules: ['schema', 'operations'] });
    const three = await scene.ask();
    const real = await scene.ask();
    assert.equal((await patch(real, approve, alice)).code, 0);
    const stamped = (await scene.read(real)).spec.decision;
    const decidedBy = { username: 'alice', groups: ['dba'] };
    const at = new Date().toISOString();
    const forged = { spec: { decision: { verdict: 'Approve', decidedBy, at, stamp: 'A'.repeat(43) } } };
    await scene.withoutWebhooks(async () => {
      assert.equal((await patch(one, forged, eve)).code, 0);
      const given = { by: decidedBy, at, stamp: 'A'.repeat(43), holds: [`${NAMESPACE}/orders/operations`] };
      assert.equal((await patch(two, { spec: { approvals: [given] } }, eve)).code, 0);
      assert.equal((await patch(three, { spec: { decision: stamped } }, eve)).code, 0);
      // The schema alone still keeps these.
      const later = await patch(one, { spec: { decision: { verdict: 'Deny' } } }, eve);
      assert.match(later.stderr, /a decision is made once/);
      assert.match((await patch(two, { spec: { approvals: null } }, eve)).stderr, /cannot be taken back/);
    });
    for (const name of [one, two, three]) {
      const { status } = await until(`${name} is marked`, async () => {
        const found = await scene.read(name);
        return found.status?.conditions?.some(({ reason }) => reason === 'DecisionNotStamped') === true
          ? found
          : undefined;
      });
      assert.equal(status?.phase, 'Pending');
      assert.equal(scene.told.get(name), undefined);
    }
    assert.match((await patch(two, approve, alice)).stderr, /Sidewarden did not write/);
    await until('it is told', async () => {
      const events = await scene.plane.kubectl(['get', 'events', '-n', NAMESPACE, '-o', 'json']);
      return events.includes('DecisionNotStamped') || undefined;
    });
  });

  test('another webhook may not turn a decision into another, and may change what does not matter', async () => {
    const name = await scene.ask();
    const flipped = (change: object) => (spec: Json) =>
      'decision' in spec ? { ...spec, decision: { ...object(spec['decision']), ...change } } : spec;
    const changes: readonly (readonly [(spec: Json) => Json, RegExp])[] = [
      [flipped({ verdict: 'Deny' }), /changed after Sidewarden stamped it|a decision/],
      [flipped({ decidedBy: { username: 'amir', groups: ['dba'] } }), /changed after|stamped/],
      [flipped({ stamp: 'A'.repeat(43) }), /changed after|stamped/],
      [flipped({ verdict: 'Modify', modified: 'DROP TABLE orders' }), /changed after|one person/],
      [(spec) => ({ ...spec, request: { ...object(spec['request']), connection: 'x' } }), /never changes/],
    ];
    for (const [change, said] of changes) {
      await scene.withOther(change, async () => {
        const { code, stderr } = await patch(name, approve, alice);
        const { decision } = (await scene.read(name)).spec;
        assert.notEqual(code, 0);
        assert.match(stderr, said);
        assert.equal(decision, undefined);
      });
    }
    const two = await scene.ask({ rules: ['schema', 'operations'] });
    await scene.withOther(
      (spec) => ({ ...spec, approvals: [] }),
      async () => assert.notEqual((await patch(two, approve, alice)).code, 0),
    );
    assert.equal((await patch(name, approve, alice)).code, 0);
    assert.equal((await scene.outcome(name)).kind, 'approved');
  });

  test('an expired one cannot be decided, and says so on time', async () => {
    const name = await scene.ask({ rules: ['schema', 'quick'] });
    const asked = await scene.read(name);
    const outcome = await scene.outcome(name);
    const late = Date.now() - Date.parse(asked.spec.request.expiresAt);
    assert.deepEqual(outcome, { kind: 'expired', after: 2_000 });
    assert.ok(late >= 0 && late < 60_000, `${late} ms late`);
    assert.match((await patch(name, approve, alice)).stderr, /too late: it expired at/);
    await scene.phase(name, 'Expired');
  });
});

async function impersonated(config: KubeConfig, name: string, pod: string): Promise<string> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const server = config.getCurrentCluster()?.server ?? '';
  const url = new URL(`/apis/sidewarden.dev/v1alpha1/namespaces/${NAMESPACE}/approvals/${name}`, server);
  return new Promise((done, fail) => {
    const headers = {
      'content-type': 'application/merge-patch+json',
      'impersonate-user': 'system:serviceaccount:agents:other',
      'impersonate-group': 'dba',
      'impersonate-extra-authentication.kubernetes.io%2Fpod-name': pod,
    };
    const call = request(url, { ...options, method: 'PATCH', headers }, (answer) => {
      answer.toArray().then((chunks) => done(Buffer.concat(chunks).toString()), fail);
    });
    call.once('error', fail);
    call.end(JSON.stringify(approve));
  });
}
