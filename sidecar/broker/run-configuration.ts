/** From what the broker sends to what is enforced: connection by connection, so that one that is broken leaves the others alone. */
import { quote } from '../../crds/schema/path.ts';
import {
  type Configuration,
  type ConnectionConfig,
  type Place,
  type UnusableConnection,
  compileManifests,
  configureConnection,
} from '../configuration.ts';
import { Collection } from '../manifests/collection.ts';
import type { ManifestDocument } from '../manifests/document.ts';
import { formatManifestErrors } from '../manifests/location.ts';
import type { Manifests } from '../manifests/manifests.ts';
import { messageOf } from '../policy/problem.ts';
import type { ConfigurationEvent } from './event.ts';

type Objects = ConfigurationEvent['manifests'];
type Listen = UnusableConnection['listen'];

/** Any configuration gives a result: what cannot be used of it is among the unusable, with the reason. */
export function configureRun(
  event: Pick<ConfigurationEvent, 'manifests' | 'unusable'>,
  place: Extract<Place, { kind: 'pod' }>,
): Configuration {
  const broken = new Broken();
  for (const { connection, message, port } of event.unusable)
    broken.add(connection, message, port === undefined ? undefined : { address: '127.0.0.1', port });
  const manifests = collect(event.manifests, broken);
  const compiled = compileSound(manifests, broken);
  const warnings: string[] = [];
  const connections: ConnectionConfig[] = [];
  for (const [id, loaded] of manifests.connections) {
    if (loaded.object.spec.protocol === 'postgres') broken.place(id, loaded.object.spec.listen);
    const found = configureConnection(loaded, manifests, place);
    warnings.push(...found.warnings);
    if (found.errors.length > 0) broken.add(id, formatManifestErrors(found.errors));
    else if (found.config && !broken.has(id)) connections.push(found.config);
  }
  return { connections, ...compiled, warnings, unusable: broken.all() };
}

/** Why connections cannot be used; the first reason counts. */
class Broken {
  readonly #messages = new Map<string, string>();
  readonly #places = new Map<string, Listen>();

  add(connection: string, message: string, listen?: Listen): void {
    if (!this.#messages.has(connection)) this.#messages.set(connection, message);
    if (listen) this.#places.set(connection, listen);
  }

  place(connection: string, { address, port }: NonNullable<Listen>): void {
    this.#places.set(connection, { address, port });
  }

  has(connection: string): boolean {
    return this.#messages.has(connection);
  }

  all(): readonly UnusableConnection[] {
    return [...this.#messages].map(([connection, message]) => ({
      connection,
      message,
      listen: this.#places.get(connection),
    }));
  }
}

function collect(objects: Objects, broken: Broken): Manifests {
  const collection = new Collection();
  for (const object of objects) {
    const before = collection.errors.length;
    collection.add(documentOf(object));
    const errors = collection.errors.slice(before);
    if (errors.length === 0) continue;
    for (const connection of touchedBy(object, objects)) broken.add(connection, formatManifestErrors(errors));
  }
  return collection.manifests();
}

/** A place in it is its path alone. */
function documentOf(value: Objects[number]): ManifestDocument {
  const file = idOf(value);
  const nowhere = () => ({ file, line: 0, column: 0 });
  return { value, locator: { locate: nowhere, locateKey: nowhere } };
}

/**
 * The connections that an object which cannot be read would have said something about: a policy those that it names, or all of its
 * namespace where even that cannot be told. What misses a Secret or a ConfigMap says so itself.
 */
function touchedBy(object: Objects[number], objects: Objects): readonly string[] {
  const { namespace, name } = metadataOf(object);
  if (object['kind'] === 'ProtectedConnection') return [`${namespace}/${name}`];
  if (object['kind'] !== 'AccessPolicy')
    return object['kind'] === 'Secret' || object['kind'] === 'ConfigMap' ? [] : everyOf(objects);
  const spec = object['spec'];
  const names: unknown = isObject(spec) ? spec['connections'] : undefined;
  if (Array.isArray(names) && names.every((one) => typeof one === 'string'))
    return names.map((one) => `${namespace}/${one}`);
  return everyOf(objects, namespace);
}

function everyOf(objects: Objects, namespace?: string): readonly string[] {
  return objects
    .filter((object) => object['kind'] === 'ProtectedConnection')
    .map(metadataOf)
    .filter((metadata) => namespace === undefined || metadata.namespace === namespace)
    .map((metadata) => `${metadata.namespace}/${metadata.name}`);
}

/** All policies that compile; connections of the others are broken. */
function compileSound(manifests: Manifests, broken: Broken): Pick<Configuration, 'policies' | 'digests'> {
  const all = compileManifests(manifests);
  if (all.kind === 'compiled') return { policies: all.policies, digests: all.digests };
  const sound = new Map(manifests.policies);
  for (const problem of all.problems) {
    const policy = manifests.policies.get(problem.policy);
    sound.delete(problem.policy);
    const message = `policy ${problem.policy}, rule ${quote(problem.rule)}: ${problem.path}: ${messageOf(problem)}`;
    for (const name of policy?.object.spec.connections ?? [])
      broken.add(`${policy?.namespace ?? ''}/${name}`, message);
  }
  const rest = compileManifests({ policies: sound });
  // Each is compiled for itself: those without a problem have none without the others either.
  if (rest.kind === 'refused') throw new Error('policies do not compile twice alike');
  return { policies: rest.policies, digests: rest.digests };
}

function idOf(object: Objects[number]): string {
  const { namespace, name } = metadataOf(object);
  return `${String(object['kind'])} ${namespace}/${name}`;
}

function metadataOf(object: Objects[number]): { readonly namespace: string; readonly name: string } {
  const metadata = object['metadata'];
  const { namespace, name }: Readonly<Record<string, unknown>> = isObject(metadata) ? metadata : {};
  return {
    namespace: typeof namespace === 'string' ? namespace : '',
    name: typeof name === 'string' ? name : '',
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
