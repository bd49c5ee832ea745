/** Documents to objects: each by its kind's parser, each name once. */
import { parseConnection, type ProtectedConnection } from '../../crds/connection.ts';
import { parseConfigMap, parseSecret, type ConfigMap, type Secret } from '../../crds/core.ts';
import { parsePolicy, type AccessPolicy } from '../../crds/policy.ts';
import type { Parsed } from '../../crds/schema/failure.ts';
import { API_VERSION, type Metadata } from '../../crds/schema/kind.ts';
import { quote } from '../../crds/schema/path.ts';
import type { ManifestDocument } from './document.ts';
import { manifestError, type ManifestError } from './location.ts';
import type { Loaded, Manifests } from './manifests.ts';

const DEFAULT_NAMESPACE = 'default';

type ManifestKind = 'ProtectedConnection' | 'AccessPolicy' | 'Secret' | 'ConfigMap';

interface Named {
  readonly metadata: Metadata;
}

/** How one kind is read and kept. */
interface Shelf<T> {
  readonly kind: ManifestKind;
  readonly parse: (input: unknown) => Parsed<T>;
  readonly objects: Map<string, Loaded<T>>;
}

export class Collection {
  readonly errors: ManifestError[] = [];
  /** `Kind namespace/name` of all documents that have these, those with errors too. */
  readonly declared = new Set<string>();
  readonly #connections: Shelf<ProtectedConnection> = shelf('ProtectedConnection', parseConnection);
  readonly #policies: Shelf<AccessPolicy> = shelf('AccessPolicy', parsePolicy);
  readonly #secrets: Shelf<Secret> = shelf('Secret', parseSecret);
  readonly #configMaps: Shelf<ConfigMap> = shelf('ConfigMap', parseConfigMap);

  manifests(): Manifests {
    return {
      connections: this.#connections.objects,
      policies: this.#policies.objects,
      secrets: this.#secrets.objects,
      configMaps: this.#configMaps.objects,
    };
  }

  add(document: ManifestDocument): void {
    const { value } = document;
    if (!isObject(value)) {
      this.#fail(document, [], 'must be an object with apiVersion and kind');
      return;
    }
    const missing = ['apiVersion', 'kind'].filter((field) => typeof value[field] !== 'string');
    for (const field of missing) this.#fail(document, [field], 'is required, as a string');
    if (missing.length === 0) this.#addKind(document, String(value['apiVersion']), String(value['kind']));
  }

  #addKind(document: ManifestDocument, apiVersion: string, kind: string): void {
    switch (`${apiVersion} ${kind}`) {
      case `${API_VERSION} ProtectedConnection`:
        this.#keep(this.#connections, document);
        break;
      case `${API_VERSION} AccessPolicy`:
        this.#keep(this.#policies, document);
        break;
      case 'v1 Secret':
        this.#keep(this.#secrets, document);
        break;
      case 'v1 ConfigMap':
        this.#keep(this.#configMaps, document);
        break;
      case `${API_VERSION} Approval`:
      case `${API_VERSION} Session`:
        this.#fail(document, ['kind'], `${kind} objects are made by Sidewarden itself, not by manifests`);
        break;
      default:
        this.#fail(document, ['kind'], unknownKind(apiVersion, kind));
    }
  }

  #keep<T extends Named>(shelf: Shelf<T>, document: ManifestDocument): void {
    const declared = declaredId(document.value);
    if (declared !== null) this.declared.add(`${shelf.kind} ${declared}`);
    const parsed = shelf.parse(document.value);
    if (parsed.kind === 'invalid') {
      this.errors.push(...parsed.errors.map((error) => manifestError(document.locator, error)));
      return;
    }
    const { name, namespace = DEFAULT_NAMESPACE } = parsed.value.metadata;
    const object = { ...parsed.value, metadata: { ...parsed.value.metadata, namespace } };
    const id = `${namespace}/${name}`;
    const earlier = shelf.objects.get(id)?.locateKey([]);
    if (earlier === undefined) shelf.objects.set(id, { ...document.locator, namespace, name, object });
    else {
      const message = `${shelf.kind} ${id} is there already, in ${earlier.file} at line ${earlier.line}`;
      this.#fail(document, ['metadata', 'name'], message);
    }
  }

  #fail({ locator }: ManifestDocument, path: readonly string[], message: string): void {
    this.errors.push(manifestError(locator, { path, at: 'value', message }));
  }
}

function shelf<T>(kind: ManifestKind, parse: (input: unknown) => Parsed<T>): Shelf<T> {
  return { kind, parse, objects: new Map() };
}

function unknownKind(apiVersion: string, kind: string): string {
  const known = `ProtectedConnection and AccessPolicy of ${API_VERSION}, Secret and ConfigMap of v1`;
  return `kind ${quote(kind)} of ${quote(apiVersion)} is unknown; known are ${known}`;
}

/** `namespace/name` of any document that has a name, whatever else is wrong with it. */
function declaredId(value: unknown): string | null {
  if (!isObject(value) || !isObject(value['metadata'])) return null;
  const { name, namespace } = value['metadata'];
  if (typeof name !== 'string') return null;
  return `${typeof namespace === 'string' ? namespace : DEFAULT_NAMESPACE}/${name}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
