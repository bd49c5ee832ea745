/** What faults are caused on: a database that logs every statement, a store, two connections, and the words to say what became of runs. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { storeOf, checkingKey, type PlaceOptions } from '../../cli/recordings-place.ts';
import { readEvents } from '../../sidecar/record/read.ts';
import { verifyRecording, type Verification } from '../../sidecar/record/verify.ts';
import type { OwnCluster } from '../cluster/cluster.ts';
import { until } from '../cluster/component.ts';
import { sharedCluster } from '../cluster/shared.ts';
import { followPages } from './pages.ts';
import { startStage } from './shared-stage.ts';
import { ACCESS, AGENTS, OPERATOR, STORE, type Stage } from './stage.ts';
import { prepareStore } from './store.ts';
import type { TestContext } from 'node:test';

export interface SessionObject {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly connection: string; readonly identity: { readonly pod?: string } };
  readonly status?: {
    readonly phase?: string;
    readonly recordings?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

export interface ApprovalObject {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly request: {
      readonly identity: { readonly pod?: string };
      readonly operation: { readonly text: string };
    };
  };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly reason: string }[];
  };
}

export interface FaultScene extends Stage {
  readonly own: OwnCluster;
  sessions(): Promise<readonly SessionObject[]>;
  approvals(): Promise<readonly ApprovalObject[]>;
  /** Of runs, as the database has them. */
  roles(): Promise<readonly string[]>;
  /** Names of the operator's pods that are not being deleted, the leader first. */
  replicas(): Promise<readonly string[]>;
  /** Alice of the group dba approves; exit code and what kubectl said. */
  approve(name: string): Promise<{ readonly code: number; readonly stderr: string }>;
  /** Markers of the statements of runs that reached the database, by its own log. */
  reached(): Promise<ReadonlySet<string>>;
  recorded(): Promise<Recorded>;
}

export interface Recorded {
  readonly recordings: readonly {
    readonly verification: Verification;
    /** Of its statements, whatever became of them. */
    readonly markers: readonly string[];
  }[];
  /** Markers of the statements that a recording says went forward. */
  readonly forwarded: ReadonlySet<string>;
}

/** In every statement of an agent: what it is called here, e.g. `fault-leader-7`. */
const MARKER = /\bfault-[a-z0-9-]+/g;

export async function startFaultScene(t: TestContext): Promise<FaultScene> {
  const stage = await startStage();
  const { own } = await sharedCluster([]);
  if (own === undefined) throw new Error('parts of a cluster that is not ours cannot be killed');
  await Promise.all([followPages(t, stage, ['docs/kubernetes/install.md']), stage.cluster.apply(DATABASE)]);
  await stage.kubectl('rollout status deployment/orders --namespace databases --timeout 180s');
  await stage.query(SCHEMA);
  await stage.cluster.apply(ACCESS_MANIFESTS);
  await stage.kubectl(
    `create rolebinding approvers --namespace ${ACCESS} --clusterrole sidewarden-sidewarden-system-approver --group dba`,
  );
  await prepareStore(stage);
  const patch = JSON.stringify({ spec: { recording: { configMapRef: { name: 'recordings' } } } });
  await stage.kubectl(
    `patch protectedconnection aging-db --namespace ${ACCESS} --type merge --patch ${patch}`,
  );
  await stage.kubectl(
    `wait --for condition=RecordingReady protectedconnection/aging-db --namespace ${ACCESS} --timeout 180s`,
  );
  const query = await databaseOf(stage);
  const reachable = { ...stage, query };
  return { ...reachable, own, ...wordsOf(reachable) };
}

/** Asked for by an address that is known: also while the API server is away. */
async function databaseOf(stage: Stage): Promise<Stage['query']> {
  const host = await stage.kubectl(
    'get pods --namespace databases --selector app=orders --output jsonpath={.items[0].status.podIP}',
  );
  return async (text) => {
    const client = new pg.Client({
      host,
      user: 'postgres',
      password: 'change-me',
      database: 'orders',
      connectionTimeoutMillis: 30_000,
    });
    // It may be killed under us.
    client.on('error', () => undefined);
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(text);
      return rows;
    } finally {
      await client.end();
    }
  };
}

type Words = Omit<FaultScene, keyof Stage | 'own'>;

function wordsOf(stage: Stage): Words {
  const items = async <T>(what: string): Promise<readonly T[]> => {
    const text = await stage.kubectl(`get ${what} --namespace ${ACCESS} --output json`);
    // As the API server gives them.
    return (JSON.parse(text) as { readonly items: readonly T[] }).items;
  };
  return {
    sessions: () => items<SessionObject>('sessions'),
    approvals: () => items<ApprovalObject>('approvals'),
    roles: async () => {
      const rows = await stage.query(
        "select rolname from pg_roles where starts_with(rolname, 'sw_') order by 1",
      );
      return rows.map((row) => String(row['rolname']));
    },
    replicas: async () => {
      const pods = await stage.kubectl(
        `get pods --namespace ${OPERATOR} --selector app.kubernetes.io/name=sidewarden --output jsonpath={.items[*].metadata.name}`,
      );
      const leader = await stage.kubectl(
        `get lease sidewarden --namespace ${OPERATOR} --output jsonpath={.spec.holderIdentity}`,
      );
      const names = pods.split(' ').filter((name) => name !== '');
      return [
        ...names.filter((name) => leader.startsWith(name)),
        ...names.filter((name) => !leader.startsWith(name)),
      ];
    },
    approve: (name) =>
      stage.cluster.kubectlOutcome(
        [
          'patch',
          'approval',
          name,
          '--namespace',
          ACCESS,
          '--type',
          'merge',
          '--patch',
          JSON.stringify({ spec: { decision: { verdict: 'Approve' } } }),
        ],
        { as: { user: 'alice', groups: ['dba', 'system:authenticated'] } },
      ),
    reached: async () => {
      const [row] = await stage.query("select pg_read_file('/data/log/statements.log') as log");
      const lines = String(row?.['log']).split('\n');
      return new Set(lines.filter((line) => line.startsWith('sw_')).flatMap(markersOf));
    },
    recorded: () => readRecordings(stage),
  };
}

function markersOf(text: string): readonly string[] {
  return text.match(MARKER) ?? [];
}

async function readRecordings(stage: Stage): Promise<Recorded> {
  const folder = join(stage.cluster.folder, 'verify');
  await mkdir(folder, { recursive: true });
  const key = join(folder, 'operator.pub');
  const published = 'jsonpath={.data.recording\\.ed25519\\.pub}';
  await writeFile(
    key,
    await stage.kubectl(
      `get configmap sidewarden-recording-key --namespace ${OPERATOR} --output ${published}`,
    ),
  );
  const options: PlaceOptions = {
    state: folder,
    store: `s3://${STORE.bucket}/e2e`,
    endpoint: await stage.storeUrl(),
    environment: {
      AWS_ACCESS_KEY_ID: STORE.accessKeyId,
      AWS_SECRET_ACCESS_KEY: STORE.secretAccessKey,
    },
  };
  const trusted = await checkingKey(options, key);
  const store = await storeOf(options);
  const recordings: Recorded['recordings'][number][] = [];
  const forwarded = new Set<string>();
  for (const session of await store.sessions()) {
    const all: string[] = [];
    const held = new Map<number, readonly string[]>();
    for await (const { event } of readEvents(store, session)) {
      if (event.kind === 'decision') {
        const { decision, facts, operation } = event;
        const text = facts.kind === 'unknown' ? facts.text : facts.sql.statement.text;
        all.push(...markersOf(text));
        if (decision.kind === 'allow') for (const marker of markersOf(text)) forwarded.add(marker);
        if (decision.kind === 'hold') held.set(operation, markersOf(text));
      }
      if (event.kind === 'approval' && event.verdict === 'Approve')
        for (const marker of held.get(event.operation) ?? []) forwarded.add(marker);
    }
    recordings.push({ verification: await verifyRecording(store, session, trusted), markers: all });
  }
  return { recordings, forwarded };
}

/** One after the other until it is so; says what was last, when it is not within `seconds`. */
export function within<T>(
  seconds: number,
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  return until(what, ask, { limit: seconds * 1000, every: 250 });
}

/** Its data outlives its container. */
const DATABASE = `
apiVersion: v1
kind: Namespace
metadata: { name: databases }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: orders, namespace: databases }
spec:
  selector: { matchLabels: { app: orders } }
  template:
    metadata: { labels: { app: orders } }
    spec:
      securityContext: { runAsUser: 999, runAsGroup: 999, fsGroup: 999 }
      containers:
        - name: postgres
          image: postgres:18
          imagePullPolicy: IfNotPresent
          args:
            - -c
            - log_statement=all
            - -c
            - log_line_prefix=%u|
            - -c
            - logging_collector=on
            - -c
            - log_directory=/data/log
            - -c
            - log_filename=statements.log
          env:
            - { name: POSTGRES_PASSWORD, value: change-me }
            - { name: POSTGRES_DB, value: orders }
          readinessProbe: { exec: { command: [pg_isready, -h, 127.0.0.1, -U, postgres] }, periodSeconds: 1 }
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, emptyDir: {} }]
---
apiVersion: v1
kind: Service
metadata: { name: orders, namespace: databases }
spec:
  selector: { app: orders }
  ports: [{ port: 5432 }]
`;

const SCHEMA = `
CREATE TABLE customers (id bigint PRIMARY KEY, name text, card text);
INSERT INTO customers SELECT i, 'customer ' || i, 4242424242420000 + i FROM generate_series(1, 50) i;
CREATE TABLE orders (id bigint PRIMARY KEY, total numeric);
INSERT INTO orders SELECT i, i FROM generate_series(1, 500) i;
CREATE TABLE brief (id bigint)`;

function connection(name: string, port: number, limits: string): string {
  return `
apiVersion: sidewarden.dev/v1alpha1
kind: ProtectedConnection
metadata: { name: ${name}, namespace: ${ACCESS} }
spec:
  protocol: postgres
  target: { host: orders.databases.svc.cluster.local, port: 5432, database: orders, tls: { mode: disable } }
  credentials: { secretRef: { name: orders-db-admin } }
  allowedNamespaces: { matchLabels: { sidewarden.dev/agents: "true" } }
  identity: { sources: [{ serviceAccount: {} }] }
  role:
    provision: true
    maskedViews: true
    grants:
      - { tables: ["public.customers", "public.orders", "public.brief"], privileges: [SELECT, INSERT, UPDATE, DELETE] }
  limits: ${limits}
  listen: { port: ${port} }
`;
}

const ACCESS_MANIFESTS = `
apiVersion: v1
kind: Secret
metadata: { name: orders-db-admin, namespace: ${ACCESS} }
stringData: { username: postgres, password: change-me }
---
${connection('orders-db', 15432, '{}')}
---
${connection('aging-db', 15433, '{ policyMaxAge: 15s }')}
---
apiVersion: sidewarden.dev/v1alpha1
kind: AccessPolicy
metadata: { name: agents, namespace: ${ACCESS} }
spec:
  connections: [orders-db, aging-db]
  subjects: [{ serviceAccounts: ["${AGENTS}/agent"] }]
  rules:
    - { name: reads, when: 'sql.effects == ["read"]', action: Allow }
    - { name: session, when: 'sql.effects == ["session"]', action: Allow }
    - name: changes
      when: '"delete" in sql.effects'
      action: Hold
      hold: { approvers: { groups: [dba] }, timeout: 15m }
    - name: brief
      when: '"write" in sql.effects'
      action: Hold
      hold: { approvers: { groups: [dba] }, timeout: 12s }
  masks:
    - { columns: ["public.customers.card"], with: Partial, partial: { keepLast: 4 } }
---
apiVersion: v1
kind: Namespace
metadata: { name: ${AGENTS}, labels: { sidewarden.dev/agents: "true", sidewarden.dev/enforce: "true" } }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: agent, namespace: ${AGENTS} }
`;
