/** THREATS.md, class 39: what asking costs the operator, counted in what it looks up and stores. Time stands still. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import pino from 'pino';
import { parseConnection } from '../../crds/connection.ts';
import { readApproval } from '../kube/read.ts';
import { alterOrders } from '../../sidecar/approval/fixture.ts';
import type { ApprovalAnswer, ApprovalMessage } from '../../sidecar/broker/protocol.ts';
import { trimApproval } from '../kube/ended-approval.ts';
import type { Kube, KubeObject, Store } from '../kube/kube.ts';
import { Cache } from '../kube/store.ts';
import { createApprovals, type Approvals } from './approvals.ts';
import type { ApprovalRun } from './request.ts';
import { createStamper } from './stamp.ts';

const log = pino({ level: 'silent' });
const NOW = Date.parse('2026-11-21T12:00:00Z');
const MiB = 1024 * 1024;

const POLICY: KubeObject = {
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: {
    name: 'orders',
    namespace: 'access',
    uid: 'p',
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: {
    connections: ['orders-db'],
    subjects: [{ everyone: true }],
    rules: [{ name: 'schema', when: 'true', action: 'Hold', hold: { approvers: { groups: ['dba'] } } }],
  },
};

interface Scene {
  readonly approvals: Approvals;
  /** What the API server stores, by name, and what the cache keeps of it. */
  readonly stored: ReadonlyMap<string, KubeObject>;
  readonly cache: Cache;
  /** How often a policy was looked up: the first thing that a request is gone through for. */
  readonly lookups: () => number;
}

/** An API server of a few lines, and a cache that follows it at once. */
function scene(t: TestContext): Scene {
  t.mock.method(performance, 'now', () => 0);
  const cache = new Cache(log);
  const stored = new Map<string, KubeObject>();
  let lookups = 0;
  const empty = new Cache(log);
  const policies: Store = {
    get: () => {
      lookups += 1;
      return POLICY;
    },
    list: () => [POLICY],
    watch: () => () => undefined,
  };
  const stores = {
    approvals: cache,
    policies,
    connections: empty,
    sessions: empty,
    pods: empty,
    namespaces: empty,
  };
  const store = (object: KubeObject, change: object) => {
    const resourceVersion = String(Number(object.metadata.resourceVersion) + 1);
    const next = { ...object, ...change, metadata: { ...object.metadata, resourceVersion } };
    stored.set(next.metadata.name, next);
    cache.put(trimApproval(next));
    return { kind: 'written' as const, object: next };
  };
  const kube: Pick<Kube, 'stores' | 'get' | 'list' | 'create' | 'patch' | 'event'> = {
    stores,
    get: (_resource, _namespace, name) => Promise.resolve(stored.get(name)),
    list: () => Promise.resolve([...stored.values()]),
    create: (_resource, given) => {
      // What `approvals.ts` writes.
      const object = given as KubeObject;
      const { metadata } = object;
      const uid = `uid of ${metadata.name}`;
      const made = { ...metadata, uid, resourceVersion: '1', creationTimestamp: '2026-11-21T12:00:00Z' };
      return Promise.resolve(store({ ...object, metadata: made }, {}));
    },
    patch: (_resource, _namespace, name, patch) => {
      const object = stored.get(name);
      return Promise.resolve(
        object === undefined ? { kind: 'not-found' } : store(object, { status: Object(patch).status }),
      );
    },
    event: () => undefined,
  };
  const approvals = createApprovals({
    kube,
    stamper: createStamper(new Uint8Array(32)),
    log,
    clock: () => NOW,
  });
  t.after(() => approvals.close());
  return { approvals, stored, cache, lookups: () => lookups };
}

function runIn(session: string, maxPendingApprovals = 5): ApprovalRun {
  const parsed = parseConnection({
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name: 'orders-db', namespace: 'access' },
    spec: {
      protocol: 'postgres',
      target: { host: 'db', database: 'orders' },
      credentials: { secretRef: { name: 'admin' } },
      identity: { sources: [{ serviceAccount: {} }] },
      listen: { port: 15_432 },
      limits: { maxPendingApprovals },
    },
  });
  assert.ok(parsed.kind === 'parsed', JSON.stringify(parsed));
  const subject = 'system:serviceaccount:agents:agent';
  const identity = {
    issuer: 'sidewarden:serviceAccount',
    subject,
    username: subject,
    groups: [],
    claims: {},
    serviceAccount: 'agents/agent',
    pod: `agents/${session}`,
  };
  return {
    identity,
    session: { namespace: 'access', name: session, uid: `uid of ${session}` },
    connection: parsed.value,
  };
}

function message(operation: object = {}, rule = 'schema'): ApprovalMessage {
  return {
    connection: 'access/orders-db',
    recording: 'r',
    digest: `sha256:${'0'.repeat(64)}`,
    requirements: [{ policy: 'access/orders', rule }],
    operation: { ...alterOrders('ALTER TABLE orders ADD a int'), ...operation },
    evidence: {},
  };
}

const said = ({ kind, denial }: ApprovalAnswer) => `${kind}: ${denial?.message ?? ''}`;
const bytesOf = (objects: Iterable<KubeObject>) =>
  [...objects].reduce((sum, object) => sum + Buffer.byteLength(JSON.stringify(object)), 0);

suite('asking for approvals', () => {
  test('a run at its cap: nothing of what it asks is gone through', async (t) => {
    const { approvals, lookups } = scene(t);
    const run = runIn('one', 1);
    assert.equal((await approvals.ask(run, message())).kind, 'pending');
    const before = lookups();
    for (let i = 0; i < 500; i += 1)
      assert.match(said(await approvals.ask(run, message())), /refused: too many approvals are pending/);
    assert.equal(lookups(), before);
  });

  test('what is refused for what it is costs the run as much as what is asked', async (t) => {
    const { approvals, stored, lookups } = scene(t);
    const run = runIn('one');
    const answers: string[] = [];
    for (let i = 0; i < 500; i += 1)
      answers.push(
        said(await approvals.ask(run, message({ text: 'x'.repeat(262_145) }, i % 2 ? 'schema' : 'none'))),
      );
    assert.equal(lookups(), 10);
    assert.match(answers.at(-1) ?? '', /too fast/);
    assert.equal(stored.size, 0);
    // They are not pending either.
    assert.equal((await approvals.ask(runIn('two'), message())).kind, 'pending');
  });

  test('what cannot even be written down is refused, and is not pending', async (t) => {
    const { approvals, lookups } = scene(t);
    const run = runIn('one', 1);
    const nested: unknown = JSON.parse('['.repeat(1_000_000) + ']'.repeat(1_000_000));
    assert.match(said(await approvals.ask(run, message({ nested }))), /^refused: /);
    assert.equal(lookups(), 0);
    assert.equal((await approvals.ask(run, message())).kind, 'pending');
  });

  test('holds of full size, asked and cancelled: so many bytes are stored, few are cached', async (t) => {
    const { approvals, stored, cache, lookups } = scene(t);
    const text = '\u0436'.repeat(262_144);
    const answers: string[] = [];
    for (let i = 0; i < 25; i += 1) {
      const run = runIn(`run-${i % 5}`);
      const answer = await approvals.ask(run, message({ text, parameters: [text] }));
      answers.push(said(answer));
      if (answer.name === undefined) continue;
      await approvals.end(run, { connection: 'access/orders-db', name: answer.name, how: 'ClientCancelled' });
    }
    assert.ok(stored.size >= 7, `${stored.size}`);
    assert.ok(bytesOf(stored.values()) < 9 * MiB, `${bytesOf(stored.values())} bytes are stored`);
    assert.match(answers.at(-1) ?? '', /too long operations are asked for too fast/);
    assert.equal(lookups(), stored.size);
    assert.ok(bytesOf(cache.list()) < stored.size * 4_096, `${bytesOf(cache.list())} bytes are cached`);
    for (const object of cache.list()) {
      const parsed = readApproval(object);
      assert.ok(parsed.kind === 'parsed', JSON.stringify(parsed));
      assert.equal(parsed.value.status?.phase, 'Void');
    }
    // Short ones are asked about all the same.
    assert.equal(said(await approvals.ask(runIn('run-0'), message())), 'pending: ');
  });
});

test('an Approval that somebody may still decide, or has denied, is cached whole', () => {
  const metadata = { ...POLICY.metadata, name: 'orders-db-1' };
  const spec = {
    request: { operation: { text: 'x', parameters: ['y'] }, evidence: { plan: 'z' }, warnings: [] },
    decision: { verdict: 'Approve' },
  };
  for (const phase of ['Pending', 'Approved', 'Modified', 'Denied', undefined, 7]) {
    const object = { ...POLICY, kind: 'Approval', metadata, spec, status: { phase } };
    assert.equal(trimApproval(object), object);
  }
  for (const phase of ['Used', 'Void', 'Expired'])
    assert.deepEqual(trimApproval({ ...POLICY, metadata, spec, status: { phase } })['spec'], {
      request: { operation: { text: '', parameters: [], tables: [] }, evidence: {}, warnings: [] },
      decision: { verdict: 'Approve' },
    });
});
