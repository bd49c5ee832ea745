/** A real S3 server with versions and Object Lock for tests: versitygw over a folder. It can be killed and started again. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { parseObjectStorePlace, type ObjectStorePlace } from '../sidecar/record/object-store/place.ts';
import { program } from './cluster/binaries.ts';
import { startComponent, until } from './cluster/component.ts';
import { makeStateFolder } from './cluster/state-folder.ts';
import { freePort } from './postgres.ts';

export const STORE_CREDENTIALS = { accessKeyId: 'sidewarden-test', secretAccessKey: 'not-a-secret-here' };

export interface TestObjectStore {
  readonly endpoint: string;
  /** Signs in as the server's root. */
  readonly client: S3Client;
  /** Objects as files, `bucket/key`: for tampering behind the server's back. */
  readonly folder: string;
  /** A ConfigMap's data for a bucket of this server. */
  config(bucket: string, more?: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  place(bucket: string, more?: Readonly<Record<string, string>>): ObjectStorePlace;
  /** With Object Lock, and so versions, unless told. */
  makeBucket(bucket: string, lock?: 'locked' | 'plain' | 'versioned'): Promise<void>;
  kill(): Promise<void>;
  /** Takes connections and never answers, until it is killed. */
  freeze(): void;
  /** After `kill`, or when it runs; resolves when it answers. */
  start(): Promise<void>;
  /** Ends it and removes everything. */
  stop(): Promise<void>;
}

/** The reason why none can be started here, for `skip`; builds it when it is not in the cache. */
export async function objectStoreUnavailable(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'the object store for tests is started on Linux only';
  try {
    await program('versitygw');
    return undefined;
  } catch (error) {
    return `no object store: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** `address` is where it listens: loopback unless told. */
export async function startObjectStore(address = '127.0.0.1'): Promise<TestObjectStore> {
  const command = await program('versitygw');
  const state = await makeStateFolder('sidewarden-s3');
  const folder = join(state, 'objects');
  const versions = join(state, 'versions');
  await Promise.all([mkdir(folder), mkdir(versions)]);
  const port = await freePort();
  const endpoint = `http://${address}:${port}`;
  const { accessKeyId, secretAccessKey } = STORE_CREDENTIALS;
  const args = [
    '--access',
    accessKeyId,
    '--secret',
    secretAccessKey,
    '--port',
    `${address}:${port}`,
    '--quiet',
  ];
  const component = startComponent({
    name: 'versitygw',
    command,
    args: [...args, 'posix', '--versioning-dir', versions, folder],
    log: join(state, 'log'),
  });
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { ...STORE_CREDENTIALS },
    maxAttempts: 1,
  });
  const answers = () =>
    until('the object store answers', () => fetch(endpoint).then(() => true), {
      every: 20,
      needs: [component],
    });
  await answers();
  const config: TestObjectStore['config'] = (bucket, more = {}) => ({
    endpoint,
    bucket,
    transport: 'Plaintext',
    credentialsSecret: 'recordings-store',
    ...more,
  });
  return {
    endpoint,
    client,
    folder,
    config,
    place: (bucket, more) => {
      const parsed = parseObjectStorePlace(config(bucket, more));
      if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.errors));
      return parsed.value;
    },
    makeBucket: async (bucket, lock = 'locked') => {
      await client.send(
        new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: lock === 'locked' }),
      );
      if (lock !== 'versioned') return;
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
    },
    kill: () => component.kill(),
    freeze: () => {
      if (component.pid !== undefined) process.kill(component.pid, 'SIGSTOP');
    },
    start: async () => {
      if (!component.running) component.start();
      await answers();
    },
    stop: async () => {
      client.destroy();
      await component.kill();
      await rm(state, { recursive: true, force: true });
    },
  };
}
