/** Where recordings are kept. A directory fulfils it now; object storage does with a spool for the live segment. */

/** The segment that is being written. */
export interface LiveSegment {
  /** Appends; resolves when the system has taken all bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when everything written so far, and the segment's name, is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Names are plain file names; sessions are ids from `newSessionId()`. Failures are `RecordingError`s. */
export interface RecordingStore {
  /** True while there is little room: strict sessions refuse operations until there is more. Never, when absent. */
  readonly full?: boolean;
  /** Ids of all sessions, oldest first. */
  sessions(): Promise<readonly string[]>;
  /** Names of what a session has, sorted. */
  list(session: string): Promise<readonly string[]>;
  /** Makes the live segment of a session that has its header: one whose files are gone fails. Code `exists` when it is there already. */
  create(session: string, name: string): Promise<LiveSegment>;
  /** Writes once: whole or not at all, code `exists` when the name is taken. Durable when it resolves. */
  put(session: string, name: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** The stored bytes; undefined when there is none. Fails after `maximum` bytes. */
  read(session: string, name: string, maximum: number): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Bytes stored; undefined when there is none. */
  size(session: string, name: string): Promise<number | undefined>;
  /** Removes a live segment once it was put compressed, or what an interrupted put left. */
  remove(session: string, name: string): Promise<void>;
}

/** Reads all of a small object. */
export async function readWhole(
  store: RecordingStore,
  session: string,
  name: string,
  maximum: number,
): Promise<Buffer | undefined> {
  const content = await store.read(session, name, maximum);
  if (content === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts);
}
