/** A control plane with what runs need: namespaces, connections, pods that exist though nothing runs them, tokens bound to them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { createAuthority } from '../cluster/certificates.ts';
import { startControlPlane, type ControlPlane } from '../cluster/control-plane.ts';
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import type { Certificates } from '../../operator/admission/certificate-source.ts';
import { connectKube, type RunningKube } from '../../operator/kube/connect.ts';
import { CONNECTIONS_ANNOTATION, INJECTED_LABEL } from '../../operator/kube/names.ts';

export interface TestCluster {
  readonly plane: ControlPlane;
  readonly kube: RunningKube;
  readonly certificates: Certificates;
  /** PEM. */
  readonly ca: string;
  /** The pod's uid. */
  pod(namespace: string, name: string, connections: string): Promise<string>;
  /** Bound to the pod, as the kubelet would write it. */
  token(namespace: string, pod: string, uid: string, audience?: string): Promise<string>;
  stop(): Promise<void>;
}

export const log = pino({ level: 'silent' });
const KINDS = ['protectedconnections', 'accesspolicies', 'approvals', 'sessions'];

export async function startTestCluster(): Promise<TestCluster> {
  const plane = await startControlPlane();
  for (const kind of KINDS) await plane.apply(await readFile(`crds/${kind}.yaml`, 'utf8'));
  await plane.apply(json(namespaces()));
  const authority = await createAuthority(join(plane.folder, 'broker-pki'));
  const pair = await authority.server(['IP:127.0.0.1', 'DNS:localhost']);
  const kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
  await kube.synced;
  return {
    plane,
    kube,
    ca: authority.certificate,
    certificates: {
      current: () => ({ ...pair, bundle: authority.certificate }),
      watch: () => () => undefined,
      close: () => Promise.resolve(),
    },
    pod: (namespace, name, connections) => createPod(plane, namespace, name, connections),
    token: (namespace, pod, uid, audience = BROKER_AUDIENCE) =>
      createToken(plane, namespace, { pod, uid, audience }),
    stop: async () => {
      await kube.close();
      await plane.stop();
    },
  };
}

export function json(items: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

function namespaces(): readonly object[] {
  const account = (namespace: string) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'agent', namespace },
  });
  const namespace = (name: string, labels: object) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  return [
    namespace('access', {}),
    namespace('agents', { agents: 'true' }),
    namespace('others', {}),
    account('agents'),
    account('others'),
  ];
}

async function createPod(
  plane: ControlPlane,
  namespace: string,
  name: string,
  connections: string,
): Promise<string> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { [INJECTED_LABEL]: 'true' },
      annotations: { [CONNECTIONS_ANNOTATION]: connections },
    },
    spec: {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      containers: [{ name: 'agent', image: 'none' }],
    },
  };
  await plane.apply(JSON.stringify(pod));
  return plane.kubectl(['get', 'pod', name, '-n', namespace, '-o', 'jsonpath={.metadata.uid}']);
}

async function createToken(
  plane: ControlPlane,
  namespace: string,
  { pod, uid, audience }: { readonly pod: string; readonly uid: string; readonly audience: string },
): Promise<string> {
  const bound =
    pod === '' ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${pod}`, `--bound-object-uid=${uid}`];
  const token = await plane.kubectl([
    'create',
    'token',
    'agent',
    '-n',
    namespace,
    `--audience=${audience}`,
    ...bound,
  ]);
  return token.trim();
}

/** A connection of the namespace `access`. */
export function connection(name: string, port: number, more: object = {}): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name, namespace: 'access', labels: { team: 'orders' } },
    spec: {
      protocol: 'postgres',
      target: { host: '127.0.0.1', database: 'orders', tls: { mode: 'disable' } },
      credentials: { secretRef: { name: 'admin' } },
      allowedNamespaces: { matchLabels: { agents: 'true' } },
      identity: { sources: [{ serviceAccount: {} }] },
      listen: { port },
      ...more,
    },
  };
}

export function policy(name: string, connections: readonly string[], when: string): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name, namespace: 'access' },
    spec: { connections, subjects: [{ everyone: true }], rules: [{ name: 'one', when, action: 'Allow' }] },
  };
}

export function secret(name: string, stringData: Readonly<Record<string, string>>): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'access' }, stringData };
}
