/** What the uploader asks of the operator's broker. */
import type { SealAnswer, SealRequest, UploadAnswer, UploadRequest } from '../../broker/protocol.ts';

/** All reject with an error that has a `code`: `unavailable` to try again, anything else is final. */
export interface RecordingBroker {
  seal(request: SealRequest, signal: AbortSignal): Promise<SealAnswer>;
  upload(request: UploadRequest, signal: AbortSignal): Promise<UploadAnswer>;
  /** PUT /v1/recordings/file: resolves when the file is safe with the operator. */
  file(request: UploadRequest, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
}
