/**
 * Certificates without cert-manager: kept in one Secret that all replicas share, made by whichever comes first, looked at every
 * minute. A Secret that somebody deleted or broke is written anew from memory, so that what trusts us keeps trusting.
 */
import type { Logger } from 'pino';
import { parseSecret } from '../../crds/core.ts';
import { SECRETS, type Kube, type KubeObject } from '../kube/kube.ts';
import type { ServingCertificate } from './certificate-source.ts';
import { isJson, string } from './json.ts';
import { bundleOf, LIFETIMES, renewed, type Lifetimes, type Material } from './material.ts';
import { watchedCertificates, type WatchedCertificates } from './watched-certificates.ts';

export interface OwnCertificatesOptions {
  readonly kube: Pick<Kube, 'get' | 'create' | 'patch'>;
  /** The operator's. */
  readonly namespace: string;
  /** Name of the Secret. */
  readonly name: string;
  /** DNS names of the Service. */
  readonly hosts: readonly string[];
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds between looks; a minute when not given. */
  readonly interval?: number;
  readonly lifetimes?: Lifetimes;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const ATTEMPTS = 5;

/** Rejects with a `KubeError` when the Secret can neither be read nor made. */
export async function ownCertificates(options: OwnCertificatesOptions): Promise<WatchedCertificates> {
  const { log, interval = 60_000 } = options;
  let material: Material | undefined;
  const read = async () => {
    material = await shared(options, material);
    return servingOf(material);
  };
  return watchedCertificates(read, { log, interval, what: 'the serving certificate, or its authorities,' });
}

/** What the replicas have agreed on, renewed where that is due. */
async function shared(options: OwnCertificatesOptions, remembered: Material | undefined): Promise<Material> {
  const { kube, namespace, name, hosts, lifetimes = LIFETIMES, now = Date.now } = options;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const object = await kube.get(SECRETS, namespace, name);
    const stored = object === undefined ? undefined : materialOf(object);
    const next = await renewed(stored ?? remembered, hosts, now(), lifetimes);
    if (next === stored) return next;
    const written = await write(options, object, next);
    if (written.kind === 'written') return next;
    if (written.kind === 'rejected') throw new Error(`Secret ${namespace}/${name}: ${written.message}`);
    // Another replica was faster: its material counts.
  }
  throw new Error(`Secret ${namespace}/${name}: the replicas do not agree`);
}

function write(
  { kube, namespace, name }: OwnCertificatesOptions,
  object: KubeObject | undefined,
  next: Material,
) {
  const data = encoded(next);
  if (object === undefined) {
    const metadata = { name, namespace };
    return kube.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata, data });
  }
  const { resourceVersion } = object.metadata;
  return kube.patch(SECRETS, namespace, name, { metadata: { resourceVersion }, data });
}

function servingOf(material: Material): ServingCertificate {
  const { certificate, key } = material.serving;
  return { certificate, key, bundle: bundleOf(material) };
}

function encoded(material: Material): Readonly<Record<string, string>> {
  const texts = {
    'tls.crt': material.serving.certificate,
    'tls.key': material.serving.key,
    'ca.crt': bundleOf(material),
    authorities: JSON.stringify(material.authorities),
  };
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  );
}

/** Undefined when it does not hold what we wrote. */
function materialOf(secret: KubeObject): Material | undefined {
  const parsed = parseSecret(secret);
  if (parsed.kind === 'invalid') return undefined;
  const texts = ['tls.crt', 'tls.key', 'authorities'].map((key) => parsed.value.data.get(key)?.toString());
  const [certificate, key, list] = texts;
  if (certificate === undefined || key === undefined || list === undefined) return undefined;
  try {
    const authorities: unknown = JSON.parse(list);
    if (!Array.isArray(authorities) || !authorities.every(isJson)) return undefined;
    return {
      authorities: authorities.map((each) => ({
        certificate: string(each['certificate']),
        key: string(each['key']),
      })),
      serving: { certificate, key },
    };
  } catch {
    return undefined;
  }
}
