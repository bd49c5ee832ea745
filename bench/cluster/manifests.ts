/** What is in the cluster of the bench: who runs, who decides, on what. */
import type { TestPostgres } from '../../e2e/postgres.ts';

export const OPERATOR = 'sidewarden';
export const ACCESS = 'access';
export const AGENTS = 'agents';
/** As AGENTS, and its pods must have the sidecar. */
export const ENFORCED = 'enforced';
export const LEDGER = `${ACCESS}/ledger`;
/** As the ledger, recorded in the object store with `strict` durability. */
export const RECORDED = `${ACCESS}/recorded`;
export const BUCKET = 'recordings';
/** Service accounts that runs in AGENTS may be of: what one identity may ask for is limited. */
export const TEAMS = Array.from({ length: 20 }, (_, index) => `team-${index}`);
export const approver = { user: 'alice', groups: ['dba'] };

export interface World {
  readonly postgres: TestPostgres;
  readonly ports: { readonly ledger: number; readonly recorded: number };
  /** Data of the ConfigMap that names the store, and of its Secret. */
  readonly store: Readonly<Record<string, string>>;
  readonly storeSecret: Readonly<Record<string, string>>;
}

const namespace = (name: string, labels: Readonly<Record<string, string>> = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

const account = (name: string, namespace_: string) => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name, namespace: namespace_ },
});

export function foundations(): readonly object[] {
  const agents = { agents: 'true' };
  return [
    namespace(OPERATOR),
    namespace(ACCESS),
    namespace(AGENTS, agents),
    namespace(ENFORCED, { ...agents, 'sidewarden.dev/enforce': 'true' }),
    account('sidewarden', OPERATOR),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'operator' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'sidewarden', namespace: OPERATOR }],
    },
    account('agent', ENFORCED),
    account('agent', AGENTS),
    ...TEAMS.map((team) => account(team, AGENTS)),
    ...approverRights(),
  ];
}

function approverRights(): readonly object[] {
  const ours = (resources: readonly string[], verbs: readonly string[]) => ({
    apiGroups: ['sidewarden.dev'],
    resources,
    verbs,
  });
  const metadata = { name: 'approver', namespace: ACCESS };
  const apiGroup = 'rbac.authorization.k8s.io';
  const rules = [
    ours(['approvals'], ['get', 'list', 'watch', 'patch']),
    ours(['protectedconnections'], ['approve']),
  ];
  return [
    { apiVersion: `${apiGroup}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: 'approver' },
      subjects: [{ apiGroup, kind: 'User', name: approver.user }],
    },
  ];
}

export function access({ postgres, ports, store, storeSecret }: World): readonly object[] {
  const secret = (name: string, stringData: Readonly<Record<string, string>>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: ACCESS },
    stringData,
  });
  return [
    secret('admin', { username: postgres.user, password: postgres.password }),
    secret('recordings-store', storeSecret),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'recordings', namespace: ACCESS },
      data: store,
    },
    connection('ledger', postgres, ports.ledger, {}),
    connection('recorded', postgres, ports.recorded, {
      configMapRef: { name: 'recordings' },
      durability: 'strict',
    }),
    policy(),
  ];
}

function connection(name: string, { host, port }: TestPostgres, listen: number, recording: object): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name, namespace: ACCESS },
    spec: {
      protocol: 'postgres',
      target: { host, port, database: 'postgres', tls: { mode: 'disable' } },
      credentials: { secretRef: { name: 'admin' } },
      allowedNamespaces: { matchLabels: { agents: 'true' } },
      identity: { sources: [{ serviceAccount: {} }] },
      role: {
        provision: true,
        grants: [{ tables: ['public.ledger'], privileges: ['SELECT', 'INSERT'] }],
      },
      recording,
      limits: { maxPendingApprovals: 100 },
      listen: { port: listen },
    },
  };
}

function policy(): object {
  const held = { approvers: { groups: ['dba'] }, timeout: '1h' };
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'usual', namespace: ACCESS },
    spec: {
      connections: ['ledger', 'recorded'],
      subjects: [{ everyone: true }],
      rules: [
        { name: 'reads', when: 'sql.effects.all(e, e in ["read", "session"])', action: 'Allow' },
        { name: 'writes', when: '"write" in sql.effects', action: 'Hold', hold: held },
        { name: 'never', when: '"ddl" in sql.effects || "opaque" in sql.effects', action: 'Deny' },
      ],
    },
  };
}
