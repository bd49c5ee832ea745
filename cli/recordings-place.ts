/** Where recordings are and what they are checked with, from the options that all `recordings` commands take. */
import { join } from 'node:path';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { isSessionId } from '../sidecar/record/session-id.ts';
import { loadTrustedKey, PUBLIC_KEY, type TrustedKey } from '../sidecar/record/signer.ts';
import { readWhole, type RecordingStore } from '../sidecar/record/store.ts';
import { HEADER_FILE, MAX_DOCUMENT, readHeader } from '../sidecar/record/documents.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { parseJson, parseSealed } from '../sidecar/record/sealed.ts';

export interface PlaceOptions {
  readonly state: string;
  readonly recordings?: string;
  readonly json?: boolean;
}

/** Wrong usage, or nothing there: told in one line, exit code 2. */
export class UsageError extends Error {}

export function folderOf(options: PlaceOptions): string {
  return options.recordings ?? join(options.state, 'recordings');
}

export function storeOf(options: PlaceOptions): RecordingStore {
  return new DirectoryStore(folderOf(options));
}

export async function sessionsIn(options: PlaceOptions): Promise<readonly string[]> {
  const sessions = await storeOf(options).sessions();
  if (sessions.length === 0) {
    throw new UsageError(
      `no recordings in ${folderOf(options)}: name the folder of \`sidewarden serve\` with --state`,
    );
  }
  return sessions;
}

/** `typed` is an id, a part of one that only it has at its beginning or end, or `last`. */
export async function findSession(options: PlaceOptions, typed: string): Promise<string> {
  const sessions = await sessionsIn(options);
  if (typed === 'last') return newest(options, sessions);
  if (isSessionId(typed) && sessions.includes(typed)) return typed;
  const found = sessions.filter((session) => session.startsWith(typed) || session.endsWith(typed));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new UsageError(
    found.length === 0
      ? 'no session has this id: `sidewarden recordings list` names them'
      : `${found.length} sessions begin or end so: give more of the id`,
  );
}

/** An id has the second in which its session began; of those of one second, the header tells. */
async function newest(options: PlaceOptions, sessions: readonly string[]): Promise<string> {
  const second = (sessions.at(-1) ?? '').split('-')[0] ?? '';
  let last = { session: sessions.at(-1) ?? '', startedAt: '' };
  for (const session of sessions.filter((one) => one.startsWith(second))) {
    const startedAt = await startOf(storeOf(options), session);
    if (startedAt > last.startedAt) last = { session, startedAt };
  }
  return last.session;
}

/** ISO 8601; empty when there is no header that can be read. */
async function startOf(store: RecordingStore, session: string): Promise<string> {
  try {
    const bytes = await readWhole(store, session, HEADER_FILE, MAX_DOCUMENT);
    if (bytes === undefined) return '';
    return readHeader(parseJson(parseSealed(bytes, HEADER_FILE).payload, HEADER_FILE), '').startedAt;
  } catch (error) {
    if (error instanceof RecordingError) return '';
    throw error;
  }
}

export interface CheckingKey extends TrustedKey {
  readonly path: string;
  /** Lies in the state folder itself, where whoever could change recordings could change it too. */
  readonly fromState: boolean;
}

export async function checkingKey(options: PlaceOptions, named: string | undefined): Promise<CheckingKey> {
  const state = options.recordings === undefined ? options.state : join(options.recordings, '..');
  const path = named ?? join(state, PUBLIC_KEY);
  return { ...(await loadTrustedKey(path)), path, fromState: named === undefined };
}
