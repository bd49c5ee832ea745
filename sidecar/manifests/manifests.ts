/** The manifests of a folder: what `serve` runs from, and `policy check` checks. */
import type { ProtectedConnection } from '../../crds/connection.ts';
import type { ConfigMap, Secret } from '../../crds/core.ts';
import type { AccessPolicy } from '../../crds/policy.ts';
import { parseFile, type ManifestDocument } from './document.ts';
import { readFolder, type Folder } from './folder.ts';
import { Collection } from './collection.ts';
import type { Locator, ManifestError } from './location.ts';
import { checkReferences } from './references.ts';

/** One object, and where in the files it is. */
export interface Loaded<T> extends Locator {
  readonly namespace: string;
  readonly name: string;
  readonly object: T;
}

/** All objects by `namespace/name`. */
export interface Manifests {
  readonly connections: ReadonlyMap<string, Loaded<ProtectedConnection>>;
  readonly policies: ReadonlyMap<string, Loaded<AccessPolicy>>;
  readonly secrets: ReadonlyMap<string, Loaded<Secret>>;
  readonly configMaps: ReadonlyMap<string, Loaded<ConfigMap>>;
}

export type LoadResult =
  | {
      readonly kind: 'loaded';
      readonly manifests: Manifests;
      /** Of the files' content; give it to `watchManifests`, so that nothing is missed in between. */
      readonly digest: string;
    }
  /** All errors at once, by file, line and column. */
  | { readonly kind: 'invalid'; readonly errors: readonly ManifestError[]; readonly digest: string };

/**
 * `unchecked` leaves out whether what objects name exists: for `policy check` of a single file.
 */
export interface LoadOptions {
  readonly references: 'checked' | 'unchecked';
}

/** Loads a folder or a single file. Expected outcomes are values: it does not reject for bad files. */
export async function loadManifests(
  path: string,
  options: LoadOptions = { references: 'checked' },
): Promise<LoadResult> {
  return manifestsOf(await readFolder(path), options);
}

function manifestsOf(folder: Folder, options: LoadOptions): LoadResult {
  const files = folder.files.map(parseFile);
  const unread = [...folder.errors, ...files.flatMap((file) => file.errors)];
  const collection = new Collection();
  for (const document of files.flatMap((file): readonly ManifestDocument[] => file.documents)) {
    collection.add(document);
  }
  const manifests = collection.manifests();
  // What could not be read may hold what is missed.
  const checked = options.references === 'checked' && unread.length === 0;
  const references = checked ? checkReferences(manifests, collection.declared) : [];
  const errors = [...unread, ...collection.errors, ...references];
  const { digest } = folder;
  return errors.length === 0
    ? { kind: 'loaded', manifests, digest }
    : { kind: 'invalid', errors: errors.sort(byPlace), digest };
}

function byPlace(a: ManifestError, b: ManifestError): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
