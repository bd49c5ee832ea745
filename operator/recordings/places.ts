/** Buckets by the ConfigMap that names them, read anew every few seconds; what cannot be read now stays what it was. */
import { parseConfigMap, parseSecret } from '../../crds/core.ts';
import type { FieldError, Parsed } from '../../crds/schema/failure.ts';
import { formatPath } from '../../crds/schema/path.ts';
import { Bucket } from '../../sidecar/record/object-store/bucket.ts';
import {
  parseObjectStorePlace,
  parseStoreCredentials,
  type ObjectStorePlace,
  type StoreCredentials,
} from '../../sidecar/record/object-store/place.ts';
import { CONFIG_MAPS, SECRETS, type Kube, type KubeObject, type Resource } from '../kube/kube.ts';
import { guarded, RecordingsError } from './recordings-error.ts';

type Objects = Pick<Kube, 'get'>;

interface Known {
  /** What the bucket was opened with. */
  readonly settings: string;
  readonly bucket: Bucket;
  readonly readAt: number;
}

/** Milliseconds for which what was read is taken as it is: an upload is asked for every few seconds a session. */
const FRESH = 10_000;

export class Places {
  readonly #kube: Objects;
  readonly #known = new Map<string, Known>();
  readonly #reading = new Map<string, Promise<Bucket>>();

  constructor(kube: Objects) {
    this.#kube = kube;
  }

  /** The bucket that a ConfigMap names. Rejects with a `RecordingsError`. */
  async bucket(namespace: string, configMap: string): Promise<Bucket> {
    const id = `${namespace}/${configMap}`;
    const known = this.#known.get(id);
    if (known !== undefined && performance.now() - known.readAt < FRESH) return known.bucket;
    let reading = this.#reading.get(id);
    if (reading === undefined) {
      reading = this.#read(namespace, configMap).finally(() => this.#reading.delete(id));
      this.#reading.set(id, reading);
    }
    return reading;
  }

  close(): void {
    for (const { bucket } of this.#known.values()) bucket.close();
    this.#known.clear();
  }

  async #read(namespace: string, configMap: string): Promise<Bucket> {
    const id = `${namespace}/${configMap}`;
    const { place, credentials } = await readPlace(this.#kube, namespace, configMap);
    const settings = JSON.stringify([place, credentials]);
    const known = this.#known.get(id);
    // Requests under way with the old one end by themselves: its connections close when they are idle.
    const bucket = known?.settings === settings ? known.bucket : await Bucket.open(place, credentials);
    this.#known.set(id, { settings, bucket, readAt: performance.now() });
    return bucket;
  }
}

/** Rejects with a `RecordingsError`: `misconfigured` with all that is wrong, or `unavailable`. */
export async function readPlace(
  kube: Objects,
  namespace: string,
  configMap: string,
): Promise<{ readonly place: ObjectStorePlace; readonly credentials: StoreCredentials }> {
  const found = await read(kube, CONFIG_MAPS, namespace, configMap);
  const name = `ConfigMap ${namespace}/${configMap}`;
  const place = parsed(name, parseObjectStorePlace(parsed(name, parseConfigMap(found)).data));
  const secret = await read(kube, SECRETS, namespace, place.credentialsSecret);
  const secretName = `Secret ${namespace}/${place.credentialsSecret}`;
  const credentials = parsed(secretName, parseStoreCredentials(parsed(secretName, parseSecret(secret)).data));
  return { place, credentials };
}

async function read(kube: Objects, resource: Resource, namespace: string, name: string): Promise<KubeObject> {
  const object = await guarded(() => kube.get(resource, namespace, name));
  if (object === undefined)
    throw new RecordingsError('misconfigured', `there is no ${resource.kind} ${namespace}/${name}`);
  return object;
}

function parsed<T>(what: string, result: Parsed<T>): T {
  if (result.kind === 'parsed') return result.value;
  throw new RecordingsError('misconfigured', `${what}: ${result.errors.map(errorText).join('; ')}`);
}

function errorText({ path, message }: FieldError): string {
  return path.length === 0 ? message : `${formatPath(path)}: ${message}`;
}
