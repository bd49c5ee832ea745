import { StoreError } from '../../sidecar/record/object-store/store-error.ts';
import { KubeError } from '../kube/kube.ts';

export type RecordingsErrorCode =
  /** ConfigMap, Secret or bucket are not as they must be: a person has to do something. */
  | 'misconfigured'
  /** Try again. */
  | 'unavailable'
  /** What was asked for is refused, and will be. */
  | 'invalid';

/** No secret is in the message. */
export class RecordingsError extends Error {
  override readonly name = 'RecordingsError';
  readonly code: RecordingsErrorCode;

  constructor(code: RecordingsErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Errors of the store and of the API server as ours; a fault of our own stays what it is. */
export async function guarded<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StoreError) throw new RecordingsError(error.code, error.message, error);
    if (error instanceof KubeError)
      throw new RecordingsError('unavailable', 'the API server cannot be asked', error);
    throw error;
  }
}
