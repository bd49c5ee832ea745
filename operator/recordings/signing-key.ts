/**
 * The operator's key for recordings: Ed25519, in a Secret of the operator's namespace, made once by whichever replica comes first.
 * Its public half stands in a ConfigMap of the same name, for whoever verifies recordings.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { parseConfigMap, parseSecret } from '../../crds/core.ts';
import { RecordingError } from '../../sidecar/record/recording-error.ts';
import { parsePrivateKey, signerOf, type RecordingSigner } from '../../sidecar/record/signer.ts';
import { CONFIG_MAPS, SECRETS, type Kube } from '../kube/kube.ts';
import { RecordingsError } from './recordings-error.ts';

/** Name of the Secret and of the ConfigMap. */
export const RECORDING_KEY = 'sidewarden-recording-key';
const PRIVATE_KEY = 'recording.ed25519';
const PUBLIC_KEY = 'recording.ed25519.pub';

type Objects = Pick<Kube, 'get' | 'create' | 'patch'>;

/** `namespace` is the operator's. Rejects with `misconfigured` when the Secret holds no key: it is never replaced. */
export async function loadRecordingKey(kube: Objects, namespace: string): Promise<RecordingSigner> {
  const key = (await readKey(kube, namespace)) ?? (await makeKey(kube, namespace));
  const signer = signerOf(key);
  await publish(kube, namespace, signer.publicKey);
  return signer;
}

async function readKey(kube: Objects, namespace: string): Promise<KeyObject | undefined> {
  const object = await kube.get(SECRETS, namespace, RECORDING_KEY);
  if (object === undefined) return undefined;
  const secret = parseSecret(object);
  const pem = secret.kind === 'parsed' ? secret.value.data.get(PRIVATE_KEY) : undefined;
  const name = `Secret ${namespace}/${RECORDING_KEY}`;
  if (pem === undefined) throw new RecordingsError('misconfigured', `${name} has no ${PRIVATE_KEY}`);
  try {
    return parsePrivateKey(pem, name);
  } catch (error) {
    if (error instanceof RecordingError) throw new RecordingsError('misconfigured', error.message, error);
    throw error;
  }
}

async function makeKey(kube: Objects, namespace: string): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
  const written = await kube.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: RECORDING_KEY, namespace },
    type: 'Opaque',
    // Nobody changes it by mistake: recordings signed with another key would no longer verify.
    immutable: true,
    data: { [PRIVATE_KEY]: Buffer.from(pem).toString('base64') },
  });
  if (written.kind === 'written') return privateKey;
  // The other replica was first.
  const key = written.kind === 'conflict' ? await readKey(kube, namespace) : undefined;
  if (key === undefined) {
    throw new RecordingsError('unavailable', `Secret ${namespace}/${RECORDING_KEY} cannot be made`);
  }
  return key;
}

async function publish(kube: Objects, namespace: string, key: KeyObject): Promise<void> {
  const pem = key.export({ format: 'pem', type: 'spki' });
  const data = { [PUBLIC_KEY]: String(pem) };
  const metadata = { name: RECORDING_KEY, namespace };
  const written = await kube.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
  if (written.kind !== 'conflict') return;
  const found = parseConfigMap(await kube.get(CONFIG_MAPS, namespace, RECORDING_KEY));
  if (found.kind === 'parsed' && found.value.data.get(PUBLIC_KEY) === data[PUBLIC_KEY]) return;
  await kube.patch(CONFIG_MAPS, namespace, RECORDING_KEY, { data });
}
