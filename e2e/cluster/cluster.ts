/**
 * A whole Kubernetes with one node, in namespaces of its own: API server, controllers, scheduler, containerd, kubelet, kube-proxy
 * and DNS. Pods run, Services and their names work, and this machine reaches API server and pods by their addresses.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Access, createAccess } from './access.ts';
import { type ApiServer, startApiServer, startControllerManager } from './api-server.ts';
import { program } from './binaries.ts';
import { type Component, startComponent, until } from './component.ts';
import { containerdConfig, corefile, kubeletConfig, networkConfig, proxyConfig } from './configuration.ts';
import { Containers } from './containers.ts';
import { type Image, writeImage } from './image.ts';
import { pauseImage } from './images.ts';
import { type Node, startNode } from './node.ts';
import { makeStateFolder } from './state-folder.ts';

export type ClusterComponent =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'containerd'
  | 'kubelet'
  | 'kube-proxy'
  | 'coredns';

export interface ClusterOptions {
  /** Imported before the node gets ready; name them in pods with `imagePullPolicy: Never` or `IfNotPresent`. */
  readonly images?: readonly Image[];
  /** Further flags of kube-apiserver. */
  readonly flags?: readonly string[];
}

/** What any cluster can do, also one that the user named. */
export interface Cluster extends Access {
  /** For what belongs to this cluster; goes away with it. */
  readonly folder: string;
  /** Puts an image together and imports it. */
  addImage(image: Image): Promise<void>;
  /** Ends every process of a cluster that the suite started; removes the folder. */
  stop(): Promise<void>;
}

/** One that the suite started, with what only such a one lets tests do. */
export interface OwnCluster extends Cluster {
  readonly node: Node;
  readonly containers: Containers;
  /** SIGKILL unless another signal is named; returns when the process is gone. Pods outlive kubelet and containerd. */
  kill(name: ClusterComponent, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a killed component; returns when the API server or containerd serves again, where it was one of these. */
  start(name: ClusterComponent): Promise<void>;
  restart(name: ClusterComponent): Promise<void>;
  logs(name: ClusterComponent): string;
}

/** Throws with the logs when it does not get ready. */
export async function startCluster(options: ClusterOptions = {}): Promise<OwnCluster> {
  const folder = await makeStateFolder('sidewarden-cluster');
  const parts: Parts = { folder, node: undefined, components: [] };
  try {
    return await startIn(parts, options);
  } catch (error) {
    await stop(parts);
    throw error;
  }
}

interface Parts {
  readonly folder: string;
  node: Node | undefined;
  readonly components: Component[];
}

async function startIn(parts: Parts, options: ClusterOptions): Promise<OwnCluster> {
  const { folder, components } = parts;
  const node = await startNode(folder);
  parts.node = node;
  const server = await startApiServer({
    folder,
    address: node.address,
    port: 6443,
    etcdPorts: { client: 2379, peer: 2380 },
    serviceRange: node.serviceRange,
    serviceAddress: node.serviceAddress,
    inside: node.inside,
    flags: ['--enable-admission-plugins=NodeRestriction', ...(options.flags ?? [])],
  });
  components.push(server.etcd, server.apiServer);
  const containerd = await startContainerd(folder, node);
  components.push(containerd);
  const containers = new Containers(folder, node);
  const addImage = async (image: Image) => {
    const file = join(folder, 'image.tar');
    await writeImage(image, file);
    await containers.importImage(file);
    await rm(file);
  };
  // While the API server starts.
  const images = (async () => {
    await until('containerd serves', () => containers.ctr(['version']), { needs: [containerd] });
    for (const image of [await pauseImage(), ...(options.images ?? [])]) await addImage(image);
  })();
  await Promise.all([server.ready(), images]);
  const { url, authority } = server;
  const access = await createAccess({
    folder,
    url,
    ca: authority.certificate,
    client: (subject) => authority.client(subject),
  });
  components.push(await startControllerManager(server, folder, node.inside));
  components.push(...(await startNodeComponents({ folder, node, server, access })));
  await ready(access, components);
  return {
    ...access,
    folder,
    node,
    containers,
    addImage,
    ...handles({ components, server, containers }),
    stop: () => stop(parts),
  };
}

async function startContainerd(folder: string, node: Node): Promise<Component> {
  const config = join(folder, 'containerd.toml');
  await writeFile(config, containerdConfig(folder));
  await writeFile(join(folder, 'network.conflist'), networkConfig(node));
  await node.shell(`mkdir -p ${folder}/cni && cp ${folder}/network.conflist ${folder}/cni/`);
  return startComponent({
    name: 'containerd',
    command: await program('containerd'),
    args: ['--config', config],
    log: join(folder, 'containerd.log'),
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    inside: node.inside,
  });
}

interface NodeParts {
  readonly folder: string;
  readonly node: Node;
  readonly server: ApiServer;
  readonly access: Access;
}

async function startNodeComponents({ folder, node, server, access }: NodeParts): Promise<Component[]> {
  const file = (name: string) => join(folder, name);
  const kubelet = await access.kubeconfigFor({ user: `system:node:${node.name}`, groups: ['system:nodes'] });
  const { kubeconfig, ca } = server.files;
  await writeFile(file('resolv.conf'), '');
  await writeFile(file('kubelet.json'), kubeletConfig(folder, node, ca));
  await writeFile(file('kube-proxy.json'), proxyConfig(node, kubeconfig));
  await writeFile(file('Corefile'), corefile(node, kubeconfig));
  const start = async (
    name: 'kube-scheduler' | 'kubelet' | 'kube-proxy' | 'coredns',
    args: readonly string[],
  ) =>
    startComponent({
      name,
      command: await program(name),
      args,
      log: file(`${name}.log`),
      inside: node.inside,
      // kubelet ends when containerd does not answer at once.
      keep: true,
    });
  return Promise.all([
    start('kube-scheduler', [`--kubeconfig=${kubeconfig}`, '--leader-elect=false']),
    start('kubelet', [
      `--config=${file('kubelet.json')}`,
      `--kubeconfig=${kubelet}`,
      `--node-ip=${node.address}`,
      `--hostname-override=${node.name}`,
    ]),
    start('kube-proxy', [`--config=${file('kube-proxy.json')}`, `--hostname-override=${node.name}`]),
    start('coredns', ['-conf', file('Corefile')]),
  ]);
}

/** The node takes pods, and pods can have their tokens. */
async function ready(access: Access, components: readonly Component[]): Promise<void> {
  const has = (what: string, args: readonly string[], expected: RegExp) =>
    until(
      what,
      async () => {
        const { stdout } = await access.kubectlOutcome(args);
        return expected.test(stdout) ? true : undefined;
      },
      { limit: 120_000, every: 200, needs: components },
    );
  const status = '{range .status.conditions[?(@.type=="Ready")]}{.status}{end} {.spec.taints}';
  // Taints of the time before it was ready keep pods away until the controller has removed them.
  await has('the node is ready', ['get', 'node', 'node-1', '-o', `jsonpath=${status}`], /^True *$/);
  await has('there are service accounts', ['get', 'serviceaccount', 'default', '-o', 'name'], /default/);
  await has(
    'there is the authority for pods',
    ['get', 'configmap', 'kube-root-ca.crt', '-o', 'name'],
    /kube-root-ca/,
  );
}

interface Handled {
  readonly components: readonly Component[];
  readonly server: ApiServer;
  readonly containers: Containers;
}

function handles({
  components,
  server,
  containers,
}: Handled): Pick<OwnCluster, 'kill' | 'start' | 'restart' | 'logs'> {
  const find = (name: ClusterComponent) => {
    const component = components.find((each) => each.name === name);
    if (!component) throw new Error(`there is no ${name}`);
    return component;
  };
  const start = async (name: ClusterComponent) => {
    find(name).start();
    if (name === 'etcd' || name === 'kube-apiserver') await server.ready();
    if (name === 'containerd') await until('containerd serves', () => containers.ctr(['version']));
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

async function stop({ folder, node, components }: Parts): Promise<void> {
  await node?.stop();
  await Promise.all(components.map((component) => component.kill()));
  await rm(folder, { recursive: true, force: true });
}
