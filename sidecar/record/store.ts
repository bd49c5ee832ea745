/** Where recordings are kept. A directory fulfils it now; object storage does with a spool for the live segment. */

/** The segment that is being written. */
export interface LiveSegment {
  /** Appends; resolves when the system has taken all bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** All names are file names without a path; sessions are ids from `newSessionId()`. */
export interface RecordingStore {
  /** Ids of all sessions, oldest first. */
  sessions(): Promise<readonly string[]>;
  /** Names of what a session has, sorted. */
  list(session: string): Promise<readonly string[]>;
  /** Makes the live segment; fails when it is there already. */
  create(session: string, name: string): Promise<LiveSegment>;
  /** Writes once and durably: fails when the name is there already. */
  put(session: string, name: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Bytes of a stored object, or undefined when there is none. Reading stops with an error after `maximum` bytes. */
  read(session: string, name: string, maximum: number): AsyncIterable<Uint8Array> | undefined;
  /** Removes a live segment, once it was put compressed. */
  remove(session: string, name: string): Promise<void>;
}
