/** Pods of agents, each with a shell script in it, and what comes of them. */
import { until } from '../cluster/component.ts';
import { ACCESS, AGENTS, type Stage } from './stage.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface AgentPod {
  readonly name: string;
  readonly namespace?: string;
  /** Names in the access namespace, separated by commas; `orders-db` when not given. */
  readonly connections?: string;
  readonly redirect?: boolean;
  /** Of a shell with PostgreSQL's client programs. */
  readonly script: string;
  /** Further fields of the agent's container, and of the pod's spec. */
  readonly container?: Fields;
  readonly spec?: Fields;
}

/** Runs once, as the service account `agent` of the agents' namespace, or another namespace's `default`. */
export function agentPod(pod: AgentPod): Fields {
  const { name, namespace = AGENTS } = pod;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, ...annotated(pod) },
    spec: specOf(pod),
  };
}

/** As a controller's pod template has it. */
export function podTemplate(pod: AgentPod, labels: Fields = {}): Fields {
  return { metadata: { labels, ...annotated(pod) }, spec: specOf(pod) };
}

function annotated({ connections = 'orders-db', redirect = false }: AgentPod): Fields {
  const names = connections.split(',').map((name) => `${ACCESS}/${name}`);
  return {
    annotations: {
      'sidewarden.dev/connections': names.join(', '),
      ...(redirect ? { 'sidewarden.dev/redirect': 'true' } : {}),
    },
  };
}

function specOf({ namespace = AGENTS, script, container, spec }: AgentPod): Fields {
  return {
    serviceAccountName: namespace === AGENTS ? 'agent' : 'default',
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 15,
    containers: [{ ...agentContainer('agent', script), ...container }],
    ...spec,
  };
}

/**
 * In a script, before its first statement: while many runs begin at once, the operator can be busy for longer than a sidecar waits
 * for it. Signs in, and asks nothing.
 */
export const signedIn = (url = ''): string => `until psql ${url} -c '\\q' 2>/dev/null; do sleep 1; done`;

export function agentContainer(name: string, script: string): Fields {
  return { name, image: 'postgres:18', imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', script] };
}

const listOf = (items: readonly Fields[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });

/** All at once. */
export async function apply(stage: Stage, objects: readonly Fields[]): Promise<void> {
  await stage.cluster.apply(listOf(objects));
}

/** Makes nothing; waits until admission has heard of namespaces, quotas and connections that have just been made. */
export async function admitted(stage: Stage, objects: readonly Fields[]): Promise<void> {
  const input = listOf(objects);
  await until('it is admitted', () =>
    stage.kubectl('create --dry-run=server --filename -', input).then(() => true),
  );
}

/** What the agent wrote, its errors too, when it has ended well; throws with that and the sidecar's log when it has not. */
export async function outputOf(stage: Stage, name: string, namespace = AGENTS): Promise<string> {
  const logs = (container: string) =>
    stage.kubectl(`logs ${name} --namespace ${namespace} --container ${container}`);
  try {
    await stage.kubectl(
      `wait --for jsonpath={.status.phase}=Succeeded pod/${name} --namespace ${namespace} --timeout 240s`,
    );
  } catch (error) {
    const told = await Promise.all([logs('agent'), logs('sidewarden')].map((text) => text.catch(String)));
    throw new Error(`the pod ${name} has not ended well:\n${told.join('\n')}`, { cause: error });
  }
  return logs('agent');
}

/** What the agent wrote, as soon as the pattern is in it. */
export async function saying(
  stage: Stage,
  name: string,
  pattern: RegExp,
  namespace = AGENTS,
): Promise<string> {
  let last = '';
  return until(
    `${name} says ${pattern.source}`,
    async () => {
      last = await stage.kubectl(`logs ${name} --namespace ${namespace} --container agent`);
      return pattern.test(last) ? last : undefined;
    },
    { every: 250 },
  ).catch((error: unknown) => {
    throw new Error(`${name} said only:\n${last.slice(-2000)}`, { cause: error });
  });
}

interface StandingCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface PodSession {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly connection: string; readonly identity: { readonly pod?: string } };
  readonly status?: {
    readonly phase?: string;
    readonly recording?: { readonly manifestDigest?: string };
    readonly conditions?: readonly StandingCondition[];
  };
}

export async function sessionsOf(
  stage: Stage,
  pod: string,
  namespace = AGENTS,
): Promise<readonly PodSession[]> {
  const text = await stage.kubectl(`get sessions --namespace ${ACCESS} --output json`);
  // As the API server gives them.
  const { items } = JSON.parse(text) as { readonly items: readonly PodSession[] };
  return items.filter(({ spec }) => spec.identity.pod === `${namespace}/${pod}`);
}

/** Waits until each of the pod's sessions is over, its role dropped and its recordings whole. */
export async function endedSessions(
  stage: Stage,
  pod: string,
  namespace = AGENTS,
): Promise<readonly PodSession[]> {
  return until(
    `the sessions of ${pod} have ended, with recordings`,
    async () => {
      const sessions = await sessionsOf(stage, pod, namespace);
      const over = sessions.filter(
        ({ status }) =>
          status?.phase === 'Ended' &&
          status.conditions?.some(({ type, status: is }) => type === 'RecordingComplete' && is === 'True') ===
            true,
      );
      return sessions.length > 0 && over.length === sessions.length ? sessions : undefined;
    },
    // Recordings that are not whole yet are looked at again after a quarter of a minute, and later after more.
    { limit: 180_000, every: 250 },
  );
}
