/** One run of an agent: an annotated Job with a shell script in it. */
import { until } from '../cluster/component.ts';
import { ACCESS, AGENTS, type Stage } from './stage.ts';

/** What tests change of a pod's manifest. */
export interface Pod {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    serviceAccountName: string;
    restartPolicy: string;
    containers: Record<string, unknown>[];
    [field: string]: unknown;
  };
}

export interface AgentJob {
  /** Waits until it is there. */
  pod(): Promise<string>;
  /** When its agent's container ended, ISO 8601. */
  podObject(): Promise<{ readonly finishedAt: string }>;
  /** Resolves when it is complete; throws with its logs when it fails or takes too long. */
  complete(): Promise<void>;
  logs(container?: string): Promise<string>;
  /** Makes a script go on that waits for `TOLD`; doing so twice changes nothing. */
  tell(): Promise<void>;
}

/** In a script: waits for `tell`, so that the run does not end before the test has seen what it must. */
export const TOLD = 'until [ -e /tmp/told ]; do sleep 0.2; done';

interface JobOptions {
  readonly name: string;
  readonly script: string;
  readonly connection?: string;
  /** The pod's own, in seconds. */
  readonly grace?: number;
}

export async function agentJob(stage: Stage, options: JobOptions): Promise<AgentJob> {
  const { name, script, connection = `${ACCESS}/orders-db`, grace = 30 } = options;
  await stage.cluster.apply(
    JSON.stringify({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace: AGENTS },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { annotations: { 'sidewarden.dev/connections': connection } },
          spec: {
            serviceAccountName: 'agent',
            restartPolicy: 'Never',
            terminationGracePeriodSeconds: grace,
            containers: [
              {
                name: 'agent',
                image: 'postgres:18',
                imagePullPolicy: 'IfNotPresent',
                command: ['sh', '-c', script],
              },
            ],
          },
        },
      },
    }),
  );
  const inPods = (path: string) =>
    stage.kubectl(`get pods --namespace ${AGENTS} --selector job-name=${name} --output jsonpath=${path}`);
  const logs = (container = 'agent') =>
    stage.kubectl(`logs job/${name} --namespace ${AGENTS} --container ${container}`);
  return {
    pod: () =>
      until(`the pod of ${name} is there`, async () => {
        const found = await inPods('{.items[0].metadata.name}').catch(() => '');
        return found === '' ? undefined : found;
      }),
    podObject: async () => ({
      finishedAt: await inPods(
        '{.items[0].status.containerStatuses[?(@.name=="agent")].state.terminated.finishedAt}',
      ),
    }),
    complete: async () => {
      try {
        await stage.kubectl(`wait --for condition=Complete job/${name} --namespace ${AGENTS} --timeout 300s`);
      } catch (error) {
        const told = await Promise.all([logs(), logs('sidewarden')].map((text) => text.catch(String)));
        throw new Error(`the job ${name} is not complete:\n${told.join('\n')}`, { cause: error });
      }
    },
    logs,
    tell: async () => {
      await stage.kubectl(`exec job/${name} --namespace ${AGENTS} --container agent -- touch /tmp/told`);
    },
  };
}
