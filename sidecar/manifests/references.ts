/** Whether what the objects name is there, and no two connections want the same port. */
import type { ProtectedConnectionSpec } from '../../crds/connection.ts';
import type { Path } from '../../crds/schema/path.ts';
import { manifestError, type ManifestError } from './location.ts';
import type { Loaded, Manifests } from './manifests.ts';

/** One mention of another object in the same namespace. */
interface Reference {
  readonly kind: 'Secret' | 'ConfigMap';
  readonly name: string;
  /** That it must have, not empty. */
  readonly keys: readonly string[];
  readonly path: Path;
  /** Where a missing key is complained of: at the key's own field where there is one. */
  readonly keyPath: Path;
}

/** `declared` has `Kind namespace/name` of objects with errors too: a mention of one is no further error. */
export function checkReferences(
  manifests: Manifests,
  declared: ReadonlySet<string>,
): readonly ManifestError[] {
  return [
    ...policyErrors(manifests, declared),
    ...connectionErrors(manifests, declared),
    ...portErrors(manifests),
  ];
}

function policyErrors({ policies }: Manifests, declared: ReadonlySet<string>): readonly ManifestError[] {
  return [...policies.values()].flatMap((policy) =>
    policy.object.spec.connections.flatMap((name, index) => {
      const id = `ProtectedConnection ${policy.namespace}/${name}`;
      return declared.has(id) ? [] : [missing(policy, ['spec', 'connections', index], id)];
    }),
  );
}

function connectionErrors(manifests: Manifests, declared: ReadonlySet<string>): readonly ManifestError[] {
  return [...manifests.connections.values()].flatMap((connection) =>
    referencesOf(connection.object.spec).flatMap((reference) =>
      referenceErrors(manifests, declared, connection, reference),
    ),
  );
}

function referencesOf(spec: ProtectedConnectionSpec): readonly Reference[] {
  const { credentials, recording, target, listen, identity } = spec;
  const { configMapKeyRef, secretKeyRef } = target.tls.caFrom ?? {};
  const ca: Path = ['spec', 'target', 'tls', 'caFrom'];
  return [
    whole('Secret', credentials.secretRef, ['username', 'password'], ['spec', 'credentials', 'secretRef']),
    ...(recording.configMapRef === undefined
      ? []
      : [whole('ConfigMap', recording.configMapRef, [], ['spec', 'recording', 'configMapRef'])]),
    ...(configMapKeyRef === undefined
      ? []
      : [keyed('ConfigMap', configMapKeyRef, [...ca, 'configMapKeyRef'])]),
    ...(secretKeyRef === undefined ? [] : [keyed('Secret', secretKeyRef, [...ca, 'secretKeyRef'])]),
    ...(listen.tls === undefined
      ? []
      : [
          whole(
            'Secret',
            listen.tls.secretRef,
            ['tls.crt', 'tls.key'],
            ['spec', 'listen', 'tls', 'secretRef'],
          ),
        ]),
    ...identity.sources.flatMap(({ token }, index) => {
      const path: Path = ['spec', 'identity', 'sources', index, 'token', 'secretKeyRef'];
      return token === undefined ? [] : [keyed('Secret', token.secretKeyRef, path)];
    }),
  ];
}

function whole(
  kind: Reference['kind'],
  { name }: { readonly name: string },
  keys: readonly string[],
  at: Path,
): Reference {
  const path = [...at, 'name'];
  return { kind, name, keys, path, keyPath: path };
}

function keyed(
  kind: Reference['kind'],
  ref: { readonly name: string; readonly key: string },
  at: Path,
): Reference {
  return { kind, name: ref.name, keys: [ref.key], path: [...at, 'name'], keyPath: [...at, 'key'] };
}

function referenceErrors(
  manifests: Manifests,
  declared: ReadonlySet<string>,
  from: Loaded<unknown>,
  { kind, name, keys, path, keyPath }: Reference,
): readonly ManifestError[] {
  const id = `${from.namespace}/${name}`;
  if (!declared.has(`${kind} ${id}`)) return [missing(from, path, `${kind} ${id}`)];
  const data = (kind === 'Secret' ? manifests.secrets : manifests.configMaps).get(id)?.object.data;
  if (data === undefined) return [];
  return keys
    .filter((key) => (data.get(key)?.length ?? 0) === 0)
    .map((key) => {
      const what = data.has(key) ? `has nothing in its key ${key}` : `has no key ${key}`;
      return manifestError(from, { path: keyPath, at: 'value', message: `${kind} ${id} ${what}` });
    });
}

function missing(from: Loaded<unknown>, path: Path, id: string): ManifestError {
  return manifestError(from, { path, at: 'value', message: `there is no ${id}` });
}

const EVERY_ADDRESS = ['0.0.0.0', '::'];

function portErrors({ connections }: Manifests): readonly ManifestError[] {
  const all = [...connections.values()];
  return all.flatMap((connection, index) => {
    const other = all.slice(0, index).find((earlier) => collide(connection, earlier));
    if (other === undefined) return [];
    const message = `ProtectedConnection ${other.namespace}/${other.name} listens on this port too`;
    return [manifestError(connection, { path: ['spec', 'listen', 'port'], at: 'value', message })];
  });
}

type Connection = Loaded<{ readonly spec: ProtectedConnectionSpec }>;

function collide(a: Connection, b: Connection): boolean {
  const [one, two] = [a.object.spec.listen, b.object.spec.listen];
  if (one.port !== two.port) return false;
  return (
    one.address === two.address ||
    [one.address, two.address].some((address) => EVERY_ADDRESS.includes(address))
  );
}
