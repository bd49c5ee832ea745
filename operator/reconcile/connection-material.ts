/** What a connection names beside itself, read live: its Secrets, its certificates, its ConfigMap. No message says a value. */
import { X509Certificate, createHash } from 'node:crypto';
import type { ConnectionReason, ProtectedConnection } from '../../crds/connection.ts';
import { parseConfigMap, parseSecret } from '../../crds/core.ts';
import { CONFIG_MAPS, type Kube, SECRETS } from '../kube/kube.ts';
import { readNamed } from '../kube/reading.ts';
import type { Administrator } from '../provision/provisioner.ts';

export type ConnectionMaterial =
  | {
      readonly kind: 'complete';
      readonly administrator: Administrator;
      /** Another one when anything that a sign-in rests on is another. */
      readonly fingerprint: string;
    }
  | { readonly kind: 'wrong'; readonly reason: ConnectionReason; readonly message: string };

type Wrong = Extract<ConnectionMaterial, { kind: 'wrong' }>;
type Values<Name extends string> =
  | { readonly kind: 'values'; readonly values: Readonly<Record<Name, string>>; readonly version: string }
  | Wrong;

/** Rejects with a `KubeError` when the API server cannot be asked. */
export async function readConnectionMaterial(
  kube: Pick<Kube, 'get'>,
  connection: ProtectedConnection,
): Promise<ConnectionMaterial> {
  const { credentials, target, listen } = connection.spec;
  const namespace = connection.metadata.namespace ?? '';
  const login = await readSecret(kube, namespace, credentials.secretRef.name, ['username', 'password']);
  if (login.kind === 'wrong') return login;
  if (listen.tls) {
    const { name } = listen.tls.secretRef;
    const pair = await readSecret(kube, namespace, name, ['tls.crt', 'tls.key']);
    if (pair.kind === 'wrong') return pair;
    const problem = certificateProblem(pair.values['tls.crt']);
    if (problem !== undefined)
      return wrong('CertificateInvalid', `the key tls.crt of the Secret ${name} ${problem}`);
  }
  const ca = await readAuthority(kube, connection);
  if (ca?.kind === 'wrong') return ca;
  const { username, password } = login.values;
  return {
    kind: 'complete',
    administrator: { username, password, ca: ca?.values.ca },
    fingerprint: createHash('sha256')
      .update(JSON.stringify([target, login.version, ca?.values.ca]))
      .digest('base64url'),
  };
}

async function readAuthority(
  kube: Pick<Kube, 'get'>,
  { metadata, spec }: ProtectedConnection,
): Promise<Values<'ca'> | undefined> {
  const { configMapKeyRef, secretKeyRef } = spec.target.tls.caFrom ?? {};
  const reference = secretKeyRef ?? configMapKeyRef;
  if (!reference) return undefined;
  const read = secretKeyRef ? readSecret : readConfigMap;
  const found = await read(kube, metadata.namespace ?? '', reference.name, [reference.key]);
  if (found.kind === 'wrong') return found;
  const ca = found.values[reference.key] ?? '';
  const problem = certificateProblem(ca);
  if (problem === undefined) return { ...found, values: { ca } };
  const kind = secretKeyRef ? 'Secret' : 'ConfigMap';
  return wrong('CertificateInvalid', `the key ${reference.key} of the ${kind} ${reference.name} ${problem}`);
}

async function readSecret<Name extends string>(
  kube: Pick<Kube, 'get'>,
  namespace: string,
  name: string,
  keys: readonly Name[],
): Promise<Values<Name>> {
  const reading = await readNamed(kube, SECRETS, namespace, name);
  if (reading.kind === 'forbidden') return wrong('SecretNotFound', reading.message);
  if (reading.kind === 'missing') return wrong('SecretNotFound', `there is no Secret ${name}`);
  const { object } = reading;
  const parsed = parseSecret(object);
  if (parsed.kind === 'invalid') return wrong('SecretKeyMissing', `the Secret ${name} cannot be read`);
  const text = (key: string) => parsed.value.data.get(key)?.toString('utf8');
  return pick(`Secret ${name}`, keys, text, object.metadata);
}

async function readConfigMap<Name extends string>(
  kube: Pick<Kube, 'get'>,
  namespace: string,
  name: string,
  keys: readonly Name[],
): Promise<Values<Name>> {
  const reading = await readNamed(kube, CONFIG_MAPS, namespace, name);
  if (reading.kind === 'forbidden') return wrong('ConfigMapNotFound', reading.message);
  if (reading.kind === 'missing') return wrong('ConfigMapNotFound', `there is no ConfigMap ${name}`);
  const { object } = reading;
  const parsed = parseConfigMap(object);
  if (parsed.kind === 'invalid') return wrong('ConfigMapNotFound', `the ConfigMap ${name} cannot be read`);
  return pick(`ConfigMap ${name}`, keys, (key) => parsed.value.data.get(key), object.metadata);
}

function pick<Name extends string>(
  what: string,
  keys: readonly Name[],
  text: (key: string) => string | undefined,
  { uid, resourceVersion }: { readonly uid: string; readonly resourceVersion: string },
): Values<Name> {
  const values = new Map<Name, string>();
  for (const key of keys) {
    const value = text(key);
    if (value === undefined || value === '')
      return wrong('SecretKeyMissing', `the ${what} has no key ${key}`);
    if (value.includes('\0'))
      return wrong('SecretKeyMissing', `the key ${key} of the ${what} holds a zero byte`);
    values.set(key, value);
  }
  // Each name was just put there.
  const record = Object.fromEntries(values) as Record<Name, string>;
  return { kind: 'values', values: record, version: `${uid} ${resourceVersion}` };
}

/** Undefined when it is one certificate or several, in PEM form. */
function certificateProblem(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu) ?? [];
  if (blocks.length === 0) return 'holds no certificate in PEM form';
  try {
    for (const block of blocks) new X509Certificate(block);
    return undefined;
  } catch {
    return 'holds a certificate that cannot be read';
  }
}

function wrong(reason: ConnectionReason, message: string): Wrong {
  return { kind: 'wrong', reason, message };
}
