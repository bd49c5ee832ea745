/** Connections, policies and people of the attacks: what each may by RBAC, and whom the rules name. */
import type { Approval } from '../../crds/approval.ts';
import { alterOrders } from '../../sidecar/approval/fixture.ts';
import { until } from '../cluster/component.ts';
import { inside, type Answer, type Client } from './client.ts';
import { ACCESS, type Run, type World } from './world.ts';

/** One of the rule's approvers, with the chart's role. */
export const alice = { user: 'alice', groups: ['dba'] };
export const amir = { user: 'amir', groups: ['dba'] };

/** None of them may decide on `orders-db`, for a reason each. */
export const outsiders = {
  'has the role, and is no approver of the rule': { user: 'eve', groups: ['developers'] },
  'is an approver of the rule, and may approve another connection alone': { user: 'otto', groups: ['dba'] },
  'is an approver of the rule, without the verb': { user: 'dora', groups: ['dba'] },
  'has everything in the namespace': { user: 'wanda', groups: ['developers'] },
  'is cluster-admin': { user: 'root', groups: ['system:masters'] },
  'is the run, in the group': {
    user: 'system:serviceaccount:agents:agent',
    groups: ['dba', 'system:serviceaccounts', 'system:serviceaccounts:agents', 'system:authenticated'],
  },
  'looks like an approver': { user: 'аlice', groups: ['dba ', 'DBA', 'dbа'] },
} as const;

/** RBAC lets nothing of it pass. */
export const powerless = {
  'has the role edit': { user: 'edith', groups: ['dba'] },
  'has the role admin': { user: 'adam', groups: ['dba'] },
} as const;

export const wanda = outsiders['has everything in the namespace'];
export const eve = outsiders['has the role, and is no approver of the rule'];
export const root = outsiders['is cluster-admin'];
export const agent = outsiders['is the run, in the group'];
/** Of the group, with the status of approvals in hand. */
export const stan = { user: 'stan', groups: ['dba'] };

const RBAC = 'rbac.authorization.k8s.io';

export async function prepare(world: World, target: object = {}): Promise<void> {
  const role = (name: string, ...rules: readonly object[]) => ({
    apiVersion: `${RBAC}/v1`,
    kind: 'Role',
    metadata: { name, namespace: ACCESS },
    rules: rules.map((rule) => ({ apiGroups: ['sidewarden.dev'], ...rule })),
  });
  const bind = (kind: string, name: string, ...users: readonly string[]) => ({
    apiVersion: `${RBAC}/v1`,
    kind: 'RoleBinding',
    metadata: { name: `${name}-of-people`, namespace: ACCESS },
    roleRef: { apiGroup: RBAC, kind, name },
    subjects: users.map((user) => ({ apiGroup: RBAC, kind: 'User', name: user })),
  });
  const see = { resources: ['approvals'], verbs: ['get', 'list', 'watch', 'patch', 'update'] };
  const approve = { resources: ['protectedconnections'], verbs: ['approve'] };
  await world.apply(
    role('one-connection', see, { ...approve, resourceNames: ['other-db'] }),
    role('no-verb', see),
    role('status', see, approve, {
      resources: ['approvals/status', 'sessions/status'],
      verbs: ['get', 'patch', 'update'],
    }),
    role('all', { resources: ['*'], verbs: ['*'] }),
    bind('Role', 'one-connection', 'otto'),
    bind('Role', 'no-verb', 'dora'),
    bind('Role', 'status', stan.user),
    bind('Role', 'all', wanda.user),
    bind('ClusterRole', 'edit', 'edith'),
    bind('ClusterRole', 'admin', 'adam'),
    bind('ClusterRole', 'sidewarden-sidewarden-system-approver', 'alice', 'amir', 'eve', 'аlice', agent.user),
    secret('admin', { username: 'postgres', password: TARGET_PASSWORD }),
    connection('orders-db', 15_432, { ...target }),
    connection('other-db', 15_433, { ...target }),
    connection('closed-db', 15_434, { ...target, allowedNamespaces: { matchLabels: { agents: 'others' } } }),
    POLICY,
  );
  await until('pods get sidecars', async () => {
    const injected = await Promise.all([ORDERS, OTHER].map((id) => world.injects(id)));
    return !injected.includes(false) || undefined;
  });
  // The operator hears of them by its watches, one for each kind, and says then what it thinks of them; injection asks live.
  for (const path of [
    'protectedconnections/orders-db',
    'protectedconnections/other-db',
    `accesspolicies/${POLICY.metadata.name}`,
  ])
    await until(`the operator knows ${path}`, async () => {
      const { json } = await world.admin.get(`/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}/${path}`);
      return inside(json, 'status')['conditions'] !== undefined || undefined;
    });
}

export const TARGET_PASSWORD = 'password-of-the-target-1f3a';
export const ORDERS = `${ACCESS}/orders-db`;
export const OTHER = `${ACCESS}/other-db`;

export function secret(name: string, stringData: Readonly<Record<string, string>>): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: ACCESS }, stringData };
}

export function connection(name: string, port: number, more: object = {}): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name, namespace: ACCESS },
    spec: {
      protocol: 'postgres',
      target: { host: '127.0.0.1', database: 'orders', tls: { mode: 'disable' } },
      credentials: { secretRef: { name: 'admin' } },
      allowedNamespaces: { matchLabels: { agents: 'true' } },
      identity: { sources: [{ serviceAccount: {} }] },
      listen: { port },
      limits: { maxPendingApprovals: 30 },
      ...more,
    },
  };
}

const hold = (name: string, timeout: string, groups: readonly string[] = ['dba']) => ({
  name,
  when: '"ddl" in sql.effects',
  action: 'Hold',
  hold: { approvers: { groups }, timeout },
});
export const POLICY = {
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'orders', namespace: ACCESS },
  spec: {
    connections: ['orders-db', 'other-db'],
    subjects: [{ everyone: true }],
    rules: [
      hold('schema', '10m'),
      hold('quick', '2s'),
      hold('both', '10m', ['sre']),
      { name: 'reads', when: 'sql.effects == ["read"]', action: 'Allow' },
      { name: 'never', when: 'sql.verb == "DROP DATABASE"', action: 'Deny' },
    ],
  },
} as const;

let asked = 0;

/** What a sidecar asks for, with anything in it. */
export function message(more: object = {}, operation: object = {}): Readonly<Record<string, unknown>> {
  asked += 1;
  return {
    connection: ORDERS,
    recording: 'rec-1',
    operation: { ...alterOrders(`ALTER TABLE orders ADD note${asked} text`), ...operation },
    digest: `sha256:${asked.toString(16).padStart(64, '0')}`,
    requirements: [{ policy: `${ACCESS}/orders`, rule: 'schema' }],
    evidence: { estimatedRows: 12 },
    ...more,
  };
}

/** Asks, and gives the Approval's name. */
export async function held(run: Run, more: object = {}, operation: object = {}): Promise<string> {
  const { status, body } = await run.sidecar.post('/v1/approvals', message(more, operation));
  if (status !== 200 || body['kind'] !== 'pending') throw new Error(`${status} ${JSON.stringify(body)}`);
  return String(body['name']);
}

export const approvalPath = (name = '') =>
  `/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}/approvals${name === '' ? '' : `/${name}`}`;

export const verdict = (verdict: string, more: object = {}) => ({ spec: { decision: { verdict, ...more } } });

export function decide(client: Client, name: string, word = 'Approve'): Promise<Answer> {
  return client.merge(approvalPath(name), verdict(word));
}

/** As it is stored. */
export async function approvalOf(world: World, name: string): Promise<Approval> {
  const { json } = await world.admin.get(approvalPath(name));
  // The API server's own answer; tests see where it is none.
  return json as unknown as Approval;
}
