/** etcd, kube-apiserver and, where wanted, kube-controller-manager: what both kinds of test cluster have in common. */
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { administrator, kubeconfigText } from './access.ts';
import { program } from './binaries.ts';
import { type Authority, createAuthority, type KeyPair, signingKey } from './certificates.ts';
import { type Component, startComponent, until } from './component.ts';

export interface ApiServerPlace {
  readonly folder: string;
  /** Where the API server listens and how it is reached. */
  readonly address: string;
  readonly port: number;
  readonly etcdPorts: { readonly client: number; readonly peer: number };
  readonly serviceRange: string;
  /** First address of the range, of the Service `kubernetes`. */
  readonly serviceAddress: string;
  /** Put before each command, e.g. `nsenter …`. */
  readonly inside?: readonly string[];
  readonly flags?: readonly string[];
}

export interface ApiServer {
  readonly url: string;
  readonly authority: Authority;
  readonly etcd: Component;
  readonly apiServer: Component;
  /** Paths of what other components are configured with. */
  readonly files: ApiServerFiles;
  /** Resolves when `/readyz` says so. */
  ready(): Promise<void>;
}

interface ApiServerFiles {
  readonly ca: string;
  /** The administrator's kubeconfig, for components. */
  readonly kubeconfig: string;
  readonly serviceAccountKey: string;
}

/** Starts both; returns before they are ready. */
export async function startApiServer(place: ApiServerPlace): Promise<ApiServer> {
  const { folder, address, port } = place;
  const inside = place.inside ?? [];
  const url = `https://${address}:${port}`;
  const etcd = startComponent({
    name: 'etcd',
    command: await program('etcd'),
    args: etcdArgs(place),
    log: join(folder, 'etcd.log'),
    inside,
  });
  const authority = await createAuthority(join(folder, 'pki'));
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'];
  const [server, admin] = await Promise.all([
    authority.server([
      ...names.map((name) => `DNS:${name}`),
      ...[address, '127.0.0.1', place.serviceAddress].map((ip) => `IP:${ip}`),
    ]),
    authority.client(administrator),
  ]);
  const files = await writeFiles({ folder, url, authority, server, admin });
  const apiServer = startComponent({
    name: 'kube-apiserver',
    command: await program('kube-apiserver'),
    args: [...apiServerArgs(place), ...(place.flags ?? [])],
    log: join(folder, 'kube-apiserver.log'),
    inside,
  });
  const ready = () =>
    until('the API server is ready', () => isReady(url, authority.certificate, admin), {
      limit: 120_000,
      every: 50,
      needs: [etcd, apiServer],
    }).then(() => undefined);
  return { url, authority, etcd, apiServer, files, ready };
}

interface Written {
  readonly folder: string;
  readonly url: string;
  readonly authority: Authority;
  readonly server: KeyPair;
  readonly admin: KeyPair;
}

async function writeFiles({ folder, url, authority, server, admin }: Written): Promise<ApiServerFiles> {
  const tokens = signingKey();
  const pki = join(folder, 'pki');
  await mkdir(pki, { recursive: true });
  const kubeconfig = join(folder, 'component.kubeconfig');
  const contents = {
    'server.crt': server.certificate,
    'server.key': server.key,
    'client.crt': admin.certificate,
    'client.key': admin.key,
    'tokens.pub': tokens.publicKey,
    'tokens.key': tokens.privateKey,
  };
  await Promise.all([
    ...Object.entries(contents).map(([name, text]) => writeFile(join(pki, name), text, { mode: 0o600 })),
    writeFile(
      kubeconfig,
      kubeconfigText({ url, ca: authority.certificate, subject: administrator, pair: admin }),
      {
        mode: 0o600,
      },
    ),
  ]);
  return { ca: join(pki, 'ca.crt'), kubeconfig, serviceAccountKey: join(pki, 'tokens.key') };
}

function etcdArgs({ folder, etcdPorts }: ApiServerPlace): string[] {
  const client = `http://127.0.0.1:${etcdPorts.client}`;
  const peer = `http://127.0.0.1:${etcdPorts.peer}`;
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    // Tests do not survive a power cut.
    '--unsafe-no-fsync',
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--log-level=warn',
  ];
}

function apiServerArgs({ folder, address, port, etcdPorts, serviceRange }: ApiServerPlace): string[] {
  const pki = (name: string) => join(folder, 'pki', name);
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPorts.client}`,
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
    `--secure-port=${port}`,
    `--service-cluster-ip-range=${serviceRange}`,
    `--tls-cert-file=${pki('server.crt')}`,
    `--tls-private-key-file=${pki('server.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    `--kubelet-client-certificate=${pki('client.crt')}`,
    `--kubelet-client-key=${pki('client.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki('tokens.pub')}`,
    `--service-account-signing-key-file=${pki('tokens.key')}`,
    '--authorization-mode=Node,RBAC',
    '--allow-privileged=true',
    '--profiling=false',
  ];
}

/** Tokens, garbage collection, Jobs, EndpointSlices: what controllers do. */
export async function startControllerManager(
  { files }: ApiServer,
  folder: string,
  inside: readonly string[] = [],
): Promise<Component> {
  return startComponent({
    name: 'kube-controller-manager',
    command: await program('kube-controller-manager'),
    args: [
      `--kubeconfig=${files.kubeconfig}`,
      `--root-ca-file=${files.ca}`,
      `--service-account-private-key-file=${files.serviceAccountKey}`,
      '--use-service-account-credentials=true',
      '--leader-elect=false',
      // No port of its own: several control planes run on one machine.
      '--secure-port=0',
    ],
    log: join(folder, 'kube-controller-manager.log'),
    inside,
  });
}

/** `true` or undefined. Throws while nothing listens. */
function isReady(url: string, ca: string, client: KeyPair): Promise<true | undefined> {
  return new Promise((done, fail) => {
    const options = { ca, cert: client.certificate, key: client.key };
    const asked = request(`${url}/readyz`, { ...options, agent: false, timeout: 5000 }, (response) => {
      response.resume();
      response.once('end', () => done(response.statusCode === 200 ? true : undefined));
      response.once('error', fail);
    });
    asked.once('timeout', () => asked.destroy(new Error('no answer from /readyz')));
    asked.once('error', fail);
    asked.end();
  });
}
