/**
 * The operator as the chart runs it, but for the kubelet: a real API server, everything that helm renders (kinds, RBAC, webhook
 * configurations), the operator signed in as the chart's own service account with no more rights than that has.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pino from 'pino';
import { parseAllDocuments } from 'yaml';
import { startOperator, type Operator } from '../../operator/operator.ts';
import { SIDECAR_NAME } from '../../operator/kube/names.ts';
import { settingsFrom } from '../../operator/settings.ts';
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import { TestSidecar } from '../broker/sidecar.ts';
import { kubeconfigText } from '../cluster/access.ts';
import { program } from '../cluster/binaries.ts';
import type { Subject } from '../cluster/certificates.ts';
import { until } from '../cluster/component.ts';
import { startControlPlane, type ControlPlane } from '../cluster/control-plane.ts';
import { kindsServed } from '../cluster/kinds.ts';
import { versions } from '../cluster/versions.ts';
import { freePort } from '../postgres.ts';
import { Client, inside, without } from './client.ts';

export const SYSTEM = 'sidewarden-system';
export const ACCESS = 'production-access';
export const AGENTS = 'agents';
const ACCOUNT = 'sidewarden';

/** What helm rendered, and what tests write. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

/** Somebody who holds a pod's token. */
export interface Run {
  readonly pod: string;
  readonly uid: string;
  readonly token: string;
  readonly sidecar: TestSidecar;
}

export interface World {
  readonly plane: ControlPlane;
  readonly operator: Operator;
  /** All that the operators logged, a line each, at level debug. */
  readonly lines: readonly string[];
  readonly admin: Client;
  /** PEM. */
  readonly ca: string;
  /** Name that the certificates are for. */
  readonly host: string;
  as(subject: Subject): Promise<Client>;
  /** With a bearer token in the place of a certificate. */
  bearing(token: string): Client;
  /** Starts another replica; the caller closes it. */
  replica(name: string): Promise<Operator>;
  apply(...objects: readonly object[]): Promise<void>;
  /** Made, injected and bound to a node as the scheduler would. */
  pod(name: string, connections: string, more?: object): Promise<string>;
  /** Whether such a pod would get a sidecar now; none is made. */
  injects(connections: string): Promise<boolean>;
  /** As the kubelet asks for it. */
  token(pod: string, uid: string, audiences?: readonly string[], account?: string): Promise<string>;
  /** `account`: its service account, `agent` or `another`. */
  run(name: string, connections: string, account?: string): Promise<Run>;
  /** A sidecar that has this token. */
  sidecar(token: string | undefined, port?: number): TestSidecar;
  /** Runs something while the webhooks are gone; `orders-db` must be there. */
  withoutWebhooks(what: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  /** Further flags of kube-apiserver. */
  readonly flags?: readonly string[];
  readonly namespaces?: readonly string[];
  /** What is there before the operator starts. */
  readonly present?: readonly object[];
  readonly env?: Readonly<Record<string, string>>;
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const plane = await startControlPlane({ controllers: true, flags: options.flags ?? [] });
  try {
    return await startOn(plane, options);
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

async function startOn(plane: ControlPlane, options: WorldOptions): Promise<World> {
  const accesses = options.namespaces ?? [ACCESS];
  const [admissionPort, rendered] = await Promise.all([freePort(), renderChart(accesses)]);
  const admin = await Client.of(await plane.kubeconfigFor({ user: 'installer', groups: ['system:masters'] }));
  const apply = async (...objects: readonly object[]) => {
    if (objects.length === 0) return;
    await plane.apply(objects.map((each) => JSON.stringify(each)).join('\n---\n'));
  };
  await apply(
    ...[SYSTEM, ...accesses].map((name) => namespace(name, {})),
    namespace(AGENTS, { agents: 'true' }),
  );
  const kinds = rendered.filter(({ kind }) => kind === 'CustomResourceDefinition');
  const rest = rendered.filter(
    ({ kind }) => /Role|ServiceAccount|Webhook/.test(kind) && kind !== 'ServiceMonitor',
  );
  await apply(...kinds);
  await kindsServed(plane);
  const webhooks = rest
    .filter(({ kind }) => kind.endsWith('WebhookConfiguration'))
    .map((each) => reached(each, admissionPort));
  await apply(
    ...rest.filter(({ kind }) => !kind.endsWith('WebhookConfiguration')),
    // The API server goes to a Service of this type by its name, and still asks for the Service's certificate.
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: ACCOUNT, namespace: SYSTEM },
      spec: { type: 'ExternalName', externalName: 'localhost' },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent', namespace: AGENTS } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'another', namespace: AGENTS } },
    // Pods of nodes that are not there are collected.
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'one' } },
    ...webhooks,
    ...(options.present ?? []),
  );
  const lines: string[] = [];
  const log = pino({ level: 'debug', base: null }, { write: (line: string) => void lines.push(line) });
  const kubeconfig = await accountKubeconfig(plane);
  for (const binding of rest.filter(({ kind }) => kind.endsWith('RoleBinding')))
    await until(`${binding.metadata.name} counts`, () => counts(admin, binding, rest));
  const env = environmentOf(rendered);
  const operators: Operator[] = [];
  const start = async (replica: string, port: number) => {
    const spool = join(plane.folder, `spool-${replica}`);
    await mkdir(spool);
    const settings = settingsFrom({
      ...env,
      SIDEWARDEN_REPLICA: replica,
      SIDEWARDEN_SPOOL: spool,
      SIDEWARDEN_ADDRESS: '127.0.0.1',
      SIDEWARDEN_ADMISSION_PORT: String(port),
      SIDEWARDEN_BROKER_PORT: '0',
      SIDEWARDEN_HTTP_PORT: '0',
      ...options.env,
    });
    if (!('namespace' in settings)) throw new Error(settings.join('; '));
    const operator = await startOperator({ settings, kubeconfig, log });
    operators.push(operator);
    return operator;
  };
  const operator = await start('one', admissionPort);
  await until('it leads', async () => operator.leads() || undefined);
  const validated = async () =>
    (
      await admin.post(`/apis/sidewarden.dev/v1alpha1/namespaces/${ACCESS}/sessions?dryRun=All`, probe())
    ).text.includes("Sidewarden's operator alone");
  await until('the webhooks are called', async () => (await validated()) || undefined);
  const made = await admin.get(`/api/v1/namespaces/${SYSTEM}/secrets/sidewarden-certificates`);
  const ca = Buffer.from(String(Object(made.json['data'])['ca.crt']), 'base64').toString();
  const host = `${ACCOUNT}.${SYSTEM}.svc`;
  const kubelet = await Client.of(
    await plane.kubeconfigFor({ user: 'system:node:one', groups: ['system:nodes', 'system:masters'] }),
  );
  const world: World = {
    plane,
    operator,
    lines,
    admin,
    ca,
    host,
    as: async (subject) => Client.of(await plane.kubeconfigFor(subject)),
    bearing: (token) => Client.bearing(plane.url, plane.ca, token),
    replica: (name) => start(name, 0),
    apply,
    pod: async (name, connections, more = {}) => {
      const answer = await admin.post(`/api/v1/namespaces/${AGENTS}/pods`, podOf(name, connections, more));
      if (answer.status !== 201) throw new Error(answer.text);
      return String(Object(answer.json['metadata']).uid);
    },
    injects: async (connections) => {
      const tried = podOf('injection-probe', connections, {});
      const answer = await admin.post(`/api/v1/namespaces/${AGENTS}/pods?dryRun=All`, tried);
      return answer.status === 201 && answer.text.includes(`"name":"${SIDECAR_NAME}"`);
    },
    token: async (pod, uid, audiences = [BROKER_AUDIENCE], account = 'agent') => {
      const answer = await kubelet.post(`/api/v1/namespaces/${AGENTS}/serviceaccounts/${account}/token`, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences,
          expirationSeconds: 3600,
          ...(pod === '' ? {} : { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: pod, uid } }),
        },
      });
      if (answer.status !== 201) throw new Error(answer.text);
      return String(Object(answer.json['status']).token);
    },
    run: async (name, connections, account = 'agent') => {
      const uid = await world.pod(name, connections, { serviceAccountName: account });
      const token = await world.token(name, uid, undefined, account);
      return { pod: name, uid, token, sidecar: world.sidecar(token) };
    },
    sidecar: (token, port = operator.ports.broker) => new TestSidecar(port, ca, token, host),
    withoutWebhooks: async (what) => {
      const configurations = await Promise.all(
        webhooks.map(({ kind, metadata }) => admin.get(`${webhookPath(kind)}/${metadata.name}`)),
      );
      for (const { kind, metadata } of webhooks) await admin.delete(`${webhookPath(kind)}/${metadata.name}`);
      // The API server hears of the two configurations one by one.
      const called = () => Promise.all([validated(), world.injects(`${ACCESS}/orders-db`)]);
      await until('the webhooks are gone', async () => !(await called()).includes(true) || undefined);
      try {
        await what();
      } finally {
        for (const { json } of configurations) {
          const metadata = without(inside(json, 'metadata'), 'resourceVersion', 'uid');
          await admin.post(webhookPath(String(json['kind'])), { ...json, metadata });
        }
        await until('the webhooks are back', async () => !(await called()).includes(false) || undefined);
      }
    },
    stop: async () => {
      await Promise.all(operators.map((each) => each.close()));
      await plane.stop();
    },
  };
  return world;
}

const webhookPath = (kind: string) => `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}s`;

/** All that `helm template` gives. */
export async function renderChart(
  accesses: readonly string[],
  ...more: readonly string[]
): Promise<readonly Manifest[]> {
  const { stdout } = await promisify(execFile)(
    await program('helm'),
    [
      'template',
      'sidewarden',
      'charts/sidewarden',
      '--namespace',
      SYSTEM,
      '--kube-version',
      versions.kubernetes,
      '--set',
      `connectionNamespaces={${accesses.join(',')}}`,
      ...more,
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return (
    parseAllDocuments(stdout)
      // Rendered by helm; the fields read here are every manifest's.
      .map((document) => document.toJS() as Manifest | null)
      .filter((each) => each !== null)
      // helm puts them where it installs.
      .map((each) =>
        ['ServiceAccount', 'Role', 'RoleBinding'].includes(each.kind)
          ? { ...each, metadata: { namespace: SYSTEM, ...each.metadata } }
          : each,
      )
  );
}

/** The port at which the test's operator listens; all else as rendered. */
function reached(configuration: Manifest, port: number): Manifest {
  // As the chart renders them.
  const webhooks = configuration['webhooks'] as readonly {
    readonly clientConfig: { readonly service: object };
  }[];
  return {
    ...configuration,
    webhooks: webhooks.map((webhook) => ({
      ...webhook,
      clientConfig: { service: { ...webhook.clientConfig.service, port } },
    })),
  };
}

/** Of the rendered Deployment, so that a wrong one shows. */
function environmentOf(rendered: readonly Manifest[]): Readonly<Record<string, string>> {
  const deployment = rendered.find(({ kind }) => kind === 'Deployment');
  const [container] = Object(deployment?.['spec']).template.spec.containers;
  const given: Record<string, string> = { SIDEWARDEN_NAMESPACE: SYSTEM };
  for (const { name, value } of container.env) if (value !== undefined) given[name] = String(value);
  return given;
}

/** Whether the operator has what a binding gives: the API server hears of each role and binding in a watch of its own. */
async function counts(
  admin: Client,
  binding: Manifest,
  rendered: readonly Manifest[],
): Promise<true | undefined> {
  const { kind, name } = Object(binding['roleRef']);
  const role = rendered.find((each) => each.kind === kind && each.metadata.name === name);
  const [rule] = Object(role?.['rules']);
  const answer = await admin.post('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: {
      user: `system:serviceaccount:${SYSTEM}:${ACCOUNT}`,
      resourceAttributes: {
        namespace: binding.metadata.namespace,
        group: rule.apiGroups[0],
        resource: rule.resources[0],
        name: rule.resourceNames?.[0],
        verb: rule.verbs[0],
      },
    },
  });
  return inside(answer.json, 'status')['allowed'] === true || undefined;
}

async function accountKubeconfig(plane: ControlPlane): Promise<string> {
  const token = (await plane.kubectl(['create', 'token', ACCOUNT, '-n', SYSTEM])).trim();
  const file = join(plane.folder, 'operator.kubeconfig');
  const text = kubeconfigText({
    url: plane.url,
    ca: plane.ca,
    subject: { user: ACCOUNT },
    pair: { certificate: '', key: '' },
  });
  const config = JSON.parse(text);
  config.users[0].user = { token };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

function namespace(name: string, labels: object): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function podOf(name: string, connections: string, more: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: AGENTS, annotations: { 'sidewarden.dev/connections': connections } },
    spec: {
      serviceAccountName: 'agent',
      restartPolicy: 'Never',
      nodeName: 'one',
      // Of a node that never says a word all others are evicted after six minutes.
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'agent', image: 'none' }],
      ...more,
    },
  };
}

function probe(): object {
  return {
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'Session',
    metadata: { name: 'webhook-probe', namespace: ACCESS },
    spec: {
      connection: 'orders-db',
      identity: { issuer: 'x', subject: 'x', username: 'x' },
      startedAt: '2026-11-21T12:00:00Z',
    },
  };
}
