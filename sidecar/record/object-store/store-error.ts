/** Errors of an S3 store as ours. Its own messages can hold keys and signatures: only its short codes are passed on. */

export type StoreErrorCode =
  /** No answer, or one that says to try again. */
  | 'unavailable'
  /** It answers, but not to us: credentials, rights, bucket, region. */
  | 'misconfigured';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** What the SDK throws, or Node below it. */
export function storeError(what: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const status = statusOf(error);
  const name = shortCode(error);
  if (status === undefined)
    return new StoreError('unavailable', `${what}: the store does not answer (${name})`);
  if (status >= 500 || status === 429 || status === 408 || status === 409)
    return new StoreError('unavailable', `${what}: the store cannot now (${status} ${name})`);
  return new StoreError('misconfigured', `${what}: the store refuses (${status} ${name})`);
}

export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}

/** `NoSuchBucket`, `ECONNREFUSED`. */
export function shortCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^[A-Za-z0-9_]{1,64}$/.test(code) ? code : 'unknown';
}
