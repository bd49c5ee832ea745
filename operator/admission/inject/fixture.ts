/** Pods and connections for tests. */
import fc from 'fast-check';
import { parseConnection, type ProtectedConnectionSpec } from '../../../crds/connection.ts';
import type { Json } from '../json.ts';
import type { FoundConnection, InjectContext } from './context.ts';

export const ORDERS = 'access/orders';

const base = {
  protocol: 'postgres',
  target: { host: 'orders.db', port: 5432, database: 'or ders' },
  credentials: { secretRef: { name: 'admin' } },
  allowedNamespaces: { matchLabels: { agents: 'true' } },
  identity: { sources: [{ serviceAccount: {} }] },
  listen: { port: 15_432 },
};

const SPECS: Readonly<Record<string, object>> = {
  [ORDERS]: base,
  'other/orders': { ...base, target: { ...base.target, host: 'other.db' }, listen: { port: 15_439 } },
  'access/with-tls': {
    ...base,
    target: { host: '2001:db8::1', database: 'd' },
    listen: { port: 15_433, address: '::1', tls: { secretRef: { name: 't' } } },
  },
  'access/loose': { ...base, target: { ...base.target, tls: { mode: 'require' } } },
  'access/closed': { ...base, allowedNamespaces: { matchLabels: { agents: 'no' } } },
  'access/oidc': {
    ...base,
    identity: { sources: [{ oidc: { issuer: 'https://issuer.example', audience: 'orders' } }] },
  },
  'access/shell': { ...base, protocol: 'ssh' },
  'access/same-port': { ...base, target: { ...base.target, host: 'b' } },
  'access/same-target': { ...base, listen: { port: 15_440 } },
  'access/health': { ...base, listen: { port: 15_090 } },
  'access/open': { ...base, listen: { port: 15_432, address: '0.0.0.0', tls: { secretRef: { name: 't' } } } },
};

function find(id: string): FoundConnection {
  if (id === 'access/broken') return { kind: 'invalid', message: 'spec.target: is required' };
  const spec = SPECS[id];
  return spec === undefined ? { kind: 'missing' } : { kind: 'found', spec: parsed(spec) };
}

function parsed(spec: object): ProtectedConnectionSpec {
  const outcome = parseConnection({
    apiVersion: 'sidewarden.dev/v1alpha1',
    kind: 'ProtectedConnection',
    metadata: { name: 'x' },
    spec,
  });
  if (outcome.kind === 'invalid') throw new Error(JSON.stringify(outcome.errors));
  return outcome.value.spec;
}

export function context(change: Partial<InjectContext> = {}): InjectContext {
  return {
    settings: {
      image: 'sidewarden-sidecar:1',
      pullPolicy: 'IfNotPresent',
      resources: { limits: { memory: '512Mi' } },
      spoolLimit: '1Gi',
      brokerUrl: 'https://sidewarden.sidewarden.svc:8443',
    },
    brokerCa: '-----BEGIN CERTIFICATE-----\n',
    namespaceLabels: { agents: 'true' },
    enforced: false,
    connection: (namespace, name) => find(`${namespace}/${name}`),
    ...change,
  };
}

export interface PodChange {
  /** Undefined for none. */
  readonly connections?: string | undefined;
  readonly redirect?: boolean;
  readonly annotations?: object;
  readonly labels?: object;
  readonly container?: object;
  readonly spec?: object;
}

export function podWith(change: PodChange = {}): Json {
  const connections = 'connections' in change ? change.connections : ORDERS;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'p',
      namespace: 'runs',
      ...(change.labels === undefined ? {} : { labels: change.labels }),
      annotations: {
        ...(connections === undefined ? {} : { 'sidewarden.dev/connections': connections }),
        ...(change.redirect === true ? { 'sidewarden.dev/redirect': 'true' } : {}),
        ...change.annotations,
      },
    },
    spec: { containers: [{ name: 'agent', image: 'agent', ...change.container }], ...change.spec },
  };
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const anyContainer = (name: string) =>
  fc.record({
    name: fc.constant(name),
    env: maybe(
      fc.array(
        fc.record({
          name: fc.constantFrom('A', 'PGUSER', 'PGHOST', 'PGPORT', 'PGSSLMODE'),
          value: fc.constantFrom('127.0.0.1', '15432', 'orders.db', 'me', 'disable'),
        }),
        { maxLength: 3 },
      ),
    ),
    securityContext: maybe(
      fc.record({
        runAsUser: fc.nat(),
        capabilities: maybe(fc.record({ drop: maybe(fc.subarray(['ALL', 'NET_RAW', 'NET_ADMIN', 'KILL'])) })),
      }),
    ),
    volumeMounts: maybe(
      fc.constant([
        { name: 'kube-api-access-z', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
      ]),
    ),
  });
const projected = (name: string) => ({
  name,
  projected: { sources: [{ serviceAccountToken: { path: 't' } }] },
});

/** Pods of all sorts that may be injected, before or after an injection. */
export const anyPod: fc.Arbitrary<Json> = fc
  .record({
    connections: fc.constantFrom(ORDERS, `${ORDERS},access/with-tls`, 'access/loose'),
    redirect: fc.boolean(),
    annotations: fc.constantFrom({}, { 'sidewarden.dev/service-account-token': 'keep' }),
    labels: fc.constantFrom({}, { mine: 'x' }, { 'sidewarden.dev/injected': 'true' }),
    spec: fc.record({
      containers: fc.tuple(anyContainer('a'), anyContainer('b')),
      initContainers: maybe(
        fc.subarray([{ name: 'first' }, { name: 'sidewarden', image: 'x' }, { name: 'last' }]),
      ),
      volumes: maybe(
        fc.subarray([{ name: 'v', emptyDir: {} }, projected('kube-api-access-z'), projected('own')]),
      ),
      automountServiceAccountToken: maybe(fc.boolean()),
      hostNetwork: maybe(fc.constant(false)),
    }),
  })
  .map(podWith);
