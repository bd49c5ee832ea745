/** What the uploader asks of the broker, by the broker's client. */
import type { RecordingBroker } from '../record/upload/recording-broker.ts';
import type { BrokerClient } from './client.ts';
import { readNothing } from './nothing.ts';
import {
  type SealAnswer,
  type SealRequest,
  type UploadAnswer,
  type UploadRequest,
  parseSealAnswer,
  parseUploadAnswer,
} from './protocol.ts';

/** One try; the uploader has its own patience. Milliseconds. */
const TIMEOUT = 10_000;

export class BrokerRecordings implements RecordingBroker {
  readonly #client: BrokerClient;

  constructor(client: BrokerClient) {
    this.#client = client;
  }

  seal(request: SealRequest, signal: AbortSignal): Promise<SealAnswer> {
    return this.#client.post('/v1/recordings/seal', request, parseSealAnswer, { timeout: TIMEOUT, signal });
  }

  upload(request: UploadRequest, signal: AbortSignal): Promise<UploadAnswer> {
    return this.#client.post('/v1/recordings/upload', request, parseUploadAnswer, {
      timeout: TIMEOUT,
      signal,
    });
  }

  async file(request: UploadRequest, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const headers = {
      'content-type': 'application/octet-stream',
      'x-sidewarden-file': JSON.stringify(request),
    };
    const upload = { headers, length: request.bytes, content };
    await this.#client.put('/v1/recordings/file', upload, readNothing, signal);
  }
}
