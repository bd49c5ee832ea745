/** The signed list of a session's recordings, made from what the bucket holds. */
import { hash } from 'node:crypto';
import {
  HEADER_FILE,
  MANIFEST_FILE,
  MAX_DOCUMENT,
  payloadHash,
  readManifest,
  type Manifest,
} from '../../sidecar/record/documents.ts';
import type { Bucket } from '../../sidecar/record/object-store/bucket.ts';
import { parseRecordingKey, SESSION_FILE } from '../../sidecar/record/object-store/keys.ts';
import { once } from '../../sidecar/record/parts.ts';
import { RecordingError } from '../../sidecar/record/recording-error.ts';
import { checkSeal, FORMAT, parseJson, parseSealed, seal } from '../../sidecar/record/sealed.ts';
import { headName, storedName } from '../../sidecar/record/segment.ts';
import {
  readSessionList,
  type ListedRecording,
  type SessionList,
} from '../../sidecar/record/session-list.ts';
import { trustedKeyOf, type RecordingSigner } from '../../sidecar/record/signer.ts';
import { RecordingsError } from './recordings-error.ts';
import type { RecordingOwner } from './recordings.ts';

/**
 * `folder` is the session's, with a slash at its end. Resolves to the list's digest (`sha256:` and hex of its bytes), or to undefined
 * while fewer than `recordings` are whole. Rejects with a `StoreError`, or a `RecordingsError` when what is there is not ours.
 */
export async function writeSessionList(
  bucket: Bucket,
  folder: string,
  owner: RecordingOwner,
  recordings: number,
  signer: RecordingSigner,
): Promise<string | undefined> {
  const names = await namesIn(bucket, folder);
  if (names.written) return checkedDigest(bucket, folder, owner, signer);
  const listed: ListedRecording[] = [];
  for (const [recording, files] of names.recordings) {
    const found = await wholeRecording(bucket, folder, recording, files, signer);
    if (found === undefined) return undefined;
    listed.push(found);
  }
  if (listed.length < recordings) return undefined;
  const { bytes } = seal(listOf(owner, listed), signer);
  const facts = { bytes: bytes.length, digest: hash('sha256', bytes, 'base64url') };
  const written = await bucket.put(`${folder}${SESSION_FILE}`, facts, once(bytes));
  // The other replica was first.
  return written === 'exists' ? checkedDigest(bucket, folder, owner, signer) : digestOf(bytes);
}

function listOf(
  { namespace, connection, session }: RecordingOwner,
  recordings: readonly ListedRecording[],
): SessionList {
  return {
    format: FORMAT,
    kind: 'session',
    session,
    connection: { namespace, name: connection },
    recordings,
    closedAt: new Date().toISOString(),
  };
}

interface Names {
  /** Whether the list is there already. */
  readonly written: boolean;
  /** Files by recording, in the order of their ids. */
  readonly recordings: ReadonlyMap<string, ReadonlySet<string>>;
}

async function namesIn(bucket: Bucket, folder: string): Promise<Names> {
  const recordings = new Map<string, Set<string>>();
  let written = false;
  for await (const { key } of bucket.list(folder)) {
    written ||= key === `${folder}${SESSION_FILE}`;
    const parsed = parseRecordingKey(key);
    if (parsed?.folder !== folder) continue;
    const files = recordings.get(parsed.recording) ?? new Set();
    recordings.set(parsed.recording, files.add(parsed.file));
  }
  return { written, recordings };
}

/** Undefined while one of its files is missing. */
async function wholeRecording(
  bucket: Bucket,
  folder: string,
  recording: string,
  files: ReadonlySet<string>,
  signer: RecordingSigner,
): Promise<ListedRecording | undefined> {
  if (!files.has(MANIFEST_FILE) || !files.has(HEADER_FILE)) return undefined;
  const bytes = await readObject(bucket, `${folder}${recording}/${MANIFEST_FILE}`);
  if (bytes === undefined) return undefined;
  const { payload, content } = ours(bytes, signer, (value) => readManifest(value, ''));
  if (content.session !== recording) throw foreign('a manifest is of another recording');
  const complete = content.segments.every(
    ({ segment }) => files.has(storedName(segment)) && files.has(headName(segment)),
  );
  return complete ? entryOf(recording, payload, content) : undefined;
}

function entryOf(recording: string, payload: string, { events, digest, counts }: Manifest): ListedRecording {
  return { recording, manifest: payloadHash(payload), events, digest, counts };
}

async function checkedDigest(
  bucket: Bucket,
  folder: string,
  owner: RecordingOwner,
  signer: RecordingSigner,
): Promise<string | undefined> {
  const bytes = await readObject(bucket, `${folder}${SESSION_FILE}`);
  if (bytes === undefined) return undefined;
  const { content } = ours(bytes, signer, (value) => readSessionList(value, ''));
  if (content.session !== owner.session) throw foreign('the list is of another session');
  return digestOf(bytes);
}

function ours<T>(
  bytes: Buffer,
  signer: RecordingSigner,
  read: (value: unknown) => T,
): { readonly payload: string; readonly content: T } {
  try {
    const sealed = parseSealed(bytes, 'the document');
    const wrong = checkSeal(sealed, trustedKeyOf(signer));
    if (wrong !== undefined) throw foreign(`a document in the store is not ours: ${wrong}`);
    return { payload: sealed.payload, content: read(parseJson(sealed.payload, 'the document')) };
  } catch (error) {
    if (error instanceof RecordingError)
      throw foreign(`a document in the store is not ours: ${error.message}`);
    throw error;
  }
}

function foreign(message: string): RecordingsError {
  return new RecordingsError('invalid', message);
}

async function readObject(bucket: Bucket, key: string): Promise<Buffer | undefined> {
  const content = await bucket.read(key);
  if (content === undefined) return undefined;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of content) {
    bytes += part.length;
    if (bytes > MAX_DOCUMENT) throw foreign('a document in the store is over its cap');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${hash('sha256', bytes, 'hex')}`;
}
