/** The operator: admission and broker on every replica, controllers on the one that leads. */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { stampHandler } from './admission/approvals.ts';
import type { Certificates } from './admission/certificate-source.ts';
import { podHandlers } from './admission/handlers.ts';
import { mountedCertificates } from './admission/mounted-certificates.ts';
import { ownCertificates } from './admission/own-certificates.ts';
import { startAdmission, type Handler } from './admission/server.ts';
import { validateHandler } from './admission/validate.ts';
import { keepWebhooks } from './admission/webhooks.ts';
import { createApprovals } from './approval/approvals.ts';
import { loadStamper, type Stamper } from './approval/stamp.ts';
import { startBroker } from './broker/server.ts';
import { startHttp } from './http.ts';
import { connectKube, type RunningKube } from './kube/connect.ts';
import { NAMESPACES, type Kube } from './kube/kube.ts';
import { electLeader } from './kube/leader.ts';
import type { PodPlace } from './kube/pod-access.ts';
import { OperatorMetrics } from './metrics.ts';
import { createPostgresProvisioner } from './provision/postgres/provisioner.ts';
import type { Provisioner } from './provision/provisioner.ts';
import { approvalController } from './reconcile/approval.ts';
import { connectionHoldController } from './reconcile/connection-hold.ts';
import { connectionController } from './reconcile/connection.ts';
import { runController, type Controller, type RunningController } from './reconcile/controller.ts';
import { orphanController } from './reconcile/orphan.ts';
import { policyController } from './reconcile/policy.ts';
import { sessionController } from './reconcile/session.ts';
import { signInToPostgres } from './reconcile/sign-in.ts';
import { recordingReady } from './recordings/recording-ready.ts';
import { StoredRecordings } from './recordings/service.ts';
import { loadRecordingKey } from './recordings/signing-key.ts';
import type { Settings } from './settings.ts';

export interface OperatorOptions {
  readonly settings: Settings;
  /** Path; the pod's own service account when not given. */
  readonly kubeconfig: string | undefined;
  readonly pod?: PodPlace | undefined;
  readonly log: Logger;
  /** Milliseconds between not being ready and listening no more: until nobody is sent here. None when not given. */
  readonly drain?: number;
}

export interface Operator {
  readonly ports: { readonly admission: number; readonly broker: number; readonly http: number };
  leads(): boolean;
  /** Not ready from now on; sidecars are sent to the other replica, what has begun ends, the Lease is given back. */
  close(): Promise<void>;
}

/** What is started in turn, and ended in the opposite one. */
class Shutdown {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.unshift(step);
  }

  async run(log: Logger): Promise<void> {
    for (const step of this.#steps.splice(0)) {
      try {
        await step();
      } catch (error) {
        log.warn({ err: error }, 'a part could not be ended cleanly');
      }
    }
  }
}

/** Resolves when this replica is ready. Rejects, with nothing left running, when it cannot start. */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const shutdown = new Shutdown();
  try {
    return await start(options, shutdown);
  } catch (error) {
    await shutdown.run(options.log);
    throw error;
  }
}

async function start(options: OperatorOptions, shutdown: Shutdown): Promise<Operator> {
  const { settings, log } = options;
  let ready = false;
  const metrics = new OperatorMetrics();
  const http = await startHttp(settings.address, settings.ports.http, {
    ready: () => ready,
    metrics: () => metrics.text(),
    metricsType: metrics.contentType,
  });
  shutdown.add(() => http.close());
  const kube = await connectKube({ kubeconfig: options.kubeconfig, pod: options.pod, log });
  shutdown.add(() => kube.close());
  const certificates = await certificatesOf(settings, kube, log, shutdown);
  const stamper = await loadStamper(kube, settings.namespace);
  const recordings = await StoredRecordings.open({
    kube,
    signer: await loadRecordingKey(kube, settings.namespace),
    spool: join(settings.spool.folder, 'spool'),
    spoolCapacity: settings.spool.limit,
    log,
  });
  shutdown.add(() => recordings.close());
  const provisioner = createPostgresProvisioner(await installationOf(kube, settings.namespace));
  shutdown.add(() => provisioner.close());
  const approvals = createApprovals({ kube, stamper, log });
  shutdown.add(() => approvals.close());
  await kube.synced;

  const parts: Parts = { settings, kube, log, metrics, certificates, stamper, recordings, provisioner };
  const broker = await startBroker({
    kube,
    approvals,
    recordings,
    provisioner: provisionerOf(parts),
    log: log.child({ part: 'broker' }),
    port: settings.ports.broker,
    address: settings.address,
    certificates,
    observe: (route, code, duration) => metrics.requested(route, code, duration),
  });
  shutdown.add(() => broker.close());
  const admission = await startAdmission({
    port: settings.ports.admission,
    address: settings.address,
    certificates,
    handlers: handlersOf(parts),
    log: log.child({ part: 'admission' }),
    observe: (path, kind, duration) => metrics.answered(path, kind, duration),
  });
  shutdown.add(() => admission.close());
  if (settings.certificates === undefined)
    shutdown.add(keepWebhooks({ kube, name: settings.webhooks, certificates, log }));

  shutdown.add(() => sleep(options.drain ?? 0));
  const leadership = lead(parts, shutdown);
  metrics.watch({
    ...kube.stores,
    ...leadership,
    streams: () => broker.streams(),
    spoolBytes: () => recordings.spoolBytes,
    certificateExpires: () => Date.parse(new X509Certificate(certificates.current().certificate).validTo),
  });
  shutdown.add(() => {
    ready = false;
    admission.drain();
  });
  ready = true;
  return {
    ports: { admission: admission.port, broker: broker.port, http: http.port },
    leads: leadership.leads,
    close: () => shutdown.run(log),
  };
}

interface Parts {
  readonly settings: Settings;
  readonly kube: RunningKube;
  readonly log: Logger;
  readonly metrics: OperatorMetrics;
  readonly certificates: Certificates;
  readonly stamper: Stamper;
  readonly recordings: StoredRecordings;
  readonly provisioner: Provisioner;
}

function provisionerOf({ provisioner }: Parts): (protocol: string) => Provisioner | undefined {
  return (protocol) => (protocol === 'postgres' ? provisioner : undefined);
}

async function certificatesOf(
  settings: Settings,
  kube: Kube,
  log: Logger,
  shutdown: Shutdown,
): Promise<Certificates> {
  const { namespace, service } = settings;
  const certificates =
    settings.certificates === undefined
      ? await ownCertificates({
          kube,
          namespace,
          name: `${service}-certificates`,
          hosts: [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`],
          log,
        })
      : await mountedCertificates(settings.certificates, log);
  shutdown.add(() => certificates.close());
  return certificates;
}

/** Never changes while the cluster lives, and is another one in another cluster. */
async function installationOf(kube: Kube, namespace: string): Promise<string> {
  const system = await kube.get(NAMESPACES, '', 'kube-system');
  if (system === undefined) throw new Error('there is no namespace kube-system');
  return `${system.metadata.uid}/${namespace}`;
}

function handlersOf({ settings, kube, certificates, stamper }: Parts): Readonly<Record<string, Handler>> {
  const { image, pullPolicy, resources, spoolLimit } = settings.sidecar;
  const brokerUrl = `https://${settings.service}.${settings.namespace}.svc:8443`;
  // As the chart names it, after what else of it has no namespace.
  const approverRole = `${settings.webhooks}-approver`;
  const approvals = { kube, stamper, operator: settings.username, approverRole };
  return {
    ...podHandlers({ kube, certificates, settings: { image, pullPolicy, resources, spoolLimit, brokerUrl } }),
    '/stamp': stampHandler(approvals),
    '/validate': validateHandler(approvals),
  };
}

function controllersOf(parts: Parts): readonly Controller[] {
  const { settings, kube, log, stamper, recordings } = parts;
  const provisioner = provisionerOf(parts);
  return [
    policyController(kube),
    connectionController({
      kube,
      signIn: signInToPostgres,
      recordingReady: (namespace, configMap) => recordingReady(recordings.places, namespace, configMap),
    }),
    approvalController({ kube, stamper, ttl: settings.endedTtl, log }),
    sessionController({ kube, provisioner, recordings, ttl: settings.endedTtl }),
    connectionHoldController(kube),
    orphanController({ kube, provisioner, log }),
  ];
}

/** Runs the controllers while this replica leads. */
function lead(
  parts: Parts,
  shutdown: Shutdown,
): { readonly leads: () => boolean; readonly controllers: () => readonly RunningController[] } {
  const { settings, kube, log, metrics } = parts;
  let running: readonly RunningController[] = [];
  const election = electLeader(
    kube,
    { namespace: settings.namespace, name: settings.service, identity: settings.replica, log },
    {
      onStarted: () => {
        running = controllersOf(parts).map((controller) =>
          runController(controller, { log, onTurn: (name, turn) => metrics.reconciled(name, turn) }),
        );
      },
      onStopped: async () => {
        const ended = running;
        running = [];
        await Promise.all(ended.map((controller) => controller.stop()));
      },
    },
  );
  shutdown.add(() => election.close());
  return { leads: () => election.leading, controllers: () => running };
}
