/** Runs without a kubelet: an injected pod, a token bound to it, and the words that the kubelet would say. */
import { CONNECTIONS_ANNOTATION } from '../../operator/kube/names.ts';
import { BROKER_AUDIENCE } from '../../sidecar/broker/protocol.ts';
import { answered, patch, textAt } from './api.ts';
import { AGENTS } from './manifests.ts';
import type { Stage } from './stage.ts';

export interface Run {
  readonly name: string;
  readonly uid: string;
  readonly token: string;
}

export function podOf(name: string, namespace: string, connections: string, account = 'agent'): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations: { [CONNECTIONS_ANNOTATION]: connections } },
    spec: {
      serviceAccountName: account,
      restartPolicy: 'Never',
      // Nothing schedules it.
      nodeSelector: { 'kubernetes.io/hostname': 'nowhere' },
      containers: [
        {
          name: 'agent',
          image: 'agent:1',
          command: ['sh', '-c', 'psql'],
          env: [{ name: 'JOB', value: name }],
        },
      ],
    },
  };
}

const pods = `/api/v1/namespaces/${AGENTS}/pods`;

export async function startRun(
  { api, kubelet }: Stage,
  name: string,
  connections: string,
  account = 'agent',
): Promise<Run> {
  const body = podOf(name, AGENTS, connections, account);
  const pod = await answered(api, { method: 'POST', path: pods, body });
  const uid = textAt(pod, 'metadata', 'uid');
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name, uid };
  const [made] = await Promise.all([
    answered(kubelet, {
      method: 'POST',
      path: `/api/v1/namespaces/${AGENTS}/serviceaccounts/${account}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [BROKER_AUDIENCE], expirationSeconds: 7200, boundObjectRef },
      },
    }),
    say(kubelet, name, 'Running', { running: { startedAt: now() } }),
  ]);
  return { name, uid, token: textAt(made, 'status', 'token') };
}

/** Its agent's container has ended. */
export async function endRun({ kubelet }: Stage, { name }: Run): Promise<void> {
  const terminated = { exitCode: 0, startedAt: now(), finishedAt: now() };
  await say(kubelet, name, 'Running', { terminated });
}

/** A pod that is not wanted any more. */
export async function removeRun({ api }: Stage, { name }: Run): Promise<void> {
  await answered(api, { method: 'DELETE', path: `${pods}/${name}`, query: { gracePeriodSeconds: '0' } });
}

async function say(api: Stage['api'], name: string, phase: string, state: object): Promise<void> {
  const containerStatuses = [
    { name: 'agent', state, ready: false, restartCount: 0, image: 'agent:1', imageID: '' },
  ];
  await patch(api, `${pods}/${name}/status`, { status: { phase, containerStatuses } });
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/u, 'Z');
}
