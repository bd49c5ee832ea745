/** What the broker does for a run's recordings: signatures with the operator's key, presigned uploads, a safe place when the store is away. */
import type { Identity } from '../../sidecar/operation.ts';
import type { SealAnswer, UploadAnswer, UploadRequest } from '../../sidecar/broker/protocol.ts';

/** Which run's: the broker knows it from the token, and from its own Session. */
export interface RecordingOwner {
  /** The connection, and its ConfigMap's place. */
  readonly namespace: string;
  readonly connection: string;
  /** The Session object's name: a folder of its own in the store. */
  readonly session: string;
}

/** Who the run is by its token. */
export type RecordedRun = Pick<Identity, 'issuer' | 'subject' | 'username'>;

/** All reject with a `RecordingsError` (`code`: `misconfigured`, `unavailable`, `invalid`), whose message holds no secret. */
export interface Recordings {
  /** Signs a header, head or manifest of that recording, after it was parsed and found to be one, and a header to be of that run. */
  seal(owner: RecordingOwner, recording: string, payload: string, run: RecordedRun): Promise<SealAnswer>;
  upload(owner: RecordingOwner, file: UploadRequest): Promise<UploadAnswer>;
  /** Takes a file itself: for a sidecar that must end while the store is away. Resolves when it is on disk or in the store. */
  keep(owner: RecordingOwner, file: UploadRequest, content: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Writes the signed list of all recordings of a session that is over, so that a missing one shows; resolves to where the session's
   * recordings are and the list's digest (`sha256:` and hex); undefined while a file is still missing.
   */
  complete(
    owner: RecordingOwner,
    recordings: number,
  ): Promise<{ readonly location: string; readonly digest: string } | undefined>;
  /** `s3://bucket/prefix/…` of a session; undefined when the connection names no store. */
  location(owner: RecordingOwner): Promise<string | undefined>;
}
