/** For tests: the operator's recordings over Kubernetes objects that lie in memory, and a broker that says them on as JSON. */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import pino from 'pino';
import type { Parsed } from '../crds/schema/failure.ts';
import { STORE_CREDENTIALS, type TestObjectStore } from './object-store.ts';
import {
  parseSealAnswer,
  parseSealRequest,
  parseUploadAnswer,
  parseUploadRequest,
} from '../sidecar/broker/protocol.ts';
import { sampleHeader } from '../sidecar/record/sample-session.ts';
import type { RecordingHeader } from '../sidecar/record/recorder.ts';
import { signerOf, trustedKeyOf, type RecordingSigner, type TrustedKey } from '../sidecar/record/signer.ts';
import type { RecordingBroker } from '../sidecar/record/upload/recording-broker.ts';
import {
  CACHED,
  type Cached,
  type Kube,
  type KubeObject,
  type Resource,
  type Store,
} from '../operator/kube/kube.ts';
import type { RecordingOwner } from '../operator/recordings/recordings.ts';
import { RecordingsError } from '../operator/recordings/recordings-error.ts';
import { StoredRecordings } from '../operator/recordings/service.ts';

export const OWNER: RecordingOwner = {
  namespace: 'production-access',
  connection: 'orders-db',
  session: 'orders-db-run-1',
};
export const CONNECTION = `${OWNER.namespace}/${OWNER.connection}`;

/** Objects by kind, namespace and name. */
export class TestObjects implements Pick<Kube, 'get' | 'stores'> {
  readonly #objects = new Map<string, KubeObject>();
  readonly stores: Readonly<Record<Cached, Store>>;

  constructor() {
    const store = (kind: string): Store => ({
      get: (namespace, name) => this.#objects.get(`${kind}/${namespace}/${name}`),
      list: () => [],
      watch: () => () => undefined,
    });
    const kinds: Readonly<Record<Cached, string>> = {
      connections: 'ProtectedConnection',
      policies: 'AccessPolicy',
      approvals: 'Approval',
      sessions: 'Session',
      pods: 'Pod',
      namespaces: 'Namespace',
    };
    const [connections, policies, approvals, sessions, pods, namespaces] = CACHED.map((one) =>
      store(kinds[one]),
    );
    if (!connections || !policies || !approvals || !sessions || !pods || !namespaces)
      throw new Error('no stores');
    this.stores = { connections, policies, approvals, sessions, pods, namespaces };
  }

  put(apiVersion: string, kind: string, name: string, rest: object): void {
    const metadata = {
      name,
      namespace: OWNER.namespace,
      uid: randomUUID(),
      resourceVersion: '1',
      creationTimestamp: '2026-11-21T12:00:00Z',
    };
    this.#objects.set(`${kind}/${OWNER.namespace}/${name}`, { apiVersion, kind, metadata, ...rest });
  }

  get({ kind }: Resource, namespace: string, name: string): Promise<KubeObject | undefined> {
    return Promise.resolve(this.#objects.get(`${kind}/${namespace}/${name}`));
  }
}

export function connectionSpec(configMap?: string): object {
  return {
    protocol: 'postgres',
    target: { host: 'orders.db.internal', port: 5432, database: 'orders' },
    credentials: { secretRef: { name: 'orders-db-admin' } },
    allowedNamespaces: {},
    identity: { sources: [{ serviceAccount: {} }] },
    recording: { ...(configMap === undefined ? {} : { configMapRef: { name: configMap } }) },
    listen: { port: 15432 },
  };
}

/** A connection that records into the bucket. */
export function testObjects(config: Readonly<Record<string, string>>): TestObjects {
  const objects = new TestObjects();
  objects.put('sidewarden.dev/v1alpha1', 'ProtectedConnection', OWNER.connection, {
    spec: connectionSpec('recordings'),
  });
  objects.put('v1', 'ConfigMap', 'recordings', { data: config });
  const data = Object.fromEntries(
    Object.entries(STORE_CREDENTIALS).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  objects.put('v1', 'Secret', 'recordings-store', { data });
  return objects;
}

export function recordingHeader(): RecordingHeader {
  const header = sampleHeader();
  const { namespace, connection: name } = OWNER;
  return { ...header, connection: { ...header.connection, namespace, name } };
}

export interface TestRecordings {
  readonly objects: TestObjects;
  readonly signer: RecordingSigner;
  readonly trusted: TrustedKey;
  readonly spool: string;
  recordings: StoredRecordings;
  readonly broker: RecordingBroker;
  /** As after a restart of the operator. */
  reopen(): Promise<void>;
}

export async function startTestRecordings(
  t: Pick<TestContext, 'after'>,
  store: TestObjectStore,
  bucket: string,
  more: { readonly config?: Readonly<Record<string, string>>; readonly spoolCapacity?: number } = {},
): Promise<TestRecordings> {
  const objects = testObjects(store.config(bucket, more.config));
  const signer = signerOf(generateKeyPairSync('ed25519').privateKey);
  const spool = await mkdtemp(join(tmpdir(), 'operator-spool-'));
  const log = pino({ level: 'silent' });
  const options = { kube: objects, signer, spool, spoolCapacity: more.spoolCapacity ?? 2 ** 26, log };
  const started: TestRecordings = {
    objects,
    signer,
    trusted: trustedKeyOf(signer),
    spool,
    recordings: await StoredRecordings.open(options),
    broker: brokerOver(() => started.recordings),
    reopen: async () => {
      await started.recordings.close();
      started.recordings = await StoredRecordings.open(options);
    },
  };
  t.after(async () => {
    await started.recordings.close();
    await rm(spool, { recursive: true, force: true });
  });
  return started;
}

/** What the broker would answer to a run of `OWNER`. */
function brokerOver(recordings: () => StoredRecordings): RecordingBroker {
  return {
    seal: (request, signal) =>
      answered(signal, async () => {
        const { recording, payload } = over(parseSealRequest, request);
        return over(
          parseSealAnswer,
          await recordings().seal(OWNER, recording, payload, recordingHeader().identity),
        );
      }),
    upload: (request, signal) =>
      answered(signal, async () =>
        over(parseUploadAnswer, await recordings().upload(OWNER, over(parseUploadRequest, request))),
      ),
    file: (request, content, signal) =>
      answered(signal, () => recordings().keep(OWNER, over(parseUploadRequest, request), content)),
  };
}

function over<T>(parse: (input: unknown) => Parsed<T>, message: object): T {
  const parsed = parse(JSON.parse(JSON.stringify(message)));
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

/** As the broker maps our codes to its own, and as the client gives up what its signal ends. */
async function answered<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  const given = Promise.withResolvers<never>();
  const giveUp = () => given.reject(Object.assign(new Error('given up'), { code: 'unavailable' }));
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([run(), given.promise]);
  } catch (error) {
    if (!(error instanceof RecordingsError)) throw error;
    const code = error.code === 'invalid' ? 'invalid' : 'unavailable';
    throw Object.assign(new Error(error.message), { code });
  }
}
