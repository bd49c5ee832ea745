/** Recordings in an object store, from `--store` and the environment that AWS's own tools read. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Credentials } from '../sidecar/record/object-store/bucket.ts';
import type { ObjectRecordingStore } from '../sidecar/record/object-store/object-recording-store.ts';
import type { ObjectStorePlace } from '../sidecar/record/object-store/place.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { progress } from './recordings-output.ts';
import { UsageError } from './usage-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface BucketOptions {
  /** `s3://bucket/prefix`. */
  readonly store: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly environment: Environment;
}

/** Rejects with a `UsageError`, or a `RecordingError` when the store does not answer. */
export async function openBucket(options: BucketOptions): Promise<ObjectRecordingStore> {
  const { place, credentials } = {
    place: await placeOf(options),
    credentials: await credentialsOf(options.environment),
  };
  // Loaded only now: no other command waits for it.
  const [{ Bucket }, { ObjectRecordingStore: Store }, { StoreError }] = await Promise.all([
    import('../sidecar/record/object-store/bucket.ts'),
    import('../sidecar/record/object-store/object-recording-store.ts'),
    import('../sidecar/record/object-store/store-error.ts'),
  ]);
  try {
    const listing = progress();
    const store = await Store.open(await Bucket.open(place, credentials), place.prefix, (objects) =>
      listing.say(`listing ${options.store}: ${objects} objects`),
    );
    listing.end();
    return store;
  } catch (error) {
    if (error instanceof StoreError) throw new RecordingError('store', error.message, error);
    throw error;
  }
}

async function placeOf({ store, endpoint, region, environment }: BucketOptions): Promise<ObjectStorePlace> {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]+[a-z0-9])(?:\/(.*?))?\/?$/.exec(store);
  const [, bucket, prefix = ''] = found ?? [];
  if (bucket === undefined) throw new UsageError('--store must be s3://bucket or s3://bucket/prefix');
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_CA_BUNDLE } =
    environment;
  const where = region ?? AWS_REGION ?? AWS_DEFAULT_REGION ?? 'us-east-1';
  const url = endpoint ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL ?? `https://s3.${where}.amazonaws.com`;
  if (!/^https?:\/\/[^/@]+\/?$/.test(url) || !URL.canParse(url))
    throw new UsageError('--endpoint must be https://host or https://host:port');
  return {
    endpoint: url.replace(/\/$/, ''),
    bucket,
    region: where,
    prefix,
    lockMode: 'None',
    retention: undefined,
    pathStyle: true,
    ca: AWS_CA_BUNDLE === undefined ? undefined : await readText(AWS_CA_BUNDLE),
    credentialsSecret: '',
  };
}

/** From variables, else from the profile in the shared file. */
async function credentialsOf(environment: Environment): Promise<Credentials> {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE } = environment;
  const given = credentials(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN);
  if (given !== undefined) return given;
  const file =
    environment['AWS_SHARED_CREDENTIALS_FILE'] ?? join(environment['HOME'] ?? '/', '.aws', 'credentials');
  const profile = AWS_PROFILE ?? 'default';
  const values = profileOf(await readFile(file, 'utf8').catch(() => ''), profile);
  const found = credentials(
    values.get('aws_access_key_id'),
    values.get('aws_secret_access_key'),
    values.get('aws_session_token'),
  );
  if (found !== undefined) return found;
  throw new UsageError(
    `no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have profile ${profile} in ${file}`,
  );
}

function credentials(
  id: string | undefined,
  secret: string | undefined,
  token: string | undefined,
): Credentials | undefined {
  if (id === undefined || secret === undefined || id === '' || secret === '') return undefined;
  const both = { accessKeyId: id, secretAccessKey: secret };
  return token === undefined || token === '' ? both : { ...both, sessionToken: token };
}

/** The keys of one section of an INI file. */
export function profileOf(text: string, profile: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let inside = false;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) inside = section === profile;
    const [, key, value] = /^([A-Za-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (inside && key !== undefined && value !== undefined) values.set(key, value);
  }
  return values;
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`cannot read ${path}`, { cause });
  });
}
