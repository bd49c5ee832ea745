/** Keeps the CA bundle in our two webhook configurations right; any replica may, and doing it twice changes nothing. */
import type { Logger } from 'pino';
import type { Kube, Resource } from '../kube/kube.ts';
import type { Certificates } from './certificate-source.ts';
import { object, objects } from './json.ts';

const configuration = (kind: string, plural: string): Resource => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind,
  plural,
  namespaced: false,
});
const CONFIGURATIONS = [
  configuration('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations'),
  configuration('ValidatingWebhookConfiguration', 'validatingwebhookconfigurations'),
];
const ATTEMPTS = 5;

export interface KeepWebhooksOptions {
  readonly kube: Pick<Kube, 'get' | 'patch'>;
  /** Of both configurations. */
  readonly name: string;
  readonly certificates: Certificates;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds between looks, since somebody may apply the chart again; a minute when not given. */
  readonly interval?: number;
}

/** Looks now, after every change of the certificates, and every `interval`. Returns how to stop. */
export function keepWebhooks(options: KeepWebhooksOptions): () => Promise<void> {
  const { certificates, name, kube, log } = options;
  let working: Promise<void> = Promise.resolve();
  const look = () => {
    working = working
      .then(() => setBundles(kube, name, certificates.current().bundle))
      .then((changed) => {
        if (changed) log.info({ name }, 'the webhook configurations have our CA bundle');
      })
      .catch((error: unknown) => {
        const message = error instanceof Error ? error.message : 'unknown';
        log.warn({ name, message }, 'the webhook configurations could not be looked at');
      });
  };
  const stopWatching = certificates.watch(look);
  const timer = setInterval(look, options.interval ?? 60_000);
  timer.unref();
  look();
  return () => {
    stopWatching();
    clearInterval(timer);
    return working;
  };
}

/** Whether anything had to be changed. Rejects with a `KubeError`, or when a configuration is not there. */
export async function setBundles(
  kube: Pick<Kube, 'get' | 'patch'>,
  name: string,
  bundle: string,
): Promise<boolean> {
  const changed = await Promise.all(CONFIGURATIONS.map((each) => setBundle(kube, each, name, bundle)));
  return changed.includes(true);
}

async function setBundle(
  kube: Pick<Kube, 'get' | 'patch'>,
  resource: Resource,
  name: string,
  bundle: string,
): Promise<boolean> {
  const caBundle = Buffer.from(bundle).toString('base64');
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const found = await kube.get(resource, '', name);
    if (found === undefined) throw new Error(`there is no ${resource.kind} ${name}`);
    const webhooks = objects(found['webhooks']);
    if (webhooks.every((each) => object(each['clientConfig'])['caBundle'] === caBundle)) return false;
    const next = webhooks.map((each) => ({
      ...each,
      clientConfig: { ...object(each['clientConfig']), caBundle },
    }));
    const { resourceVersion } = found.metadata;
    const written = await kube.patch(resource, '', name, { metadata: { resourceVersion }, webhooks: next });
    if (written.kind === 'written') return true;
    if (written.kind === 'rejected') throw new Error(`${resource.kind} ${name}: ${written.message}`);
  }
  throw new Error(`${resource.kind} ${name} changes faster than it can be written`);
}
