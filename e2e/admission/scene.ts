/** A real API server with injection and guard in front of its pods, connections to ask for, and a developer who may only `edit`. */
import { Agent, request } from 'node:https';
import { pino } from 'pino';
import { podHandlers } from '../../operator/admission/handlers.ts';
import { isJson, object, objects, type Json } from '../../operator/admission/json.ts';
import { ownCertificates } from '../../operator/admission/own-certificates.ts';
import { startAdmission, type Handler } from '../../operator/admission/server.ts';
import { connectKube } from '../../operator/kube/connect.ts';
import { until } from '../cluster/component.ts';
import { startControlPlane, type ControlPlane } from '../cluster/control-plane.ts';
import { kindsServed } from '../cluster/kinds.ts';
import { OWN_KINDS, webhooksAt } from './webhooks.ts';

/** Its `edit` in each of the agents' namespaces, and nothing else. */
export const developer = { user: 'dev', groups: ['developers', 'system:authenticated'] };
/** Whom RBAC stops from nothing. */
export const root = { user: 'root', groups: ['system:masters'] };
export const ORDERS = 'production-access/orders';

export interface Answer {
  readonly status: number;
  /** What the API server said, refusals and warnings included. */
  readonly text: string;
  readonly body: Json;
}

export interface Call {
  readonly as?: typeof developer;
  readonly type?: string;
}

export interface AdmissionScene {
  readonly plane: ControlPlane;
  readonly call: (method: string, path: string, body?: unknown, call?: Call) => Promise<Answer>;
  close(): Promise<void>;
}

const connection = (name: string, port: number, target: object = {}) => ({
  apiVersion: 'sidewarden.dev/v1alpha1',
  kind: 'ProtectedConnection',
  metadata: { name, namespace: 'production-access' },
  spec: {
    protocol: 'postgres',
    target: { host: `${name}.db.internal`, port: 5432, database: 'orders', ...target },
    credentials: { secretRef: { name: 'admin' } },
    allowedNamespaces: { matchLabels: { 'sidewarden.dev/agents': 'true' } },
    identity: { sources: [{ serviceAccount: {} }] },
    listen: { port },
  },
});

const namespace = (name: string, labels: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

const agents = { 'sidewarden.dev/agents': 'true' };

/** `enforced` and `free` may use the connections; `plain` may not. */
const OBJECTS = [
  ...['sidewarden', 'production-access', 'plain'].map((name) => namespace(name)),
  namespace('free', agents),
  namespace('enforced', { ...agents, 'sidewarden.dev/enforce': 'true' }),
  connection('orders', 15432),
  connection('stock', 15433),
  connection('loose', 15434, { tls: { mode: 'disable' } }),
  ...['enforced', 'free', 'plain'].map((name) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'developers', namespace: name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
    subjects: [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'developers' }],
  })),
];

/** Other people's webhooks by path, each for the pods that carry the label `WEBHOOK: "true"` named as its path. */
export async function startAdmissionScene(
  others: Readonly<Record<string, Handler>> = {},
): Promise<AdmissionScene> {
  const log = pino({ level: 'silent' });
  const plane = await startControlPlane({ controllers: true });
  await plane.kubectl(['apply', '-f', 'crds/'], { cwd: process.cwd() });
  await kindsServed(plane);
  const kube = await connectKube({ kubeconfig: plane.kubeconfig, log });
  await kube.synced;
  await plane.apply(OBJECTS.map((each) => JSON.stringify(each)).join('\n---\n'));
  const certificates = await ownCertificates({
    kube,
    namespace: 'sidewarden',
    name: 'sidewarden-certificates',
    hosts: ['localhost'],
    log,
  });
  const settings = {
    image: 'sidewarden-sidecar:1',
    pullPolicy: 'IfNotPresent',
    resources: { requests: { cpu: '20m', memory: '128Mi' }, limits: { memory: '512Mi' } },
    spoolLimit: '1Gi',
    brokerUrl: 'https://sidewarden.sidewarden.svc:8443',
  } as const;
  const handlers = { ...podHandlers({ kube, settings, certificates }), ...others };
  const server = await startAdmission({ port: 0, address: '127.0.0.1', certificates, handlers, log });
  const client = (path: string) => ({
    url: `https://localhost:${server.port}${path}`,
    caBundle: Buffer.from(certificates.current().bundle).toString('base64'),
  });
  const configurations = configure(client, Object.keys(others));
  await plane.apply(configurations.map((each) => JSON.stringify(each)).join('\n---\n'));
  const caller = callerOf(plane);
  for (const name of ['enforced', 'free', 'plain'])
    await until(`${name} has a service account`, async () => {
      const { status } = await caller('GET', `/api/v1/namespaces/${name}/serviceaccounts/default`);
      return status === 200 || undefined;
    });
  await until('the guard is asked', async () => {
    const bare = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    };
    const { status } = await caller('POST', '/api/v1/namespaces/enforced/pods?dryRun=All', bare);
    return status === 403 || undefined;
  });
  return {
    plane,
    call: caller,
    close: async () => {
      await server.close();
      await certificates.close();
      await kube.close();
      await plane.stop();
    },
  };
}

function configure(client: (path: string) => Json, others: readonly string[]): readonly Json[] {
  const ours = webhooksAt(client, (path) => !OWN_KINDS.includes(path));
  const [mutating] = ours;
  const [first] = mutating?.webhooks ?? [];
  // Webhooks are asked in the order of their configurations' names.
  const more = others.map((path) => ({
    ...mutating,
    metadata: { name: `${path.startsWith('/early') ? 'aa' : 'zz'}${path.replaceAll('/', '-')}` },
    webhooks: [
      {
        ...first,
        name: `${path.slice(1)}.example.com`,
        clientConfig: client(path),
        matchConditions: [],
        objectSelector: { matchLabels: { [path.slice(1)]: 'true' } },
      },
    ],
  }));
  return [...ours, ...more];
}

/** Requests by hand: kubectl takes a tenth of a second for each, and sends nothing that is odd. */
function callerOf(plane: ControlPlane): AdmissionScene['call'] {
  const agent = new Agent({ keepAlive: false });
  return async (method, path, body, { as = root, type = 'application/json' } = {}) => {
    const config = await plane.clientFor(as);
    const user = config.getCurrentUser();
    const pem = (data: string | undefined) => Buffer.from(data ?? '', 'base64');
    return new Promise<Answer>((done, fail) => {
      const sent = request(
        `${plane.url}${path}`,
        {
          method,
          agent,
          ca: plane.ca,
          cert: pem(user?.certData),
          key: pem(user?.keyData),
          headers: { 'content-type': type },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const warnings = response.headers['warning'] ?? '';
            done({
              status: response.statusCode ?? 0,
              text: `${text}${warnings}`,
              body: parsed(text),
            });
          });
          response.on('error', fail);
        },
      );
      sent.on('error', fail);
      sent.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
    });
  };
}

function parsed(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value) ? value : {};
  } catch {
    return {};
  }
}

/** The names of a pod's containers in the order in which the kubelet starts them. */
export function startOrder(pod: Json): readonly string[] {
  const spec = object(pod['spec']);
  return [...objects(spec['initContainers']), ...objects(spec['containers'])].map(({ name }) => String(name));
}
