/** What the stories play on: a cluster with the chart installed by helm, a database and an object store in it, and kubectl. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { join } from 'node:path';
import pg from 'pg';
import { root } from '../bundle.ts';
import { program } from '../cluster/binaries.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { agentImage, operatorImage, sidecarImage, storeImage, storeImageName } from '../cluster/images.ts';
import type { Image } from '../cluster/image.ts';
import { databaseImage } from './images.ts';

const run = promisify(execFile);

export const OPERATOR = 'sidewarden-system';
export const ACCESS = 'production-access';
export const AGENTS = 'ci-agents';
export const STORE = { accessKeyId: 'recorder', secretAccessKey: 'recorder-secret', bucket: 'recordings' };

export interface Stage {
  readonly cluster: Cluster;
  kubectl(args: string, input?: string): Promise<string>;
  helm(...args: readonly string[]): Promise<string>;
  /** As the database's administrator, from outside the cluster. */
  query(text: string): Promise<readonly Record<string, unknown>[]>;
  /** `http://ADDRESS:PORT` of the store as this machine reaches it. */
  storeUrl(): Promise<string>;
}

/** What the stories' pods run. */
export function storyImages(): Promise<readonly Image[]> {
  return Promise.all([
    operatorImage('0.1.0'),
    sidecarImage('0.1.0'),
    agentImage(),
    databaseImage(),
    storeImage(),
  ]);
}

/** The cluster alone; the pages and stories install the rest. */
export async function stageOn(cluster: Cluster): Promise<Stage> {
  const helmProgram = await program('helm');
  const address = async (namespace: string, selector: string): Promise<string> => {
    const text = await cluster.kubectl([
      'get',
      'pods',
      `--namespace=${namespace}`,
      `--selector=${selector}`,
      '--field-selector=status.phase=Running',
      '--output=jsonpath={.items[0].status.podIP}',
    ]);
    return text.trim();
  };
  return {
    cluster,
    kubectl: (args, input) => cluster.kubectl(args.split(' '), input === undefined ? {} : { input }),
    helm: async (...args) => {
      const { stdout } = await run(helmProgram, args, {
        cwd: root,
        env: {
          ...process.env,
          KUBECONFIG: cluster.kubeconfig,
          HELM_CACHE_HOME: join(cluster.folder, 'helm'),
        },
        timeout: 240_000,
      });
      return stdout;
    },
    query: async (text) => {
      const client = new pg.Client({
        host: await address('databases', 'app=orders'),
        port: 5432,
        user: 'postgres',
        password: 'change-me',
        database: 'orders',
        connectionTimeoutMillis: 30_000,
      });
      await client.connect();
      try {
        const { rows } = await client.query<Record<string, unknown>>(text);
        return rows;
      } finally {
        await client.end();
      }
    },
    storeUrl: async () => `http://${await address('databases', 'app=store')}:7070`,
  };
}

/** The object store, with versions and Object Lock; its bucket is made by the caller. */
export const STORE_MANIFESTS = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: store, namespace: databases }
spec:
  selector: { matchLabels: { app: store } }
  strategy: { type: Recreate }
  template:
    metadata: { labels: { app: store } }
    spec:
      containers:
        - name: store
          image: ${storeImageName}
          imagePullPolicy: IfNotPresent
          env:
            - { name: ROOT_ACCESS_KEY_ID, value: ${STORE.accessKeyId} }
            - { name: ROOT_SECRET_ACCESS_KEY, value: ${STORE.secretAccessKey} }
          readinessProbe: { tcpSocket: { port: 7070 }, periodSeconds: 1 }
          volumeMounts: [{ name: data, mountPath: /data }]
      securityContext: { runAsUser: 999, runAsGroup: 999, fsGroup: 999 }
      initContainers:
        - name: folders
          image: sidewarden.test/agent:e2e
          imagePullPolicy: IfNotPresent
          command: [mkdir, -p, /data/objects, /data/versions]
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, emptyDir: {} }]
---
apiVersion: v1
kind: Service
metadata: { name: store, namespace: databases }
spec:
  selector: { app: store }
  ports: [{ port: 7070 }]
`;
