/** Whether a session's folder in the bucket holds exactly the recordings that its signed list names. */
import { MANIFEST_FILE, MAX_DOCUMENT, payloadHash } from '../documents.ts';
import { RecordingError } from '../recording-error.ts';
import { checkSeal, parseJson, parseSealed } from '../sealed.ts';
import { readSessionList, type SessionList } from '../session-list.ts';
import type { TrustedKey } from '../signer.ts';
import { readWhole } from '../store.ts';
import { SESSION_FILE } from './keys.ts';
import type { ObjectRecordingStore } from './object-recording-store.ts';

export type SessionVerification =
  | { readonly kind: 'clean'; readonly folder: string; readonly recordings: number }
  /** It has no list yet, and whether a recording is missing cannot be told; or a recording came while it was looked at. */
  | { readonly kind: 'unfinished'; readonly folder: string; readonly reason: string }
  | { readonly kind: 'tampered'; readonly folder: string; readonly file: string; readonly reason: string };

/** `folder` ends with a slash. The recordings themselves are not looked at, but for which they are. */
export async function verifySession(
  store: ObjectRecordingStore,
  folder: string,
  trusted: TrustedKey,
): Promise<SessionVerification> {
  const found = await verifyOnce(store, folder, trusted);
  if (found.kind !== 'tampered') return found;
  // The list is stored last: whoever has seen it and lists the folder now finds all that it names. Before, some of it may have come too
  // late for its page.
  const listed = store.folders().get(folder)?.length ?? 0;
  await store.relistFolder(folder);
  const again = await verifyOnce(store, folder, trusted);
  if (again.kind !== 'clean' || again.recordings === listed) return again;
  // Whoever went through the recordings before has not looked at these.
  const reason = 'recordings of it came while the bucket was listed: it has to be verified once more';
  return { kind: 'unfinished', folder, reason };
}

async function verifyOnce(
  store: ObjectRecordingStore,
  folder: string,
  trusted: TrustedKey,
): Promise<SessionVerification> {
  const tampered = (file: string, reason: string): SessionVerification => ({
    kind: 'tampered',
    folder,
    file,
    reason,
  });
  try {
    const again = await store.rewritten(folder);
    if (again !== undefined) return tampered(again, 'it was written again or deleted after it was stored');
    const list = await readList(store, folder, trusted);
    if (list === undefined) {
      const reason =
        'no signed list closes it: the session goes on, its last file is on its way, or its end was removed';
      return { kind: 'unfinished', folder, reason };
    }
    const wrong = await compare(store, folder, list);
    if (wrong !== undefined) return tampered(SESSION_FILE, wrong);
    return { kind: 'clean', folder, recordings: list.recordings.length };
  } catch (error) {
    if (error instanceof RecordingError && error.code === 'format')
      return tampered(SESSION_FILE, error.message);
    throw error;
  }
}

async function readList(
  store: ObjectRecordingStore,
  folder: string,
  trusted: TrustedKey,
): Promise<SessionList | undefined> {
  const content = await store.readList(folder, MAX_DOCUMENT);
  if (content === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  const sealed = parseSealed(Buffer.concat(parts), SESSION_FILE);
  const wrong = checkSeal(sealed, trusted);
  if (wrong !== undefined) throw new RecordingError('format', wrong);
  const list = readSessionList(parseJson(sealed.payload, SESSION_FILE), '');
  const { namespace, name } = list.connection;
  if (!`/${folder}`.endsWith(`/${namespace}/${name}/${list.session}/`))
    throw new RecordingError('format', 'it is the list of another session');
  return list;
}

/** What is wrong, or undefined. */
async function compare(
  store: ObjectRecordingStore,
  folder: string,
  list: SessionList,
): Promise<string | undefined> {
  const here = new Set(store.folders().get(folder) ?? []);
  for (const { recording, manifest } of list.recordings) {
    if (!here.delete(recording)) return `recording ${recording} is missing`;
    const bytes = await readWhole(store, recording, MANIFEST_FILE, MAX_DOCUMENT);
    if (bytes === undefined) return `recording ${recording} has no manifest any more`;
    if (payloadHash(parseSealed(bytes, MANIFEST_FILE).payload) !== manifest)
      return `recording ${recording} is not the one that is listed`;
  }
  const [added] = here;
  return added === undefined ? undefined : `recording ${added} is not in the list`;
}
