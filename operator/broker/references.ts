/**
 * Which keys of which Secrets and ConfigMaps a connection's sidecar needs. Never those of `spec.credentials`; nor of token sources,
 * which count nowhere in a pod.
 */
import type { ProtectedConnection } from '../../crds/connection.ts';

export interface Reference {
  readonly kind: 'Secret' | 'ConfigMap';
  /** In the connection's namespace. */
  readonly name: string;
  readonly keys: readonly string[];
}

const CREDENTIAL_KEYS = ['username', 'password'];

/** One for each object. A message when something names the credentials themselves. */
export function referencesOf({ spec }: ProtectedConnection): readonly Reference[] | string {
  const { target, listen, credentials } = spec;
  const all: Reference[] = [];
  const add = (kind: Reference['kind'], name: string, ...keys: string[]) => all.push({ kind, name, keys });
  const { configMapKeyRef, secretKeyRef } = target.tls.caFrom ?? {};
  if (configMapKeyRef) add('ConfigMap', configMapKeyRef.name, configMapKeyRef.key);
  if (secretKeyRef) add('Secret', secretKeyRef.name, secretKeyRef.key);
  if (listen.tls) add('Secret', listen.tls.secretRef.name, 'tls.crt', 'tls.key');
  const { name } = credentials.secretRef;
  const leak = all.some((reference) => {
    if (reference.kind !== 'Secret' || reference.name !== name) return false;
    return reference.keys.some((key) => CREDENTIAL_KEYS.includes(key));
  });
  if (leak) return `the target's credentials in the Secret ${name} are named as something else too`;
  return merged(all);
}

function merged(all: readonly Reference[]): readonly Reference[] {
  const byObject = new Map<string, Reference>();
  for (const { kind, name, keys } of all) {
    const id = `${kind} ${name}`;
    const known = byObject.get(id)?.keys ?? [];
    byObject.set(id, { kind, name, keys: [...new Set([...known, ...keys])] });
  }
  return [...byObject.values()];
}
