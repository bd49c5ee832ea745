/**
 * The two webhook configurations as plain data; the chart renders the same. All fail closed, so what they match is what a dead
 * operator stops: annotated and injected pods, enforced namespaces, Sidewarden's own kinds. Never kube-system, never the
 * operator's own namespace. Changes that touch neither a pod's spec nor our labels and annotations (finalizers, status) pass
 * without us.
 */
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import { CONNECTIONS_ANNOTATION, ENFORCE_LABEL, INJECTED_LABEL, REDIRECT_ANNOTATION } from '../kube/names.ts';
import { SERVICE_ACCOUNT_TOKEN_ANNOTATION } from './inject/annotations.ts';
import { OUR_CONTAINERS } from './inject/sidecar.ts';

interface WebhookPlace {
  /** Name of both configurations. */
  readonly name: string;
  /** The operator's namespace. */
  readonly namespace: string;
  /** The operator's Service; admission is at its port 443. */
  readonly service: string;
}

interface Condition {
  readonly name: string;
  readonly expression: string;
}

const exempt = (namespace: string) => ({
  key: 'kubernetes.io/metadata.name',
  operator: 'NotIn',
  values: ['kube-system', namespace],
});
const enforced = { key: ENFORCE_LABEL, operator: 'In', values: ['true'] };
const notEnforced = { key: ENFORCE_LABEL, operator: 'NotIn', values: ['true'] };

const core = (operations: readonly string[], resources: readonly string[]) => ({
  apiGroups: [''],
  apiVersions: ['v1'],
  operations,
  resources,
  scope: 'Namespaced',
});
const ours = (operations: readonly string[], resources: readonly string[]) => ({
  ...core(operations, resources),
  apiGroups: ['sidewarden.dev'],
  apiVersions: ['v1alpha1'],
});

/** CEL: a label or annotation of a pod, as text; an absent one differs from an empty one. */
const meta = (of: 'object' | 'oldObject', field: 'labels' | 'annotations', key: string) =>
  `${of}.?metadata.?${field}[?'${key}']`;
const has = (of: 'object' | 'oldObject', field: 'labels' | 'annotations', key: string) =>
  `${meta(of, field, key)}.hasValue()`;
const OURS = [
  ['annotations', CONNECTIONS_ANNOTATION],
  ['annotations', REDIRECT_ANNOTATION],
  ['annotations', SERVICE_ACCOUNT_TOKEN_ANNOTATION],
  ['labels', INJECTED_LABEL],
] as const;
const unchanged = OURS.map(
  ([field, key]) => `${meta('object', field, key)} == ${meta('oldObject', field, key)}`,
).join(' && ');

const asksForConnections: Condition = {
  name: 'asks-for-connections',
  expression: has('object', 'annotations', CONNECTIONS_ANNOTATION),
};
/** A node's status reports and a controller's finalizers must not depend on us. */
const matters: Condition = {
  name: 'matters-to-the-sidecar',
  expression: `request.operation != 'UPDATE' || object.spec != oldObject.spec || !(${unchanged})`,
};
const isInjected: Condition = {
  name: 'is-injected-or-says-so',
  expression: (['object', 'oldObject'] as const)
    .flatMap((of) =>
      OURS.filter(([, key]) => key !== SERVICE_ACCOUNT_TOKEN_ANNOTATION).map(([field, key]) =>
        has(of, field, key),
      ),
    )
    .join(' || '),
};
const entersSidecar: Condition = {
  name: 'enters-the-sidecar',
  expression: `object.?container.orValue('') in [${OUR_CONTAINERS.map((name) => `'${name}'`).join(', ')}]`,
};
/** Bindings may write labels and annotations onto the pod. */
const bindsOurs: Condition = {
  name: 'writes-our-annotations',
  expression: ['labels', 'annotations']
    .map((field) => `object.?metadata.?${field}.orValue({}).exists(key, key.contains('sidewarden.dev/'))`)
    .join(' || '),
};
const forBroker: Condition = {
  name: 'is-for-the-broker',
  expression: `object.?spec.?audiences.orValue([]).exists(audience, audience == '${BROKER_AUDIENCE}')`,
};
const notKubelet: Condition = {
  name: 'is-not-a-kubelet',
  expression: `!(request.userInfo.username.startsWith('system:node:') && 'system:nodes' in request.userInfo.groups)`,
};

const POD_WRITES = [
  core(['CREATE', 'UPDATE'], ['pods']),
  core(['UPDATE'], ['pods/ephemeralcontainers', 'pods/resize', 'pods/status']),
];
const BINDINGS = [core(['CREATE'], ['bindings', 'pods/binding'])];

/** Without CA bundles: those are kept right by `keepWebhooks`, or by cert-manager. */
export function webhookConfigurations(place: WebhookPlace) {
  return [mutating(place), validating(place)] as const;
}

function mutating(place: WebhookPlace) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: place.name },
    webhooks: [
      {
        ...webhook(place, 'inject', '/inject'),
        rules: [core(['CREATE'], ['pods'])],
        namespaceSelector: { matchExpressions: [exempt(place.namespace)] },
        matchConditions: [asksForConnections],
        reinvocationPolicy: 'IfNeeded',
      },
      {
        ...webhook(place, 'stamp', '/stamp'),
        rules: [ours(['UPDATE'], ['approvals'])],
        // Called again, it would stamp what another webhook has made of a person's words.
        reinvocationPolicy: 'Never',
      },
    ],
  };
}

function validating(place: WebhookPlace) {
  const everywhere = { namespaceSelector: { matchExpressions: [exempt(place.namespace)] } };
  const inEnforced = { namespaceSelector: { matchExpressions: [exempt(place.namespace), enforced] } };
  const elsewhere = { namespaceSelector: { matchExpressions: [exempt(place.namespace), notEnforced] } };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: place.name },
    webhooks: [
      {
        ...webhook(place, 'guard-enforced', '/guard/enforced'),
        rules: POD_WRITES,
        ...inEnforced,
        matchConditions: [matters],
      },
      {
        ...webhook(place, 'guard-injected', '/guard'),
        rules: POD_WRITES,
        ...elsewhere,
        matchConditions: [isInjected, matters],
      },
      {
        ...webhook(place, 'guard-exec', '/guard'),
        rules: [core(['CONNECT'], ['pods/exec', 'pods/attach'])],
        ...everywhere,
        matchConditions: [entersSidecar],
      },
      {
        ...webhook(place, 'guard-portforward', '/guard/enforced'),
        rules: [core(['CONNECT'], ['pods/portforward'])],
        ...inEnforced,
      },
      {
        ...webhook(place, 'guard-binding', '/guard'),
        rules: BINDINGS,
        ...everywhere,
        matchConditions: [bindsOurs],
      },
      {
        ...webhook(place, 'guard-token', '/guard'),
        rules: [core(['CREATE'], ['serviceaccounts/token'])],
        ...everywhere,
        matchConditions: [forBroker, notKubelet],
      },
      {
        ...webhook(place, 'validate', '/validate'),
        rules: [
          ours(['CREATE', 'UPDATE'], ['protectedconnections', 'accesspolicies']),
          ours(['CREATE', 'UPDATE', 'DELETE'], ['approvals', 'sessions']),
          ours(['UPDATE'], ['approvals/status', 'sessions/status']),
        ],
      },
    ],
  };
}

function webhook({ namespace, service }: WebhookPlace, name: string, path: string) {
  return {
    name: `${name}.sidewarden.dev`,
    admissionReviewVersions: ['v1'],
    clientConfig: { service: { name: service, namespace, path, port: 443 } },
    failurePolicy: 'Fail',
    matchPolicy: 'Equivalent',
    sideEffects: 'None',
    timeoutSeconds: 10,
  };
}
