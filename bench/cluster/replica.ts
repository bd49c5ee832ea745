/** One replica of the operator as a process, with what its pod would have: certificates, a service account, a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAuthority } from '../../e2e/cluster/certificates.ts';
import type { ControlPlane } from '../../e2e/cluster/control-plane.ts';
import type { Transport } from '../../operator/kube/transport.ts';
import { answered, textAt } from './api.ts';
import { OPERATOR } from './manifests.ts';
import { type Program, startProgram } from './program.ts';

/** Ports. */
export interface Replica {
  readonly admission: number;
  readonly broker: number;
  readonly http: number;
}

export interface Place {
  readonly plane: ControlPlane;
  /** Folder as cert-manager's Secret is mounted. */
  readonly certificates: string;
  /** PEM of their authority. */
  readonly ca: string;
  /** Folder as the kubelet mounts it. */
  readonly account: string;
}

export async function preparePlace(plane: ControlPlane, api: Transport): Promise<Place> {
  const authority = await createAuthority(join(plane.folder, 'operator-pki'));
  const { certificate, key } = await authority.server(['DNS:localhost', 'IP:127.0.0.1']);
  const ca = authority.certificate;
  const files = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': ca };
  const certificates = await folderOf(join(plane.folder, 'operator-certificates'), files);
  const made = await answered(api, {
    method: 'POST',
    path: `/api/v1/namespaces/${OPERATOR}/serviceaccounts/sidewarden/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 86_400 },
    },
  });
  const signIn = { token: textAt(made, 'status', 'token'), 'ca.crt': plane.ca };
  return { plane, certificates, ca, account: await folderOf(join(plane.folder, 'operator-account'), signIn) };
}

async function folderOf(folder: string, files: Readonly<Record<string, string>>): Promise<string> {
  await mkdir(folder);
  for (const [name, text] of Object.entries(files))
    await writeFile(join(folder, name), text, { mode: 0o600 });
  return folder;
}

/** Does not wait until it is ready. */
export async function startReplica(place: Place, ports: Replica, name: string): Promise<Program> {
  const { plane, certificates, account } = place;
  const spool = join(plane.folder, name);
  await mkdir(spool);
  const server = new URL(plane.url);
  const env = {
    KUBERNETES_SERVICE_HOST: server.hostname,
    KUBERNETES_SERVICE_PORT: server.port,
    SIDEWARDEN_SERVICE_ACCOUNT: account,
    SIDEWARDEN_NAMESPACE: OPERATOR,
    SIDEWARDEN_REPLICA: name,
    SIDEWARDEN_SIDECAR_IMAGE: 'sidewarden-sidecar:bench',
    SIDEWARDEN_ADDRESS: '127.0.0.1',
    SIDEWARDEN_ADMISSION_PORT: String(ports.admission),
    SIDEWARDEN_BROKER_PORT: String(ports.broker),
    SIDEWARDEN_HTTP_PORT: String(ports.http),
    SIDEWARDEN_CERTIFICATES: certificates,
    SIDEWARDEN_SPOOL: spool,
  };
  return startProgram('Dockerfile.operator', env, join(plane.folder, `${name}.log`));
}
