/**
 * What a connection's sidecar needs beside the connection: the referenced keys, and how to tell that the credentials changed.
 * Secrets and ConfigMaps are in no cache of ours: those of connections in use are read anew every `INTERVAL`, and when the
 * connection changes. Of the credentials' Secret only the version stays.
 */
import { createHash } from 'node:crypto';
import type { ProtectedConnection } from '../../crds/connection.ts';
import { CONFIG_MAPS, SECRETS, type Kube, type KubeObject } from '../kube/kube.ts';
import { forbiddenIn, isForbidden } from '../kube/reading.ts';
import { readPlace } from '../recordings/places.ts';
import { RecordingsError } from '../recordings/recordings-error.ts';
import { field } from '../kube/field.ts';
import { manifestOf, type Manifest } from './manifest.ts';
import { referencesOf, type Reference } from './references.ts';

export type Material =
  | { readonly kind: 'complete'; readonly manifests: readonly Manifest[]; readonly credentials: string }
  | { readonly kind: 'incomplete'; readonly message: string };

/** Milliseconds. */
const INTERVAL = 15_000;
/** When the API server could not be asked. */
const RETRY = 1_000;

interface Entry {
  /** Of the connection that the material is for. */
  spec: string;
  connection: ProtectedConnection | undefined;
  material: Material | undefined;
  reading: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
  users: number;
}

export class Materials {
  readonly #kube: Pick<Kube, 'get'>;
  readonly #changed: (id: string) => void;
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  /** `changed` is called with `namespace/name` of a connection whose material is another than before. */
  constructor(kube: Pick<Kube, 'get'>, changed: (id: string) => void) {
    this.#kube = kube;
    this.#changed = changed;
  }

  /** From now on the connection's material is kept fresh, until the returned function is called as often. */
  use(id: string): () => void {
    const entry = this.#entry(id);
    entry.users += 1;
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      entry.users -= 1;
      if (entry.users > 0) return;
      clearTimeout(entry.timer);
      this.#entries.delete(id);
    };
  }

  /** What is known, or what a first reading finds; call `use` before. */
  async of(id: string, connection: ProtectedConnection): Promise<Material> {
    const entry = this.#entry(id);
    const spec = JSON.stringify(connection.spec);
    if (entry.spec !== spec) {
      entry.spec = spec;
      entry.connection = connection;
      entry.material = undefined;
    }
    if (entry.material === undefined) await (entry.reading ?? this.#read(id, entry));
    // The connection may have changed while an earlier reading went on.
    if (entry.material === undefined) await this.#read(id, entry);
    return entry.material ?? { kind: 'incomplete', message: 'what it refers to is being read' };
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    this.#entries.clear();
  }

  #entry(id: string): Entry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    const nothing = { connection: undefined, material: undefined, reading: undefined, timer: undefined };
    const entry: Entry = { spec: '', ...nothing, users: 0 };
    this.#entries.set(id, entry);
    return entry;
  }

  #read(id: string, entry: Entry): Promise<void> {
    entry.reading ??= this.#readNow(id, entry).finally(() => {
      entry.reading = undefined;
    });
    return entry.reading;
  }

  async #readNow(id: string, entry: Entry): Promise<void> {
    clearTimeout(entry.timer);
    const { spec, connection, material: before } = entry;
    if (connection === undefined) return;
    let delay = INTERVAL;
    try {
      const material = await readMaterial(this.#kube, connection);
      if (entry.spec !== spec) return;
      entry.material = material;
      if (before !== undefined && !same(before, material)) this.#changed(id);
    } catch (error) {
      delay = RETRY;
      // What was read before stays; without it the connection waits.
      const message = isForbidden(error)
        ? forbiddenIn(connection.metadata.namespace ?? '')
        : 'what it refers to cannot be read now';
      if (entry.spec === spec) entry.material ??= { kind: 'incomplete', message };
    } finally {
      if (!this.#closed && this.#entries.get(id) === entry)
        entry.timer = setTimeout(() => void this.#read(id, entry), delay).unref();
    }
  }
}

function same(a: Material, b: Material): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Rejects with a `KubeError`. */
async function readMaterial(kube: Pick<Kube, 'get'>, connection: ProtectedConnection): Promise<Material> {
  const references = referencesOf(connection);
  if (typeof references === 'string') return { kind: 'incomplete', message: references };
  const namespace = connection.metadata.namespace ?? '';
  const { name } = connection.spec.credentials.secretRef;
  const [secret, ...objects] = await Promise.all([
    kube.get(SECRETS, namespace, name),
    ...references.map(({ kind, name: referenced }) =>
      kube.get(kind === 'Secret' ? SECRETS : CONFIG_MAPS, namespace, referenced),
    ),
  ]);
  if (secret === undefined) return { kind: 'incomplete', message: `there is no Secret ${namespace}/${name}` };
  const manifests: Manifest[] = [];
  for (const [index, reference] of references.entries()) {
    const picked = pick(reference, namespace, objects[index]);
    if (typeof picked === 'string') return { kind: 'incomplete', message: picked };
    manifests.push(picked);
  }
  const nowhere = await recordsNowhere(kube, connection);
  if (nowhere !== undefined) return { kind: 'incomplete', message: nowhere };
  return { kind: 'complete', manifests, credentials: versionOf(secret) };
}

/** Why what a run does could not be stored, whatever the store itself says later. Rejects when that cannot be known. */
async function recordsNowhere(
  kube: Pick<Kube, 'get'>,
  { metadata, spec }: ProtectedConnection,
): Promise<string | undefined> {
  const { configMapRef } = spec.recording;
  if (configMapRef === undefined) return undefined;
  try {
    await readPlace(kube, metadata.namespace ?? '', configMapRef.name);
    return undefined;
  } catch (error) {
    if (error instanceof RecordingsError && error.code === 'misconfigured')
      return `its recordings have no place: ${error.message}`;
    throw error;
  }
}

/** The object with the keys that are named and no other; a message when it lacks one. */
function pick(
  { kind, name, keys }: Reference,
  namespace: string,
  object: KubeObject | undefined,
): Manifest | string {
  if (object === undefined) return `there is no ${kind} ${namespace}/${name}`;
  const data: Record<string, string> = {};
  for (const key of keys) {
    const value = field(object, ['data', key]);
    if (typeof value !== 'string' || value === '') return `${kind} ${namespace}/${name} has no key ${key}`;
    data[key] = value;
  }
  const { apiVersion, metadata } = manifestOf(object);
  return { apiVersion, kind, metadata: { name: metadata.name, namespace: metadata.namespace }, data };
}

function versionOf({ metadata: { name, uid, resourceVersion } }: KubeObject): string {
  return createHash('sha256')
    .update(JSON.stringify([name, uid, resourceVersion]))
    .digest('base64url');
}
