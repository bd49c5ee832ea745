/** What the story of the pods plays with: further connections, policies, namespaces, and a database that demands TLS. */
import { createAuthority } from '../cluster/certificates.ts';
import { join } from 'node:path';
import { ACCESS, AGENTS, type Stage } from './stage.ts';

export const RESTRICTED = 'agents-restricted';
export const LIMITED = 'agents-limited';
export const LEAVING = 'agents-leaving';
/** Of the role `reader`, which is used as it is. */
export const READER_PASSWORD = 'reader-7f3a91c4';

interface ConnectionWish {
  readonly name: string;
  readonly port: number;
  readonly secret?: string;
  readonly host?: string;
  readonly database?: string;
  readonly tls?: unknown;
  readonly more?: Readonly<Record<string, unknown>>;
}

function connection(wish: ConnectionWish): unknown {
  const { name, port, secret = 'reader', host = 'orders', database = 'orders', more } = wish;
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name, namespace: ACCESS },
    spec: {
      protocol: 'postgres',
      target: {
        host: `${host}.databases.svc.cluster.local`,
        port: 5432,
        database,
        tls: wish.tls ?? { mode: 'disable' },
      },
      credentials: { secretRef: { name: secret } },
      allowedNamespaces: { matchLabels: { 'sidewarden.dev/agents': 'true' } },
      identity: { sources: [{ serviceAccount: {} }] },
      recording: { configMapRef: { name: 'recordings' }, durability: 'batched' },
      listen: { port },
      ...more,
    },
  };
}

function policy(
  name: string,
  connections: readonly string[],
  namespaces: readonly string[],
  spec: unknown,
): unknown {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name, namespace: ACCESS },
    spec: {
      connections,
      subjects: [{ groups: namespaces.map((namespace) => `system:serviceaccounts:${namespace}`) }],
      ...(typeof spec === 'object' ? spec : {}),
    },
  };
}

const READS = { name: 'reads', when: 'sql.effects == ["read"]', action: 'Allow' };
const SLEEPS = {
  name: 'sleeps',
  when: 'sql.functions.exists(f, f.name.endsWith("pg_sleep"))',
  action: 'Allow',
};
export const READING = policy('reading', ['orders-db'], [RESTRICTED, LIMITED, LEAVING], { rules: [READS] });
const CARDS = [{ columns: ['public.customers.card'], with: 'Redact' }];

const POLICIES = [
  READING,
  policy('sleeping', ['orders-db'], [AGENTS], { rules: [SLEEPS] }),
  policy('others', ['stock-db', 'small-db', 'secure-db', 'mistaken-db'], [AGENTS], {
    rules: [READS],
    masks: CARDS,
  }),
  policy('doomed', ['doomed-db'], [AGENTS, LEAVING], { rules: [READS, SLEEPS] }),
  policy('watching', ['observed-db'], [AGENTS], {
    mode: 'Observe',
    rules: [{ name: 'nothing', when: 'true', action: 'Deny' }],
    masks: CARDS,
  }),
];

const CONNECTIONS = [
  connection({ name: 'stock-db', port: 15_433, database: 'stock' }),
  connection({ name: 'observed-db', port: 15_434 }),
  connection({ name: 'small-db', port: 15_435, more: { limits: { maxMessageBytes: 65_536 } } }),
  connection({ name: 'mistaken-db', port: 15_436, secret: 'mistaken' }),
  connection({ name: 'doomed-db', port: 15_437 }),
  connection({
    name: 'secure-db',
    port: 15_438,
    secret: 'postgres-secure',
    host: 'secure',
    database: 'stock',
    tls: { mode: 'verify-full', caFrom: { configMapKeyRef: { name: 'authority', key: 'ca.crt' } } },
    more: { listen: { port: 15_438, tls: { secretRef: { name: 'secure-listener' } } } },
  }),
];

function namespace(name: string, labels: Readonly<Record<string, string>> = {}): unknown {
  const ours = { 'sidewarden.dev/agents': 'true', 'sidewarden.dev/enforce': 'true' };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ...ours, ...labels } } };
}

const NAMESPACES = [
  namespace(RESTRICTED, { 'pod-security.kubernetes.io/enforce': 'restricted' }),
  namespace(LIMITED),
  namespace(LEAVING),
  {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'quota', namespace: LIMITED },
    spec: {
      hard: {
        'requests.cpu': '1',
        'requests.memory': '1Gi',
        'limits.cpu': '4',
        'limits.memory': '4Gi',
        pods: '4',
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: 'defaults', namespace: LIMITED },
    spec: {
      limits: [
        {
          type: 'Container',
          default: { cpu: '500m', memory: '256Mi' },
          defaultRequest: { cpu: '10m', memory: '32Mi' },
          max: { cpu: '1', memory: '1Gi' },
        },
      ],
    },
  },
];

function secret(name: string, stringData: Readonly<Record<string, string>>, namespace = ACCESS): unknown {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData };
}

function configMap(name: string, namespace: string, data: Readonly<Record<string, string>>): unknown {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

/** A PostgreSQL with a certificate for its Service's name. */
function secureDatabase(): readonly unknown[] {
  const files = ['ssl=on', 'ssl_cert_file=/tls/tls.crt', 'ssl_key_file=/tls/tls.key'];
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'secure', namespace: 'databases' },
      spec: {
        selector: { matchLabels: { app: 'secure' } },
        template: {
          metadata: { labels: { app: 'secure' } },
          spec: {
            securityContext: { fsGroup: 999 },
            containers: [
              {
                name: 'postgres',
                image: 'postgres:18',
                imagePullPolicy: 'IfNotPresent',
                args: files.flatMap((setting) => ['-c', setting]),
                env: [
                  { name: 'POSTGRES_PASSWORD', value: 'secure-me' },
                  { name: 'POSTGRES_DB', value: 'stock' },
                ],
                readinessProbe: {
                  exec: { command: ['pg_isready', '-h', '127.0.0.1', '-U', 'postgres'] },
                  periodSeconds: 1,
                  timeoutSeconds: 10,
                },
                volumeMounts: [{ name: 'tls', mountPath: '/tls', readOnly: true }],
              },
            ],
            volumes: [{ name: 'tls', secret: { secretName: 'secure-server', defaultMode: 0o440 } }],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'secure', namespace: 'databases' },
      spec: { selector: { app: 'secure' }, ports: [{ port: 5432 }] },
    },
  ];
}

/** Behind the pages of the first connection and `prepareStore`. */
export async function prepareCast(stage: Stage): Promise<void> {
  const authority = await createAuthority(join(stage.cluster.folder, 'databases'));
  const pair = async (names: readonly string[]) => {
    const { certificate, key } = await authority.server(names);
    return { 'tls.crt': certificate, 'tls.key': key };
  };
  const host = 'DNS:secure.databases.svc.cluster.local';
  await stage.query(`create role reader login password '${READER_PASSWORD}'`);
  await stage.query('grant select on all tables in schema public to reader');
  await stage.query('create database stock');
  const ca = { 'ca.crt': authority.certificate };
  const apply = (items: readonly unknown[]) =>
    stage.cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await apply([secret('secure-server', await pair([host]), 'databases'), ...secureDatabase()]);
  await stage.kubectl('rollout status deployment/secure --namespace databases --timeout 180s');
  await apply([
    ...NAMESPACES,
    secret('secure-listener', await pair([host, 'IP:127.0.0.1'])),
    secret('reader', { username: 'reader', password: READER_PASSWORD }),
    secret('mistaken', { username: 'reader', password: 'mistaken' }),
    secret('postgres-secure', { username: 'postgres', password: 'secure-me' }),
    configMap('authority', ACCESS, ca),
    configMap('authority', AGENTS, ca),
    ...CONNECTIONS,
    ...POLICIES,
  ]);
  await stage.kubectl(
    `wait --for condition=Ready protectedconnection/stock-db protectedconnection/secure-db --namespace ${ACCESS} --timeout 180s`,
  );
}
