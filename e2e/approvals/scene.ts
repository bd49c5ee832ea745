/** A real API server with the operator's stamp and validation in front of its Approvals, and people with certificates of their own. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { parseApproval, type Approval } from '../../crds/approval.ts';
import { parseConnection, type ProtectedConnection } from '../../crds/connection.ts';
import { approvalHandler, stampHandler } from '../../operator/admission/approvals.ts';
import { object as json, type Json } from '../../operator/admission/json.ts';
import { startAdmission, type Handler } from '../../operator/admission/server.ts';
import { sessionHandler } from '../../operator/admission/sessions.ts';
import { createApprovals, type Approvals } from '../../operator/approval/approvals.ts';
import type { ToldOutcome } from '../../operator/approval/outcome.ts';
import type { ApprovalRun } from '../../operator/approval/request.ts';
import { loadStamper, type Stamper } from '../../operator/approval/stamp.ts';
import { connectKube, type RunningKube } from '../../operator/kube/connect.ts';
import { SESSIONS } from '../../operator/kube/kube.ts';
import { approvalController } from '../../operator/reconcile/approval.ts';
import { runController } from '../../operator/reconcile/controller.ts';
import { alterOrders } from '../../sidecar/approval/fixture.ts';
import type { ApprovalMessage } from '../../sidecar/broker/protocol.ts';
import { OWN_KINDS, webhooksAt } from '../admission/webhooks.ts';
import { createAuthority } from '../cluster/certificates.ts';
import { until } from '../cluster/component.ts';
import { startControlPlane, type ControlPlane } from '../cluster/control-plane.ts';
import { kindsServed } from '../cluster/kinds.ts';

export const NAMESPACE = 'production-access';
const OPERATOR = 'system:serviceaccount:sidewarden:sidewarden';

export const alice = { user: 'alice', groups: ['dba'] };
export const amir = { user: 'amir', groups: ['dba'] };
export const sven = { user: 'sven', groups: ['sre'] };
/** May approve the connection, and is no rule's approver. */
export const eve = { user: 'eve', groups: ['developers'] };
/** An approver of the rules who lacks the verb `approve`. */
export const dora = { user: 'dora', groups: ['dba', 'no-verb'] };
/** May do everything that RBAC can allow. */
export const root = { user: 'root', groups: ['system:masters'] };

export interface Asking {
  readonly text?: string;
  readonly rules?: readonly string[];
  readonly recording?: string;
  readonly key?: string;
  readonly run?: ApprovalRun;
}

export interface Scene {
  readonly plane: ControlPlane;
  readonly kube: RunningKube;
  readonly approvals: Approvals;
  readonly stamper: Stamper;
  readonly run: ApprovalRun;
  readonly told: ReadonlyMap<string, readonly ToldOutcome[]>;
  /** A run of its own, with a Session. */
  newRun(name: string): Promise<ApprovalRun>;
  /** Asks, and gives the Approval's name: by `run` at first, by others like it later. */
  ask(asking?: Asking): Promise<string>;
  read(name: string): Promise<Approval>;
  outcome(name: string): Promise<ToldOutcome>;
  phase(name: string, phase: string): Promise<Approval>;
  /** Runs something while another mutating webhook changes each Approval after ours. */
  withOther(change: (spec: Json) => Json, what: () => Promise<void>): Promise<void>;
  /** Runs something while the webhooks are gone. */
  withoutWebhooks(what: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

export async function startScene(): Promise<Scene> {
  const log = pino({ level: 'silent' });
  const plane = await startControlPlane({ controllers: true });
  for (const kind of ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'])
    await plane.apply(await readFile(`crds/${kind}.yaml`, 'utf8'));
  await kindsServed(plane);
  await plane.apply(rights());
  const kubeconfig = await plane.kubeconfigFor({ user: OPERATOR, groups: ['system:masters'] });
  const kube = await connectKube({ kubeconfig, log });
  await kube.synced;
  const stamper = await loadStamper(kube, 'sidewarden');
  const admission = await admit(plane, kube, stamper);
  const approvals = createApprovals({ kube, stamper, log });
  const controller = runController(approvalController({ kube, stamper, log }), { log });
  await plane.apply(MANIFESTS);
  const parsed = parseConnection(await object(plane, 'protectedconnection', 'orders-db'));
  if (parsed.kind !== 'parsed') throw new Error(JSON.stringify(parsed.errors));
  await until('policies are cached', () => kube.stores.policies.list(NAMESPACE).length > 0 || undefined);
  const told = new Map<string, ToldOutcome[]>();
  const newRun = (name: string) => makeRun(kube, name, parsed.value);
  const heardRun = async (name: string) => {
    const made = await newRun(name);
    approvals.outcomes(made, (asked, outcome) => told.set(asked, [...(told.get(asked) ?? []), outcome]));
    return made;
  };
  const run = await heardRun('orders-db-one');
  let current = run;
  let askedBy = 0;
  // A session may ask ten times at once.
  const nextRun = async () => {
    if (askedBy > 0 && askedBy % 5 === 0) current = await heardRun(`orders-db-one-${askedBy}`);
    askedBy += 1;
    return current;
  };
  const read = async (name: string) => {
    const found = parseApproval(await object(plane, 'approval', name));
    if (found.kind === 'parsed') return found.value;
    throw new Error(JSON.stringify(found.errors));
  };
  return {
    plane,
    kube,
    approvals,
    stamper,
    run,
    told,
    newRun,
    read,
    ask: async (asking = {}) => {
      const answer = await approvals.ask(asking.run ?? (await nextRun()), messageOf(asking));
      if (answer.name === undefined) throw new Error(JSON.stringify(answer.denial));
      return answer.name;
    },
    outcome: (name) => until(`an outcome of ${name}`, async () => told.get(name)?.[0], { every: 5 }),
    phase: (name, phase) =>
      until(`${name} is ${phase}`, async () => {
        const found = await read(name);
        return found.status?.phase === phase ? found : undefined;
      }),
    withOther: async (change, what) => {
      admission.other = change;
      await what().finally(() => (admission.other = same));
    },
    withoutWebhooks: async (what) => {
      await admission.remove();
      try {
        await what();
      } finally {
        await admission.install();
      }
    },
    close: async () => {
      approvals.close();
      await controller.stop();
      await kube.close();
      await admission.close();
      await plane.stop();
    },
  };
}

async function admit(plane: ControlPlane, kube: RunningKube, stamper: Stamper) {
  const authority = await createAuthority(join(plane.folder, 'admission-pki'));
  const pair = await authority.server(['IP:127.0.0.1']);
  const options = { kube, stamper, operator: OPERATOR, approverRole: 'sidewarden-approver' };
  const held = { other: same, mutates: false };
  const validate: Readonly<Record<string, Handler>> = {
    approvals: approvalHandler(options),
    sessions: sessionHandler(OPERATOR),
  };
  const handlers: Readonly<Record<string, Handler>> = {
    '/stamp': stampHandler(options),
    '/other': ({ object: given }) => ({
      kind: 'allowed',
      ...(given === undefined ? {} : { object: { ...given, spec: held.other(json(given['spec'])) } }),
    }),
    '/probe': () => {
      held.mutates = true;
      return { kind: 'allowed' };
    },
    '/validate': (request) => validate[request.resource.resource]?.(request) ?? { kind: 'allowed' },
  };
  const server = await startAdmission({
    port: 0,
    address: '127.0.0.1',
    certificates: {
      current: () => ({ ...pair, bundle: authority.certificate }),
      watch: () => () => undefined,
      close: async () => undefined,
    },
    handlers,
    log: pino({ level: 'silent' }),
  });
  const caBundle = Buffer.from(authority.certificate).toString('base64');
  const client = (path: string) => ({ url: `https://127.0.0.1:${server.port}${path}`, caBundle });
  const configurations = webhooksAt(client, (path) => OWN_KINDS.includes(path));
  const [mutating] = configurations;
  const [stamp] = mutating?.webhooks ?? [];
  const other = {
    ...mutating,
    metadata: { name: 'zz-other' },
    webhooks: [
      {
        ...stamp,
        name: 'other.example.com',
        clientConfig: client('/other'),
      },
    ],
  };
  await plane.apply(JSON.stringify(other));
  const [rule] = stamp?.rules ?? [];
  // The API server follows each configuration on its own: that one is heard of says nothing of the other.
  const probe = {
    ...stamp,
    name: 'probe.example.com',
    rules: [{ ...rule, operations: ['CREATE'], resources: ['sessions'] }],
    clientConfig: client('/probe'),
  };
  const yaml = [{ ...mutating, webhooks: [...(mutating?.webhooks ?? []), probe] }, ...configurations.slice(1)]
    .map((each) => JSON.stringify(each))
    .join('\n---\n');
  /** How many of the two configurations are heard of. */
  const called = async () => {
    held.mutates = false;
    const tried = await plane.kubectlOutcome(['create', '--dry-run=server', '-f', '-'], {
      input: JSON.stringify(sessionOf('webhook-probe')),
    });
    return Number(held.mutates) + Number(tried.stderr.includes("Sidewarden's operator alone"));
  };
  const install = async () => {
    await plane.apply(yaml);
    await until('the webhooks are called', async () => (await called()) === 2 || undefined);
  };
  const remove = async () => {
    await plane.kubectl([
      'delete',
      'mutatingwebhookconfiguration,validatingwebhookconfiguration',
      'sidewarden',
    ]);
    await until('the webhooks are gone', async () => (await called()) === 0 || undefined);
  };
  await install();
  return Object.assign(held, { install, remove, close: () => server.close() });
}

const same = (spec: Json): Json => spec;

async function object(plane: ControlPlane, kind: string, name: string): Promise<unknown> {
  return JSON.parse(await plane.kubectl(['get', kind, name, '-n', NAMESPACE, '-o', 'json']));
}

function sessionOf(name: string) {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Session',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      connection: 'orders-db',
      identity: { ...IDENTITY, groups: [...IDENTITY.groups] },
      startedAt: new Date().toISOString(),
    },
  };
}

const IDENTITY = {
  issuer: 'sidewarden:serviceAccount',
  subject: 'system:serviceaccount:agents:runner',
  username: 'system:serviceaccount:agents:runner',
  groups: ['ai-agents', 'dba'],
  serviceAccount: 'agents/runner',
  pod: 'agents/job-1',
} as const;

async function makeRun(
  kube: RunningKube,
  name: string,
  connection: ProtectedConnection,
): Promise<ApprovalRun> {
  const made = await kube.create(SESSIONS, sessionOf(name));
  if (made.kind !== 'written') throw new Error(JSON.stringify(made));
  const status = { phase: 'Active' };
  await kube.patch(SESSIONS, NAMESPACE, name, { status }, 'status');
  const { uid } = made.object.metadata;
  // Limits go by the subject: tests ask more than one run may.
  const identity = { ...IDENTITY, subject: name, claims: {} };
  return { identity, session: { namespace: NAMESPACE, name, uid }, connection };
}

let asked = 0;

export function messageOf({
  text,
  rules = ['schema'],
  recording = 'rec-1',
  key,
}: Asking = {}): ApprovalMessage {
  asked += 1;
  const statement = text ?? `ALTER TABLE orders ADD note${asked} text`;
  return {
    ...(key === undefined ? {} : { key }),
    connection: `${NAMESPACE}/orders-db`,
    recording,
    operation: { ...alterOrders(statement) },
    digest: `sha256:${asked.toString(16).padStart(64, '0')}`,
    requirements: rules.map((rule) => ({ policy: `${NAMESPACE}/orders`, rule })),
    evidence: { estimatedRows: 12 },
  };
}

const MANIFESTS = `
apiVersion: sidewarden.dev/v1alpha1
kind: ProtectedConnection
metadata: { name: orders-db, namespace: ${NAMESPACE} }
spec:
  protocol: postgres
  target: { host: orders.db.internal, database: orders }
  credentials: { secretRef: { name: orders-db-admin } }
  identity: { sources: [ { serviceAccount: {} } ] }
  listen: { port: 15432 }
  limits: { maxPendingApprovals: 100 }
---
apiVersion: sidewarden.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders, namespace: ${NAMESPACE} }
spec:
  connections: [orders-db]
  subjects: [ { everyone: true } ]
  rules:
    - { name: schema, when: '"ddl" in sql.effects', action: Hold, hold: { approvers: { groups: [dba] } } }
    - { name: operations, when: '"ddl" in sql.effects', action: Hold, hold: { approvers: { groups: [sre] } } }
    - { name: quick, when: '"ddl" in sql.effects', action: Hold, hold: { approvers: { groups: [dba] }, timeout: 2s } }
    - { name: reads, when: 'sql.effects == ["read"]', action: Allow }
`;

function rights(): string {
  const people = [
    'alice',
    'amir',
    'sven',
    'eve',
    'system:serviceaccount:agents:runner',
    'system:serviceaccount:agents:other',
  ];
  const role = (name: string, rules: readonly object[]) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name },
    rules,
  });
  const bind = (name: string, users: readonly string[]) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name, namespace: NAMESPACE },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: users.map((user) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user })),
  });
  const see = {
    apiGroups: ['sidewarden.dev'],
    resources: ['approvals', 'approvals/status'],
    verbs: ['get', 'list', 'watch', 'patch', 'update', 'create', 'delete'],
  };
  const sessions = {
    apiGroups: ['sidewarden.dev'],
    resources: ['sessions'],
    verbs: ['get', 'list', 'watch'],
  };
  const approve = { apiGroups: ['sidewarden.dev'], resources: ['protectedconnections'], verbs: ['approve'] };
  const objects = [
    ...['sidewarden', 'agents', NAMESPACE].map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
    })),
    role('sidewarden-approver', [see, sessions, approve]),
    role('try', [see, sessions]),
    bind('sidewarden-approver', people),
    bind('try', ['dora']),
  ];
  return objects.map((each) => JSON.stringify(each)).join('\n---\n');
}
