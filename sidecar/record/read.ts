/** The events of a recording, for showing and replaying: what is there is read, `verify` says whether to believe it. */
import { decompressed, linesOf } from './lines.ts';
import {
  HEADER_FILE,
  MANIFEST_FILE,
  MAX_DOCUMENT,
  readHeader,
  readManifest,
  type Header,
  type Manifest,
} from './documents.ts';
import { EventParser, type RecordedEvent } from './recorded.ts';
import { RecordingError } from './recording-error.ts';
import { parseJson, parseSealed } from './sealed.ts';
import { liveName, MAX_SEGMENT, storedName } from './segment.ts';
import { readWhole, type RecordingStore } from './store.ts';

export interface SessionSummary {
  readonly session: string;
  readonly header: Header;
  /** Undefined while it is written, and after a crash until it is recovered. */
  readonly manifest: Manifest | undefined;
  /** Bytes stored. */
  readonly size: number;
}

/** From header and manifest, unverified. */
export async function summarize(store: RecordingStore, session: string): Promise<SessionSummary> {
  const header = await readDocument(store, session, HEADER_FILE);
  if (header === undefined) throw new RecordingError('format', `${session} has no header`);
  const manifest = await readDocument(store, session, MANIFEST_FILE);
  let size = 0;
  for (const name of await store.list(session)) size += (await store.size(session, name)) ?? 0;
  return {
    session,
    header: readHeader(header, ''),
    manifest: manifest === undefined ? undefined : readManifest(manifest, ''),
    size,
  };
}

/** Exact lines in order, from the first of a segment on; a torn last one is left out. */
export async function* readLines(store: RecordingStore, session: string, from = 1): AsyncGenerator<string> {
  for (let segment = from; ; segment++) {
    const content = await segmentContent(store, session, segment);
    if (content === undefined) return;
    yield* wholeLines(content);
  }
}

/** Exact lines of one segment; none when it is not there. */
export async function* readSegmentLines(
  store: RecordingStore,
  session: string,
  segment: number,
): AsyncGenerator<string> {
  const content = await segmentContent(store, session, segment);
  if (content !== undefined) yield* wholeLines(content);
}

async function* wholeLines(content: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const line of linesOf(content)) if (line.whole) yield line.bytes.toString();
}

/** Events in order, with what names earlier ones resolved; code `format` for a line that is no event. */
export async function* readEvents(store: RecordingStore, session: string): AsyncGenerator<RecordedEvent> {
  const parser = new EventParser();
  for await (const line of readLines(store, session)) yield parser.parse(line);
}

/** The bytes of a segment, decompressed when it is closed; undefined when there is none. */
async function segmentContent(
  store: RecordingStore,
  session: string,
  segment: number,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const stored = await store.read(session, storedName(segment), MAX_SEGMENT);
  if (stored !== undefined) return decompressed(stored, MAX_SEGMENT);
  return store.read(session, liveName(segment), MAX_SEGMENT);
}

async function readDocument(store: RecordingStore, session: string, name: string): Promise<unknown> {
  const bytes = await readWhole(store, session, name, MAX_DOCUMENT);
  return bytes === undefined ? undefined : parseJson(parseSealed(bytes, name).payload, name);
}
