/** The API server as a pod reaches it: by the address in its environment, with its service account's token and authority. */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { KubeError } from './kube.ts';
import type { ClusterAccess, SignedOptions } from './transport.ts';

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Milliseconds: the kubelet replaces a token long before it ends. */
const FRESH = 60_000;

export interface PodPlace {
  readonly host: string;
  readonly port: string;
  /** Folder with `token` and `ca.crt`. */
  readonly folder: string;
}

/** Undefined when this is no pod. */
export function podPlaceFrom(env: Readonly<Record<string, string | undefined>>): PodPlace | undefined {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === '') return undefined;
  return { host, port, folder: env['SIDEWARDEN_SERVICE_ACCOUNT'] || FOLDER };
}

interface Credentials {
  readonly token: string;
  readonly ca: string;
  readonly until: number;
}

export class PodAccess implements ClusterAccess {
  readonly #place: PodPlace;
  #known: Credentials | undefined;

  constructor(place: PodPlace) {
    this.#place = place;
  }

  getCurrentCluster(): { readonly server: string } {
    const { host, port } = this.#place;
    return { server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}` };
  }

  /** Rejects with a `KubeError` when the files cannot be read. */
  async applyToHTTPSOptions(options: SignedOptions): Promise<void> {
    if (this.#known === undefined || this.#known.until < performance.now()) this.#known = await this.#read();
    const { token, ca } = this.#known;
    options.ca = ca;
    options.headers = { ...options.headers, authorization: `Bearer ${token}` };
  }

  async #read(): Promise<Credentials> {
    const { folder } = this.#place;
    const read = (name: string) => readFile(join(folder, name), 'utf8');
    try {
      const [token, ca] = await Promise.all([read('token'), read('ca.crt')]);
      return { token: token.trim(), ca, until: performance.now() + FRESH };
    } catch {
      throw new KubeError(`the service account in ${folder} cannot be read`, undefined);
    }
  }
}
