/**
 * Records one session. `append` takes an event at once and cannot fail; what it took is on its way to disk within
 * the flush interval (`batched`) or when `durable()` resolves (`strict`). After any failure `failed` is true for good,
 * and whoever asks must refuse every later operation.
 */
import type { Durability, RecordingEvent, SessionStart } from './event.ts';
import type { RecordingSigner } from './signer.ts';
import type { RecordingStore } from './store.ts';

/** Who and what the session is; becomes the first event. */
export interface RecordingHeader extends Omit<SessionStart, 'kind' | 'durability'> {
  /** From `newSessionId()`. */
  readonly session: string;
}

export interface RecordingOptions {
  readonly durability: Durability;
  /** Called once, when the recording can no longer be written. */
  readonly onFailure: (error: Error) => void;
  /** Closes a segment after so many bytes; 8 MiB unless told. */
  readonly segmentBytes?: number;
  /** Closes a segment that has events after so many milliseconds; 10 minutes unless told. */
  readonly segmentAge?: number;
  /** Bytes that may wait for the disk before the recording counts as failed; 16 MiB unless told. */
  readonly backlogBytes?: number;
}

export interface SessionRecorder {
  readonly session: string;
  /** True for good after a write failed or the backlog grew over its cap: every later operation is to be refused. */
  readonly failed: boolean;
  append(event: RecordingEvent): void;
  /**
   * `strict`: resolves when everything appended so far is on disk, and rejects when it cannot be. Those who wait at the same
   * time share one fsync. `batched`: undefined, go on at once.
   */
  durable(): Promise<void> | undefined;
  /** Ends the session: writes its last event, closes the last segment, signs the manifest. */
  close(reason: string): Promise<{ readonly digest: string }>;
}

export async function openRecording(
  store: RecordingStore,
  header: RecordingHeader,
  signer: RecordingSigner,
  options: RecordingOptions,
): Promise<SessionRecorder> {
  (void store, header, signer, options);
  throw new Error('being built');
}
