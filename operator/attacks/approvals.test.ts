/** THREATS.md 37 and 40: who may decide, by any verb and patch of the API; races; decisions written past admission. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Approval } from '../../crds/approval.ts';
import type { TestStream } from '../../e2e/broker/sidecar.ts';
import { until } from '../../e2e/cluster/component.ts';
import { controlPlaneUnavailable } from '../../e2e/cluster/control-plane.ts';
import { inside, without, type Answer, type Client } from '../../e2e/operator/client.ts';
import {
  agent,
  alice,
  amir,
  approvalOf,
  approvalPath,
  decide,
  eve,
  held,
  ORDERS,
  outsiders,
  POLICY,
  powerless,
  prepare,
  root,
  stan,
  verdict,
  wanda,
} from '../../e2e/operator/people.ts';
import { ACCESS, AGENTS, startWorld, type Run, type World } from '../../e2e/operator/world.ts';

const unavailable = await controlPlaneUnavailable();

/** How somebody writes a decision. */
const writings: Readonly<Record<string, (client: Client, name: string, now: Approval) => Promise<Answer>>> = {
  'a merge patch': (client, name) => client.merge(approvalPath(name), verdict('Approve')),
  'a merge patch that says who decided': (client, name) =>
    client.merge(
      approvalPath(name),
      verdict('Approve', {
        decidedBy: { username: 'alice', groups: ['dba'] },
        at: new Date().toISOString(),
        stamp: 'AAAA',
      }),
    ),
  'a denial': (client, name) => client.merge(approvalPath(name), verdict('Deny')),
  'a modified text': (client, name) =>
    client.merge(approvalPath(name), verdict('Modify', { modified: 'DROP TABLE orders' })),
  'a JSON patch': (client, name) =>
    client.send(
      'PATCH',
      approvalPath(name),
      [{ op: 'add', path: '/spec/decision', value: { verdict: 'Approve' } }],
      'application/json-patch+json',
    ),
  'a JSON patch that tests, copies and moves': (client, name, now) =>
    client.send(
      'PATCH',
      approvalPath(name),
      [
        { op: 'test', path: '/metadata/resourceVersion', value: now.metadata.resourceVersion },
        { op: 'add', path: '/spec/decision', value: { verdict: 'Approve' } },
        { op: 'copy', from: '/spec/stamp', path: '/spec/decision/stamp' },
        { op: 'add', path: '/spec/decision/decidedBy', value: { username: 'alice' } },
        { op: 'move', from: '/spec/decision/decidedBy', path: '/spec/decision/decidedBy' },
      ],
      'application/json-patch+json',
    ),
  'a strategic patch': (client, name) =>
    client.send('PATCH', approvalPath(name), verdict('Approve'), 'application/strategic-merge-patch+json'),
  'a forced apply': (client, name) =>
    client.send(
      'PATCH',
      `${approvalPath(name)}?fieldManager=sidewarden&force=true`,
      {
        apiVersion: 'sidewarden.dev/v1alpha1',
        kind: 'Approval',
        metadata: { name, namespace: ACCESS },
        ...verdict('Approve'),
      },
      'application/apply-patch+yaml',
    ),
  'an update': (client, name, now) =>
    client.put(approvalPath(name), { ...now, spec: { ...now.spec, decision: { verdict: 'Approve' } } }),
  // Nobody's word: left out, as if it had not been written.
  'approvals said to be given, with a denial': (client, name) =>
    client.merge(approvalPath(name), {
      spec: {
        approvals: [
          {
            by: { username: 'alice', groups: ['dba'] },
            holds: [`${ACCESS}/orders/schema`],
            at: new Date().toISOString(),
            stamp: 'AAAA',
          },
        ],
        decision: { verdict: 'Deny' },
      },
    }),
};

/** What not even an approver may write. */
const tampering: Readonly<Record<string, (client: Client, name: string, now: Approval) => Promise<Answer>>> =
  {
    'another text with the decision': (client, name) =>
      client.merge(approvalPath(name), {
        spec: {
          request: { operation: { text: 'SELECT 1', summary: 'SELECT 1' } },
          decision: { verdict: 'Approve' },
        },
      }),
    'another digest': (client, name) =>
      client.merge(approvalPath(name), { spec: { request: { digest: `sha256:${'f'.repeat(64)}` } } }),
    'other approvers': (client, name, now) =>
      client.send(
        'PATCH',
        approvalPath(name),
        [
          {
            op: 'test',
            path: '/spec/request/requirements/0/rule',
            value: now.spec.request.requirements[0]?.rule,
          },
          {
            op: 'replace',
            path: '/spec/request/requirements/0/approvers',
            value: { users: ['eve'], groups: [] },
          },
        ],
        'application/json-patch+json',
      ),
    'a later end': (client, name) =>
      client.merge(approvalPath(name), { spec: { request: { expiresAt: '2099-01-01T00:00:00Z' } } }),
    'no warnings': (client, name) =>
      client.merge(approvalPath(name), { spec: { request: { warnings: null, evidence: null } } }),
    'another session': (client, name) =>
      client.merge(approvalPath(name), { spec: { request: { session: 'another' } } }),
    'another stamp': (client, name) => client.merge(approvalPath(name), { spec: { stamp: 'AAAA' } }),
    'no stamp': (client, name) => client.merge(approvalPath(name), { spec: { stamp: null } }),
    'an unknown verdict': (client, name) => client.merge(approvalPath(name), verdict('approve')),
    'a modified text with an approval': (client, name) =>
      client.merge(approvalPath(name), verdict('Approve', { modified: 'x' })),
    'a modified text of a megabyte': (client, name) =>
      client.merge(approvalPath(name), verdict('Modify', { modified: 'x'.repeat(1_000_000) })),
    'an old resourceVersion': (client, name, now) =>
      client.put(approvalPath(name), {
        ...now,
        metadata: { ...now.metadata, resourceVersion: '1' },
        spec: { ...now.spec, decision: { verdict: 'Approve' } },
      }),
    'another uid': (client, name, now) =>
      client.put(approvalPath(name), {
        ...now,
        metadata: { ...now.metadata, uid: '00000000-0000-0000-0000-000000000000' },
        spec: { ...now.spec, decision: { verdict: 'Approve' } },
      }),
    'another namespace in the body': (client, name, now) =>
      client.put(approvalPath(name), {
        ...now,
        metadata: { ...now.metadata, namespace: AGENTS },
        spec: { ...now.spec, decision: { verdict: 'Approve' } },
      }),
  };

const approvedStatus = {
  phase: 'Approved',
  decidedBy: { username: 'alice', groups: ['dba'] },
  decidedAt: '2026-11-21T12:00:00Z',
};
const statusWritings: typeof writings = {
  'a merge patch': (client, name) => client.merge(`${approvalPath(name)}/status`, { status: approvedStatus }),
  'a JSON patch': (client, name) =>
    client.send(
      'PATCH',
      `${approvalPath(name)}/status`,
      [{ op: 'add', path: '/status', value: approvedStatus }],
      'application/json-patch+json',
    ),
  'an update': (client, name, now) =>
    client.put(`${approvalPath(name)}/status`, { ...now, status: approvedStatus }),
  'a forced apply': (client, name) =>
    client.send(
      'PATCH',
      `${approvalPath(name)}/status?fieldManager=x&force=true`,
      {
        apiVersion: 'sidewarden.dev/v1alpha1',
        kind: 'Approval',
        metadata: { name, namespace: ACCESS },
        status: approvedStatus,
      },
      'application/apply-patch+yaml',
    ),
  'a decision through the status': (client, name) =>
    client.merge(`${approvalPath(name)}/status`, verdict('Approve')),
};

suite('approvals under attack', { skip: unavailable ?? false, timeout: 600_000 }, () => {
  let world: World;
  let run: Run;
  const streams: TestStream[] = [];
  let name: string;
  let before_: Approval;
  const clients: Client[] = [];
  const as = async (subject: { readonly user: string; readonly groups: readonly string[] }) => {
    const client = await world.as({ user: subject.user, groups: [...subject.groups] });
    clients.push(client);
    return client;
  };
  const read = (which: string) => approvalOf(world, which);
  const phase = (which: string, wanted: string) =>
    until(`${which} is ${wanted}`, async () =>
      (await read(which)).status?.phase === wanted ? true : undefined,
    );
  const decisions = (which: string) =>
    streams
      .flatMap(({ events }) => events)
      .filter(({ kind, approval }) => kind === 'decision' && approval === which)
      .map(({ outcome }) => outcome?.kind);
  /** Another run: one may ask ten times at once. */
  const began = async (pod: string) => {
    const other = await world.run(pod, ORDERS);
    assert.equal((await other.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    return other;
  };
  const fresh = async (by: Run = run) => {
    const made = await held(by);
    await phase(made, 'Pending');
    return made;
  };
  /** Asking until it is refused would make more of them, and spend what the run and its identity may ask. */
  const told = async (stream: TestStream, what: (manifests: string) => boolean) => {
    for (;;) {
      const { manifests } = await stream.next('configuration');
      if (what(JSON.stringify(manifests))) return;
    }
  };
  const unharmed = async () => {
    const now = await read(name);
    assert.deepEqual(now.spec, before_.spec);
    assert.equal(now.status?.phase, 'Pending');
    assert.deepEqual(decisions(name), []);
  };

  before(async () => {
    world = await startWorld();
    await prepare(world);
    run = await world.run('job', `${ORDERS},${ACCESS}/other-db`);
    assert.equal((await run.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    streams.push(await run.sidecar.listen());
    name = await fresh();
    before_ = await read(name);
  });
  after(async () => {
    for (const client of clients) client.close();
    await world.stop();
  });

  for (const [who, subject] of Object.entries({ ...outsiders, ...powerless }))
    test(`nobody decides who ${who}`, async () => {
      const client = await as(subject);
      for (const [how, write] of Object.entries(writings)) {
        const { status, text } = await write(client, name, await read(name));
        assert.ok(status >= 400 && status < 500, `${how}: ${status} ${text.slice(0, 400)}`);
        assert.doesNotMatch(text, /timed? ?out|failed calling webhook/, how);
      }
      await unharmed();
    });

  for (const [what, write] of Object.entries(tampering))
    test(`an approver cannot write ${what}`, async () => {
      const { status, text } = await write(await as(alice), name, await read(name));
      assert.ok(status >= 400 && status < 500, `${status} ${text.slice(0, 400)}`);
      await unharmed();
    });

  for (const [how, write] of Object.entries(statusWritings))
    test(`the status is closed to ${how}`, async () => {
      for (const subject of [stan, wanda, root]) {
        const { status, text } = await write(await as(subject), name, await read(name));
        assert.ok(status >= 400 && status < 500, `${subject.user}: ${status} ${text.slice(0, 400)}`);
      }
      await unharmed();
    });

  test('who lacks the verb is told the role that the chart made', async () => {
    const { text } = await decide(await as(outsiders['is an approver of the rule, without the verb']), name);
    const [, role = 'none'] = /--clusterrole=(\S+) /.exec(text) ?? [];
    const found = await world.admin.get(`/apis/rbac.authorization.k8s.io/v1/clusterroles/${role}`);
    assert.equal(found.status, 200, text.slice(0, 500));
  });

  test('a dry run decides nothing, and tells the same refusals', async () => {
    const good = await (await as(alice)).merge(`${approvalPath(name)}?dryRun=All`, verdict('Approve'));
    assert.equal(good.status, 200, good.text);
    const bad = await (await as(eve)).merge(`${approvalPath(name)}?dryRun=All`, verdict('Approve'));
    assert.equal(bad.status, 403, bad.text);
    await unharmed();
  });

  test('impersonation takes the whole of somebody, or nothing', async () => {
    const agents = await as(agent);
    const tried = await agents.send(
      'PATCH',
      approvalPath(name),
      verdict('Approve'),
      'application/merge-patch+json',
      { 'impersonate-user': 'alice', 'impersonate-group': 'dba' },
    );
    assert.equal(tried.status, 403, tried.text);
    // root may impersonate: as alice without her groups it is no approver.
    const half = await (
      await as(root)
    ).send('PATCH', approvalPath(name), verdict('Approve'), 'application/merge-patch+json', {
      'impersonate-user': 'alice',
    });
    assert.equal(half.status, 403, half.text);
    await unharmed();
  });

  test("a bearer of the run's own token decides nothing, in whatever pod it is", async () => {
    const plain = await world.token('', '', ['https://kubernetes.default.svc.cluster.local']);
    const bound = await world.token(run.pod, run.uid, ['https://kubernetes.default.svc.cluster.local']);
    for (const token of [plain, bound, run.token]) {
      const client = world.bearing(token);
      clients.push(client);
      const { status, text } = await decide(client, name);
      assert.ok(status === 401 || status === 403, `${status} ${text.slice(0, 400)}`);
    }
    await unharmed();
  });

  test('nobody makes, deletes or renames approvals and sessions', async () => {
    for (const subject of [wanda, root]) {
      const client = await as(subject);
      const metadata = without(before_.metadata, 'uid', 'resourceVersion');
      const forged = {
        ...before_,
        metadata: { ...metadata, name: 'forged' },
        spec: { ...before_.spec, decision: { verdict: 'Approve' } },
      };
      const tries: Readonly<Record<string, Promise<Answer>>> = {
        create: client.post(approvalPath(), forged),
        generate: client.post(approvalPath(), {
          ...forged,
          metadata: { namespace: ACCESS, generateName: `${name}-` },
        }),
        'apply anew': client.send(
          'PATCH',
          `${approvalPath('forged')}?fieldManager=x&force=true`,
          { ...forged, metadata: { name: 'forged', namespace: ACCESS } },
          'application/apply-patch+yaml',
        ),
        delete: client.delete(approvalPath(name)),
        'delete in the background': client.delete(approvalPath(name), {
          kind: 'DeleteOptions',
          apiVersion: 'v1',
          propagationPolicy: 'Orphan',
          gracePeriodSeconds: 0,
        }),
        'delete all': client.delete(approvalPath()),
        'delete a session': client.delete(
          `${approvalPath().replace('approvals', 'sessions')}/${before_.spec.request.session}`,
        ),
        'end a session': client.merge(
          `${approvalPath().replace('approvals', 'sessions')}/${before_.spec.request.session}/status`,
          { status: { phase: 'Ended' } },
        ),
        'change a session': client.merge(
          `${approvalPath().replace('approvals', 'sessions')}/${before_.spec.request.session}`,
          { spec: { connection: 'other-db' } },
        ),
        'make a session': client.post(approvalPath().replace('approvals', 'sessions'), {
          apiVersion: 'sidewarden.dev/v1alpha1',
          kind: 'Session',
          metadata: { name: 'forged', namespace: ACCESS },
          spec: {
            connection: 'orders-db',
            identity: { issuer: 'x', subject: 'x', username: 'x' },
            startedAt: '2026-11-21T12:00:00Z',
          },
        }),
      };
      for (const [what, tried] of Object.entries(tries)) {
        const { status, text } = await tried;
        assert.ok(status >= 400 && status < 500, `${subject.user}: ${what}: ${status} ${text.slice(0, 400)}`);
      }
    }
    await unharmed();
  });

  test('finalizers and owners of an approval or session are not for people', async () => {
    const stray = [
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid: '11111111-1111-1111-1111-111111111111' },
    ];
    const session = approvalPath().replace('approvals', 'sessions') + `/${before_.spec.request.session}`;
    for (const subject of [alice, wanda, root]) {
      const client = await as(subject);
      for (const path of [approvalPath(name), session])
        for (const [what, metadata] of Object.entries({
          'another owner': { ownerReferences: stray },
          'no owner': { ownerReferences: null },
          'a finalizer': { finalizers: ['example.com/stays'] },
          'no finalizer': { finalizers: null },
          'our labels': { labels: { 'sidewarden.dev/session': 'x', 'sidewarden.dev/pod': 'x' } },
          'our annotations': { annotations: { 'sidewarden.dev/key': 'x', 'sidewarden.dev/pod': 'x' } },
        })) {
          const was = inside((await world.admin.get(path)).json, 'metadata');
          const { status } = await client.merge(path, { metadata });
          const is = inside((await world.admin.get(path)).json, 'metadata');
          const ofOurs = (one: Answer['json']) =>
            without(one, 'resourceVersion', 'managedFields', 'generation');
          assert.deepEqual(ofOurs(is), ofOurs(was), `${subject.user}: ${what} of ${path}: ${status}`);
        }
    }
    await unharmed();
  });

  test('approvals that somebody claims are left out', async () => {
    for (const subject of [alice, eve, root]) {
      const approvals = [
        {
          by: { username: 'amir', groups: ['dba'] },
          holds: [`${ACCESS}/orders/schema`],
          at: new Date().toISOString(),
          stamp: 'AAAA',
        },
      ];
      await (await as(subject)).merge(approvalPath(name), { spec: { approvals } });
      await unharmed();
    }
  });

  test('an annotation of somebody else, and the decision itself, go on working', async () => {
    const client = await as(alice);
    const noted = await client.merge(approvalPath(name), {
      metadata: { annotations: { 'example.com/ticket': 'CHG-1' } },
    });
    assert.equal(noted.status, 200, noted.text);
    const { status, text } = await decide(client, name);
    assert.equal(status, 200, text);
    await until('it is told', async () => decisions(name).length > 0 || undefined);
    assert.deepEqual(decisions(name), ['approved']);
    const { decision } = (await read(name)).spec;
    assert.equal(decision?.decidedBy?.username, 'alice');
  });

  test('deciding again changes nothing', async () => {
    const was = (await read(name)).spec;
    for (const subject of [alice, amir, root])
      for (const word of ['Deny', 'Approve']) {
        const { status } = await decide(await as(subject), name, word);
        assert.ok(status >= 400 || word === 'Approve');
      }
    const taken = await (await as(alice)).merge(approvalPath(name), { spec: { decision: null } });
    assert.ok(taken.status >= 400);
    assert.deepEqual((await read(name)).spec, was);
    assert.deepEqual(decisions(name), ['approved']);
  });

  test('at the same moment: one decision, which everybody sees', async () => {
    const people = await Promise.all([as(alice), as(amir)]);
    for (const words of [
      ['Approve', 'Approve'],
      ['Approve', 'Deny'],
      ['Deny', 'Approve'],
    ] as const) {
      const which = await fresh();
      const answers = await Promise.all(people.map((client, index) => decide(client, which, words[index])));
      assert.ok(answers.filter(({ status }) => status === 200).length >= 1, JSON.stringify(answers));
      await until('it is told', async () => decisions(which).length > 0 || undefined);
      const { decision } = (await read(which)).spec;
      assert.deepEqual(decisions(which), [decision?.verdict === 'Approve' ? 'approved' : 'denied']);
      // The same word once more changes nothing, and is none.
      const written = answers.filter(({ status }) => status === 200).length;
      assert.ok(written === 1 || words[0] === words[1], JSON.stringify(answers.map(({ status }) => status)));
    }
  });

  test('around the end of the time: either told approved once, or refused', async () => {
    const client = await as(alice);
    const asking = await began('in-time');
    streams.push(await asking.sidecar.listen());
    for (const after of [-1_500, -100, -10, 10, 600]) {
      const which = await held(asking, { requirements: [{ policy: `${ACCESS}/orders`, rule: 'quick' }] });
      const end = Date.parse((await read(which)).spec.request.expiresAt);
      await sleep(Math.max(0, end + after - Date.now()));
      const sent = Date.now();
      const { status } = await decide(client, which);
      const answered = Date.now();
      await until('it is told', async () => decisions(which).length > 0 || undefined);
      await sleep(200);
      const told = decisions(which);
      const seen = `${sent - end} to ${answered - end} ms: ${status} ${JSON.stringify(told)}`;
      assert.equal(told.length, 1, seen);
      assert.equal(told[0], status === 200 ? 'approved' : 'expired', seen);
      if (answered < end) assert.equal(status, 200, seen);
      if (sent >= end) assert.ok(status >= 400, seen);
    }
  });

  test('who is no approver any more when a rule was changed approves nothing by it; deny still does', async () => {
    const rules = POLICY.spec.rules.map((rule) =>
      'hold' in rule ? { ...rule, hold: { ...rule.hold, approvers: { groups: ['sre'] } } } : rule,
    );
    const asking = await began('under-another-rule');
    const heard = await asking.sidecar.listen();
    const [one, two] = [await fresh(asking), await fresh(asking)];
    const client = await as(alice);
    const refusedNow = (which: string) =>
      until('it is refused', async () => {
        const dry = await client.merge(`${approvalPath(which)}?dryRun=All`, verdict('Approve'));
        return dry.status === 403 || undefined;
      });
    await world.apply({ ...POLICY, spec: { ...POLICY.spec, rules } });
    await refusedNow(one);
    for (const write of Object.values(writings)) {
      const { status, text } = await write(client, one, await read(one));
      if ((await read(one)).spec.decision !== undefined) break;
      assert.ok(status >= 400 || (await read(one)).spec.decision === undefined, text.slice(0, 300));
    }
    assert.notEqual((await read(one)).spec.decision?.verdict, 'Approve');
    assert.equal((await decide(client, two, 'Deny')).status, 200);
    await world.admin.delete(`${approvalPath().replace('approvals', 'accesspolicies')}/orders`);
    await told(heard, (manifests) => !manifests.includes('"AccessPolicy"'));
    await assert.rejects(fresh(asking), /not in force any more/);
    await world.apply(POLICY);
    await told(heard, (manifests) => manifests.includes('"AccessPolicy"'));
    await fresh(asking);
    heard.close();
  });

  test('past admission nothing counts: decisions, approvals, requests', async () => {
    const one = await fresh();
    const two = await fresh();
    const approved = await read(name);
    await world.withoutWebhooks(async () => {
      assert.equal((await decide(await as(eve), one)).status, 200);
      // Somebody else's true stamp, from an approval of the same session.
      const borrowed = await (
        await as(root)
      ).merge(approvalPath(two), { spec: { decision: approved.spec.decision } });
      assert.equal(borrowed.status, 200, borrowed.text);
      const metadata = without(approved.metadata, 'uid', 'resourceVersion');
      const copied = await (
        await as(root)
      ).post(approvalPath(), { ...approved, metadata: { ...metadata, name: 'copied' } });
      assert.equal(copied.status, 201, copied.text);
      await sleep(500);
    });
    const told = await fresh();
    await decide(await as(alice), told);
    await until('a later one is told', async () => decisions(told).length > 0 || undefined);
    for (const each of [one, two, 'copied']) {
      assert.deepEqual(decisions(each), [], each);
      assert.ok(!['Approved', 'Modified', 'Used'].includes((await read(each)).status?.phase ?? ''), each);
    }
  });

  test('when the run is over nothing is decided any more', async () => {
    const over = await world.run('short', ORDERS);
    assert.equal((await over.sidecar.post('/v1/sessions', { connection: ORDERS })).status, 200);
    const which = await held(over);
    await phase(which, 'Pending');
    await world.admin.merge(`/api/v1/namespaces/${AGENTS}/pods/short/status`, {
      status: { phase: 'Succeeded' },
    });
    await until('it is void', async () =>
      (await read(which)).status?.phase === 'Pending' ? undefined : true,
    );
    const { status } = await decide(await as(alice), which);
    assert.ok(status >= 400, String(status));
    assert.notEqual((await read(which)).status?.phase, 'Approved');
  });
});
