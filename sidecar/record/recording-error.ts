export type RecordingErrorCode =
  /** The signing or checking key cannot be had. */
  | 'key'
  /** The store could not read or write. */
  | 'store'
  /** Already there, and written once. */
  | 'exists'
  /** What was read is no recording of ours. */
  | 'format'
  /** More than can wait for the disk, or a line over the cap. */
  | 'backlog'
  /** Used after it was closed. */
  | 'closed';

/** Why a recording could not be written or read. */
export class RecordingError extends Error {
  readonly code: RecordingErrorCode;

  constructor(code: RecordingErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'RecordingError';
    this.code = code;
  }
}
