/** A bucket, as its place says: looked at, read, and written once. */
import { createHash } from 'node:crypto';
import { Agent } from 'node:https';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { putFile, type PutOutcome, type PutTarget } from '../upload/put.ts';
import type { ObjectStorePlace, StoreCredentials } from './place.ts';
import { shortCode, statusOf, StoreError, storeError } from './store-error.ts';

/** What a file is known by; digests are SHA-256, base64url. */
export interface FileFacts {
  readonly bytes: number;
  readonly digest: string;
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
}

export interface StoredVersion {
  readonly key: string;
  readonly kind: 'version' | 'deletion';
}

/** A session token comes with temporary credentials. */
export type Credentials = StoreCredentials & { readonly sessionToken?: string };

/** How long a presigned URL is good, in seconds. */
const URL_SECONDS = 900;
const CONNECT_MILLISECONDS = 3_000;
const REQUEST_MILLISECONDS = 15_000;
const DAY = 86_400_000;

type Sdk = (typeof import('./sdk.ts'))['sdk'];

/** All reject with a `StoreError`. */
export class Bucket {
  readonly place: ObjectStorePlace;
  readonly #sdk: Sdk;
  readonly #client: S3Client;

  private constructor(place: ObjectStorePlace, credentials: Credentials, sdk: Sdk) {
    this.place = place;
    this.#sdk = sdk;
    this.#client = new sdk.S3Client({
      endpoint: place.endpoint,
      region: place.region,
      forcePathStyle: place.pathStyle,
      // A copy: the SDK writes into what it is given.
      credentials: { ...credentials },
      maxAttempts: 2,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: CONNECT_MILLISECONDS,
        requestTimeout: REQUEST_MILLISECONDS,
        throwOnRequestTimeout: true,
        // A body that stalls.
        socketTimeout: REQUEST_MILLISECONDS,
        ...(place.ca === undefined ? {} : { httpsAgent: new Agent({ keepAlive: true, ca: place.ca }) }),
      },
    });
  }

  /** Opens no connection. */
  static async open(place: ObjectStorePlace, credentials: Credentials): Promise<Bucket> {
    const { sdk } = await import('./sdk.ts');
    return new Bucket(place, credentials, sdk);
  }

  close(): void {
    this.#client.destroy();
  }

  /** Resolves when the bucket is there, ours to use, and locks when its place asks for that. */
  async check(): Promise<void> {
    const { bucket, lockMode } = this.place;
    await this.#guarded(`bucket ${bucket}`, () =>
      this.#client.send(new this.#sdk.HeadBucketCommand({ Bucket: bucket })),
    );
    if (lockMode === 'None') return;
    const locked = await this.#guarded(`Object Lock of bucket ${bucket}`, async () => {
      try {
        const { ObjectLockConfiguration } = await this.#client.send(
          new this.#sdk.GetObjectLockConfigurationCommand({ Bucket: bucket }),
        );
        return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
      } catch (error) {
        if (shortCode(error) === 'ObjectLockConfigurationNotFoundError') return false;
        throw error;
      }
    });
    if (!locked)
      throw new StoreError(
        'misconfigured',
        `bucket ${bucket} has no Object Lock, and the ConfigMap asks for it`,
      );
  }

  /** Below a prefix, in the order of their keys. */
  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for (let next: string | undefined; ;) {
      const page = await this.#guarded('listing the bucket', () =>
        this.#client.send(
          new this.#sdk.ListObjectsV2Command({
            Bucket: this.place.bucket,
            Prefix: prefix,
            ...(next === undefined ? {} : { ContinuationToken: next }),
          }),
        ),
      );
      for (const { Key, Size } of page.Contents ?? []) {
        if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 };
      }
      next = page.NextContinuationToken;
      if (page.IsTruncated !== true || next === undefined) return;
    }
  }

  /** Every version and deletion below a prefix. */
  async *versions(prefix: string): AsyncGenerator<StoredVersion> {
    for (let next: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } = {}; ;) {
      const page = await this.#guarded('listing versions', () =>
        this.#client.send(
          new this.#sdk.ListObjectVersionsCommand({ Bucket: this.place.bucket, Prefix: prefix, ...next }),
        ),
      );
      for (const { Key } of page.Versions ?? []) if (Key !== undefined) yield { key: Key, kind: 'version' };
      for (const { Key } of page.DeleteMarkers ?? [])
        if (Key !== undefined) yield { key: Key, kind: 'deletion' };
      if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return;
      next = {
        KeyMarker: page.NextKeyMarker,
        ...(page.NextVersionIdMarker === undefined ? {} : { VersionIdMarker: page.NextVersionIdMarker }),
      };
    }
  }

  /** Bytes of an object; undefined when there is none. */
  async size(key: string): Promise<number | undefined> {
    const found = await this.#found(`looking at ${key}`, () =>
      this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.place.bucket, Key: key })),
    );
    return found?.ContentLength;
  }

  /** Undefined when there is none. The caller caps what it takes. */
  async read(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const found = await this.#found(`reading ${key}`, () =>
      this.#client.send(new this.#sdk.GetObjectCommand({ Bucket: this.place.bucket, Key: key })),
    );
    if (found === undefined) return undefined;
    if (!(found.Body instanceof Readable))
      throw new StoreError('unavailable', `reading ${key}: no body came`);
    return guardedParts(`reading ${key}`, found.Body);
  }

  /** Whether exactly these bytes are there; undefined when nothing is. */
  async holds(key: string, { bytes, digest }: FileFacts): Promise<boolean | undefined> {
    const found = await this.#found(`looking at ${key}`, () =>
      this.#client.send(
        new this.#sdk.HeadObjectCommand({ Bucket: this.place.bucket, Key: key, ChecksumMode: 'ENABLED' }),
      ),
    );
    if (found === undefined) return undefined;
    if (found.ContentLength !== bytes) return false;
    if (found.ChecksumSHA256 !== undefined) return found.ChecksumSHA256 === base64(digest);
    // A store that keeps no checksums: its bytes are read.
    const content = await this.read(key);
    if (content === undefined) return undefined;
    const hash = createHash('sha256');
    for await (const part of content) hash.update(part);
    return hash.digest('base64url') === digest;
  }

  /**
   * A URL that takes exactly these bytes, once: length, checksum, the condition that nothing is there, and the lock are all signed.
   */
  async presign(key: string, { bytes, digest }: FileFacts): Promise<PutTarget> {
    const headers: Record<string, string> = {
      'if-none-match': '*',
      'x-amz-checksum-sha256': base64(digest),
      ...this.#lockHeaders(),
    };
    const until = headers['x-amz-object-lock-retain-until-date'];
    const command = new this.#sdk.PutObjectCommand({
      Bucket: this.place.bucket,
      Key: key,
      ContentLength: bytes,
      ChecksumSHA256: base64(digest),
      IfNoneMatch: '*',
      ...(until === undefined
        ? {}
        : { ObjectLockMode: lockName(this.place), ObjectLockRetainUntilDate: new Date(until) }),
    });
    const signed = new Set([...Object.keys(headers), 'host', 'content-length']);
    const url = await this.#guarded('signing an upload', () =>
      this.#sdk.getSignedUrl(this.#client, command, {
        expiresIn: URL_SECONDS,
        unhoistableHeaders: signed,
        signableHeaders: signed,
      }),
    );
    return { url, headers, ca: this.place.ca };
  }

  /** Writes once. Code `unavailable` for whatever the store answers but stored and exists. */
  async put(
    key: string,
    facts: FileFacts,
    content: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<Exclude<PutOutcome['kind'], 'failed'>> {
    const target = await this.presign(key, facts);
    const outcome = await putFile(target, content, {
      bytes: facts.bytes,
      idle: REQUEST_MILLISECONDS,
      ...(signal === undefined ? {} : { signal }),
    });
    if (outcome.kind === 'failed') throw new StoreError('unavailable', `writing ${key}: ${outcome.message}`);
    return outcome.kind;
  }

  #lockHeaders(): Readonly<Record<string, string>> {
    const { lockMode, retention } = this.place;
    if (lockMode === 'None' || retention === undefined) return {};
    // Whole seconds, written without a fraction: what is signed is what the SDK makes of the date.
    const until = new Date(Math.ceil((Date.now() + retention * DAY) / 1000) * 1000);
    return {
      'x-amz-object-lock-mode': lockName(this.place),
      'x-amz-object-lock-retain-until-date': until.toISOString().replace('.000Z', 'Z'),
    };
  }

  async #guarded<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw storeError(what, error);
    }
  }

  /** Undefined when there is no such object; a bucket that is not there is an error. */
  async #found<T>(what: string, run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await run();
    } catch (error) {
      if (statusOf(error) === 404 && shortCode(error) !== 'NoSuchBucket') return undefined;
      throw storeError(what, error);
    }
  }
}

function lockName({ lockMode }: ObjectStorePlace): 'GOVERNANCE' | 'COMPLIANCE' {
  return lockMode === 'Compliance' ? 'COMPLIANCE' : 'GOVERNANCE';
}

function base64(digest: string): string {
  return Buffer.from(digest, 'base64url').toString('base64');
}

async function* guardedParts(what: string, body: Readable): AsyncGenerator<Uint8Array> {
  try {
    // A response's body gives buffers, though a stream's iterator is typed as any.
    for await (const part of body) yield part as Buffer;
  } catch (error) {
    throw storeError(what, error);
  } finally {
    body.destroy();
  }
}
