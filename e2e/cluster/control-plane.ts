/**
 * A real Kubernetes API on loopback, without nodes: etcd and kube-apiserver with RBAC and the usual admission plugins, ready
 * after some seconds. What most tests need: kinds, admission, users, leases, watches. Several may run at once.
 */
import { rm } from 'node:fs/promises';
import { freePort } from '../postgres.ts';
import { type Access, createAccess } from './access.ts';
import { type ApiServer, startApiServer, startControllerManager } from './api-server.ts';
import { program } from './binaries.ts';
import { type Component, until } from './component.ts';
import { makeStateFolder } from './state-folder.ts';

export type ControlPlaneComponent = 'etcd' | 'kube-apiserver' | 'kube-controller-manager';

export interface ControlPlaneOptions {
  /** Also kube-controller-manager: service accounts in new namespaces, garbage collection, namespaces that go away. */
  readonly controllers?: boolean;
  /** Further flags of kube-apiserver. */
  readonly flags?: readonly string[];
}

export interface ControlPlane extends Access {
  /** Its folder, with a log a component. */
  readonly folder: string;
  /** SIGKILL unless another signal is named; returns when the process is gone. */
  kill(name: ControlPlaneComponent, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a killed component; returns when the API server serves again. */
  start(name: ControlPlaneComponent): Promise<void>;
  /** `kill` and `start`. */
  restart(name: ControlPlaneComponent): Promise<void>;
  logs(name: ControlPlaneComponent): string;
  /** Kills everything and removes the folder. */
  stop(): Promise<void>;
}

/** The reason why no control plane can be started here, for `skip`; builds the programs when they are not cached. */
export async function controlPlaneUnavailable(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'test clusters start on Linux only';
  try {
    for (const name of ['etcd', 'kube-apiserver', 'kubectl', 'kube-controller-manager'] as const)
      await program(name);
    return undefined;
  } catch (error) {
    return `no Kubernetes API server: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Throws with the logs when it does not get ready. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  let problem: unknown;
  // Between finding a free port and taking it, another process may.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const folder = await makeStateFolder('sidewarden-control-plane');
    const components: Component[] = [];
    try {
      return await startIn(folder, components, options);
    } catch (error) {
      problem = error;
      await stopAll(components, folder);
      if (!String(error).includes('address already in use')) break;
    }
  }
  throw problem;
}

async function startIn(
  folder: string,
  components: Component[],
  options: ControlPlaneOptions,
): Promise<ControlPlane> {
  const [port, client, peer] = await Promise.all([freePort(), freePort(), freePort()]);
  const server = await startApiServer({
    folder,
    address: '127.0.0.1',
    port,
    etcdPorts: { client, peer },
    serviceRange: '10.96.0.0/16',
    serviceAddress: '10.96.0.1',
    // Loopback must not become an endpoint, so the Service `kubernetes` has none.
    flags: ['--endpoint-reconciler-type=none', ...(options.flags ?? [])],
  });
  components.push(server.etcd, server.apiServer);
  await server.ready();
  const { url, authority } = server;
  const access = await createAccess({
    folder,
    url,
    ca: authority.certificate,
    client: (subject) => authority.client(subject),
  });
  await until('the namespace default is there', async () => {
    const { code } = await access.kubectlOutcome(['get', 'namespace', 'default']);
    return code === 0 ? true : undefined;
  });
  if (options.controllers === true) {
    components.push(await startControllerManager(server, folder));
    await until('the service account default is there', async () => {
      const { code } = await access.kubectlOutcome(['get', 'serviceaccount', 'default']);
      return code === 0 ? true : undefined;
    });
  }
  return { ...access, folder, ...handles(components, server), stop: () => stopAll(components, folder) };
}

function handles(
  components: readonly Component[],
  server: ApiServer,
): Pick<ControlPlane, 'kill' | 'start' | 'restart' | 'logs'> {
  const find = (name: ControlPlaneComponent) => {
    const component = components.find((each) => each.name === name);
    if (!component) throw new Error(`this control plane was started without ${name}`);
    return component;
  };
  const start = async (name: ControlPlaneComponent) => {
    find(name).start();
    await server.ready();
  };
  return {
    kill: (name, signal) => find(name).kill(signal),
    start,
    restart: async (name) => {
      await find(name).kill();
      await start(name);
    },
    logs: (name) => find(name).logs(),
  };
}

async function stopAll(components: readonly Component[], folder: string): Promise<void> {
  await Promise.all(components.map((component) => component.kill()));
  await rm(folder, { recursive: true, force: true });
}
