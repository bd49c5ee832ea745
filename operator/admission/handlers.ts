/**
 * The handlers of `/inject`, `/guard` and `/guard/enforced`: what plain injection and the plain guard need is read from the caches,
 * and, before anything is refused for what they say, live, since they may be behind by a moment.
 */
import { parseConnection } from '../../crds/connection.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { manifestOf } from '../broker/manifest.ts';
import { CONNECTIONS, NAMESPACES, type Kube, type KubeObject } from '../kube/kube.ts';
import { ENFORCE_LABEL } from '../kube/names.ts';
import type { Certificates } from './certificate-source.ts';
import { guard } from './guard/guard.ts';
import { wishOf } from './inject/annotations.ts';
import type { FoundConnection, InjectContext, InjectSettings } from './inject/context.ts';
import { inject } from './inject/inject.ts';
import { isJson, object, string } from './json.ts';
import type { AdmissionAnswer, AdmissionRequest } from './review.ts';
import type { Handler } from './server.ts';

export interface PodHandlersOptions {
  readonly kube: Pick<Kube, 'stores' | 'get'>;
  readonly settings: InjectSettings;
  readonly certificates: Certificates;
}

type Source = 'cache' | 'live';

export function podHandlers(options: PodHandlersOptions): Readonly<Record<string, Handler>> {
  return {
    '/inject': (request) => twice((source) => injected(options, request, source)),
    '/guard': (request) => twice((source) => guarded(options, request, source, false)),
    // The API server's own word that the namespace is enforced: its selector matched.
    '/guard/enforced': (request) => twice((source) => guarded(options, request, source, true)),
  };
}

async function twice(ask: (source: Source) => Promise<AdmissionAnswer>): Promise<AdmissionAnswer> {
  const answer = await ask('cache');
  return answer.kind === 'refused' ? ask('live') : answer;
}

async function injected(
  options: PodHandlersOptions,
  request: AdmissionRequest,
  source: Source,
): Promise<AdmissionAnswer> {
  const { object: pod } = request;
  if (!isPods(request) || request.operation !== 'CREATE' || pod === undefined)
    return refusal(['only new pods are injected']);
  const outcome = inject(pod, await contextOf(options, request, source, undefined));
  switch (outcome.kind) {
    case 'unchanged':
      return { kind: 'allowed' };
    case 'injected':
      return {
        kind: 'allowed',
        object: outcome.pod,
        warnings: outcome.warnings.map((each) => `sidewarden: ${each}`),
      };
    case 'refused':
      return refusal(outcome.problems);
  }
}

async function guarded(
  options: PodHandlersOptions,
  request: AdmissionRequest,
  source: Source,
  enforced: boolean,
): Promise<AdmissionAnswer> {
  const { certificates } = options;
  // Another replica, which injected the pod, may know of a new authority before we do.
  if (source === 'live') await certificates.look?.().catch(() => undefined);
  const context = await contextOf(options, request, source, enforced);
  const reasons = guard(request, context);
  const earlier = certificates.earlierBundle?.();
  const passes =
    reasons.length === 0 ||
    // It was injected just before a new authority came.
    (earlier !== undefined && guard(request, { ...context, brokerCa: earlier }).length === 0);
  return passes ? { kind: 'allowed' } : refusal(reasons);
}

function refusal(reasons: readonly string[]): AdmissionAnswer {
  const shown = reasons.slice(0, MAX_REASONS).map((reason) => `(${reasons.indexOf(reason) + 1}) ${reason}`);
  const more = reasons.length > MAX_REASONS ? [`and ${reasons.length - MAX_REASONS} more`] : [];
  const [only] = reasons;
  const text = reasons.length === 1 && only !== undefined ? only : [...shown, ...more].join('; ');
  return { kind: 'refused', code: 403, message: `sidewarden: ${text}` };
}

const MAX_REASONS = 64;

function isPods({ resource, subresource }: AdmissionRequest): boolean {
  return resource.group === '' && resource.resource === 'pods' && subresource === '';
}

async function contextOf(
  { kube, settings, certificates }: PodHandlersOptions,
  request: AdmissionRequest,
  source: Source,
  enforced: boolean | undefined,
): Promise<InjectContext> {
  const wished = wishOf(object(object(request.object?.['metadata'])['annotations']));
  const ids =
    wished.kind === 'wish' && isPods(request) && request.operation === 'CREATE'
      ? wished.wish.connections
      : [];
  const read = (store: 'connections' | 'namespaces', namespace: string, name: string) => {
    const cached = source === 'cache' ? kube.stores[store].get(namespace, name) : undefined;
    return cached ?? kube.get(store === 'connections' ? CONNECTIONS : NAMESPACES, namespace, name);
  };
  const found = new Map<string, FoundConnection>();
  const connections = ids.map(async (id) => {
    const [namespace = '', name = ''] = id.split('/');
    found.set(id, connectionOf(await read('connections', namespace, name)));
  });
  const namespace = ids.length === 0 ? undefined : await read('namespaces', '', request.namespace);
  await Promise.all(connections);
  const namespaceLabels = labelsOf(namespace);
  return {
    settings,
    brokerCa: certificates.current().bundle,
    namespaceLabels,
    enforced: enforced ?? namespaceLabels[ENFORCE_LABEL] === 'true',
    connection: (inNamespace, name) => found.get(`${inNamespace}/${name}`) ?? { kind: 'missing' },
  };
}

function labelsOf(namespace: KubeObject | undefined): Readonly<Record<string, string>> {
  const labels = namespace?.metadata.labels;
  if (!isJson(labels)) return {};
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, string(value)]));
}

function connectionOf(connection: KubeObject | undefined): FoundConnection {
  if (connection === undefined || connection.metadata.deletionTimestamp !== undefined)
    return { kind: 'missing' };
  const parsed = parseConnection(manifestOf(connection));
  if (parsed.kind === 'parsed') return { kind: 'found', spec: parsed.value.spec };
  const [first] = parsed.errors;
  const message = first === undefined ? 'unknown' : `${formatPath(first.path)}: ${first.message}`;
  return { kind: 'invalid', message };
}
