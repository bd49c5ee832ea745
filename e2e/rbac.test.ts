/**
 * What the chart lets the operator do is what it does: nothing that it asks for is denied, and no right stands there unused. By the API
 * server's own audit log, with every feature that has to do with Kubernetes in use. And no secret comes out where it must not.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import pg from 'pg';
import { until } from './cluster/component.ts';
import { controlPlaneUnavailable } from './cluster/control-plane.ts';
import {
  objectStoreUnavailable,
  startObjectStore,
  STORE_CREDENTIALS,
  type TestObjectStore,
} from './object-store.ts';
import { inside } from './operator/client.ts';
import {
  alice,
  approvalOf,
  approvalPath,
  connection,
  decide,
  held,
  ORDERS,
  prepare,
  secret,
  TARGET_PASSWORD,
} from './operator/people.ts';
import {
  ACCESS,
  AGENTS,
  renderChart,
  startWorld,
  SYSTEM,
  type Manifest,
  type World,
} from './operator/world.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';

const unavailable = (await controlPlaneUnavailable()) ?? (await objectStoreUnavailable());
const ACCOUNT = `system:serviceaccount:${SYSTEM}:sidewarden`;

interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

suite("the operator's rights", { skip: unavailable ?? false, timeout: 900_000 }, () => {
  let world: World;
  let postgres: TestPostgres;
  let store: TestObjectStore;
  let folder: string;
  const hidden: string[] = [TARGET_PASSWORD, STORE_CREDENTIALS.secretAccessKey];
  const seen: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sidewarden-audit-'));
    const policy = {
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      omitStages: ['RequestReceived'],
      rules: [{ level: 'Metadata', users: [ACCOUNT] }, { level: 'None' }],
    };
    await writeFile(join(folder, 'policy.json'), JSON.stringify(policy));
    [postgres, store] = await Promise.all([startPostgres(), startObjectStore()]);
    await store.makeBucket('recordings');
    world = await startWorld({
      flags: [
        `--audit-policy-file=${join(folder, 'policy.json')}`,
        `--audit-log-path=${join(folder, 'audit.log')}`,
        '--enable-admission-plugins=OwnerReferencesPermissionEnforcement',
      ],
      env: { SIDEWARDEN_ENDED_TTL_SECONDS: '1' },
      // Of an earlier installation: made anew.
      present: [
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'sidewarden-certificates', namespace: SYSTEM },
          stringData: { 'ca.crt': 'old' },
        },
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'sidewarden-recording-key', namespace: SYSTEM },
          data: { 'recording.ed25519.pub': 'old' },
        },
      ],
    });
    await prepare(world);
  });
  after(async () => {
    await world.stop();
    await Promise.all([postgres.stop(), store.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  test('everything is used once', async () => {
    const admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    await admin.query('CREATE TABLE orders (id int)');
    await admin.end();
    hidden.push(postgres.password);
    await world.apply(
      secret('live', { username: postgres.user, password: postgres.password }),
      secret('recordings-store', { ...STORE_CREDENTIALS }),
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'recordings', namespace: ACCESS },
        data: store.config('recordings'),
      },
      connection('orders-db', 15_432, {
        target: { host: postgres.host, port: postgres.port, database: 'postgres', tls: { mode: 'disable' } },
        credentials: { secretRef: { name: 'live' } },
        recording: { configMapRef: { name: 'recordings' } },
        role: { provision: true, grants: [{ tables: ['public.orders'], privileges: ['SELECT'] }] },
      }),
    );
    const ready = async (path: string, type: string) =>
      until(
        `${path} is ${type}`,
        async () => {
          const { text } = await world.admin.get(path);
          return new RegExp(`"status":"True","type":"${type}"`).test(text) || undefined;
        },
        { limit: 90_000 },
      );
    const own = `/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}`;
    await ready(`${own}/protectedconnections/orders-db`, 'RecordingReady');
    await ready(`${own}/accesspolicies/orders`, 'Ready');
    const other = await world.replica('two');
    const run = await world.run('job', ORDERS);
    hidden.push(run.token, run.token.split('.')[2] ?? '');
    const stream = await world.sidecar(run.token, other.ports.broker).listen();
    await stream.next('configuration');
    seen.push(stream.text);
    const { status, body } = await run.sidecar.post('/v1/sessions', { connection: ORDERS });
    assert.equal(status, 200, JSON.stringify(body));
    hidden.push(String(body['password']));
    const used = await held(run);
    const answer = await decide(await world.as({ ...alice, groups: [...alice.groups] }), used);
    assert.equal(answer.status, 200, answer.text);
    await stream.next('decision');
    await run.sidecar.post('/v1/approvals/end', { connection: ORDERS, name: used, how: 'used' });
    await held(run);
    await run.sidecar.post('/v1/approvals/lost', { connection: ORDERS });
    const report = { connection: ORDERS, decisions: { allow: 1, deny: 0, hold: 2 }, recordings: 0 };
    await run.sidecar.post('/v1/sessions/report', { ...report, ended: 'yes' });
    const errors = [
      await run.sidecar.post('/v1/sessions', { connection: `${ACCESS}/closed-db` }),
      await run.sidecar.post('/v1/sessions', { connection: 3 }),
      await run.sidecar.post('/v1/recordings/upload', {
        connection: ORDERS,
        recording: 'x',
        file: 'x',
        bytes: 1,
        digest: 'x',
      }),
    ];
    seen.push(JSON.stringify(errors));
    const told = async () => {
      const { json } = await world.admin.get(`/api/v1/namespaces/${AGENTS}/events`);
      const events = Object.values(inside(json, 'items')).map((event) => inside({ event }, 'event'));
      const refused = events.find(({ message }) => String(message).startsWith(`${ACCESS}/closed-db: `));
      return refused && Number(refused['count']);
    };
    // Asking once more before the first is told would make one Event, and count nothing in it afterwards.
    const first = await until('a refusal is told', told);
    await run.sidecar.post('/v1/sessions', { connection: `${ACCESS}/closed-db` });
    await until('the Event is counted', async () => ((await told()) ?? 0) > first || undefined);
    await world.admin.merge(`/api/v1/namespaces/${AGENTS}/pods/job/status`, {
      status: { phase: 'Succeeded' },
    });
    const gone = async (path: string) =>
      until(`${path} is gone`, async () => (await world.admin.get(path)).status === 404 || undefined, {
        limit: 90_000,
      });
    seen.push((await world.admin.get(`${own}/sessions`)).text, JSON.stringify(await approvalOf(world, used)));
    await gone(approvalPath(used));
    await gone(`${own}/sessions/${String(body['session'])}`);
    await world.admin.delete(`${own}/protectedconnections/orders-db`);
    await gone(`${own}/protectedconnections/orders-db`);
    await other.close();
  });

  test('nothing that it asks for is denied', async () => {
    const denied = (await audited(folder)).filter(
      ({ responseStatus, annotations }) =>
        responseStatus?.code === 403 || annotations?.['authorization.k8s.io/decision'] === 'forbid',
    );
    assert.deepEqual(
      denied.map(({ verb, requestURI }) => `${verb} ${requestURI}`),
      [],
    );
  });

  test('no right stands there unused', async () => {
    const used = new Set((await audited(folder)).map(rightOf));
    const unused = (await granted()).filter((right) => !used.has(right));
    assert.deepEqual(unused, []);
  });

  test('of its own namespace it reads the Secrets that it made, and no others', async () => {
    const account = world.bearing(
      (await world.plane.kubectl(['create', 'token', 'sidewarden', '-n', SYSTEM])).trim(),
    );
    await world.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'sh.helm.release.v1.sidewarden.v1', namespace: SYSTEM },
      stringData: { release: 'x' },
    });
    const read = async (path: string) => (await account.get(path)).status;
    assert.equal(await read(`/api/v1/namespaces/${SYSTEM}/secrets/sidewarden-certificates`), 200);
    for (const path of [
      `/api/v1/namespaces/${SYSTEM}/secrets/sh.helm.release.v1.sidewarden.v1`,
      `/api/v1/namespaces/${SYSTEM}/secrets`,
      `/api/v1/namespaces/${ACCESS}/secrets`,
      `/api/v1/namespaces/${AGENTS}/secrets/x`,
      `/api/v1/secrets`,
      '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/other',
    ])
      assert.equal(await read(path), 403, path);
    account.close();
  });

  test('no secret is in a log, an event, a status, an error or a metric', async () => {
    const own = await world.admin.get(`/api/v1/namespaces/${SYSTEM}/secrets`);
    const items = Object.values(inside(own.json, 'items')).flatMap((item) =>
      Object.values(inside(inside({ item }, 'item'), 'data')),
    );
    for (const value of items) {
      const plain = Buffer.from(String(value), 'base64');
      // Certificates are for everyone.
      if (plain.length > 20 && !plain.includes('BEGIN CERTIFICATE'))
        hidden.push(String(value), plain.toString('base64url'));
    }
    const kinds = 'protectedconnections,accesspolicies,sessions,approvals,events,pods,configmaps,leases';
    const outputs: Readonly<Record<string, string>> = {
      objects: await world.plane.kubectl(['get', kinds, '-A', '-o', 'json']),
      logs: world.lines.join(''),
      answers: seen.join('\n'),
      metrics: await (await fetch(`http://127.0.0.1:${world.operator.ports.http}/metrics`)).text(),
      audit: await readFile(join(folder, 'audit.log'), 'utf8'),
    };
    for (const [where, text] of Object.entries(outputs))
      for (const each of hidden) assert.ok(!text.includes(each), `${where} has ${each.slice(0, 4)}…`);
    for (const [where, text] of Object.entries(outputs)) assert.ok(text.length > 100, where);
    assert.ok(hidden.length > 8, String(hidden.length));
  });
});

async function audited(folder: string): Promise<readonly AuditEvent[]> {
  const text = await readFile(join(folder, 'audit.log'), 'utf8');
  // The API server's own format, a line each; the last may not be whole yet.
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditEvent);
}

/** `cluster` or the namespace that a Role is of, then verb, group and resource. */
function rightOf({ verb, objectRef = {} }: AuditEvent): string {
  const { apiGroup = '', resource = '', subresource, namespace = '' } = objectRef;
  const scoped = /^(secrets|configmaps|leases)$/.test(resource) ? namespace : 'cluster';
  return `${scoped} ${verb} ${apiGroup}/${resource}${subresource === undefined ? '' : `/${subresource}`}`;
}

async function granted(): Promise<readonly string[]> {
  const rendered = await renderChart([ACCESS]);
  const roles = rendered.filter(
    ({ kind, metadata }) => /^(Cluster)?Role$/.test(kind) && !metadata.name.endsWith('-approver'),
  );
  return roles.flatMap((role) => rulesOf(role).flatMap((rule) => rightsOf(role, rule)));
}

function rulesOf(role: Manifest): readonly Rule[] {
  // As the chart renders them.
  return role['rules'] as readonly Rule[];
}

function rightsOf({ kind, metadata }: Manifest, { apiGroups, resources, verbs }: Rule): readonly string[] {
  const scope = kind === 'Role' ? (metadata.namespace ?? '') : 'cluster';
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) => verbs.map((verb) => `${scope} ${verb} ${group}/${resource}`)),
  );
}
