/** Where recordings are and what they are checked with, from the options that all `recordings` commands take. */
import { join } from 'node:path';
import type { ObjectRecordingStore } from '../sidecar/record/object-store/object-recording-store.ts';
import { openBucket, type Environment } from './recordings-bucket.ts';
import { UsageError } from './usage-error.ts';
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
  /** `s3://bucket/prefix`, instead of a folder. */
  readonly store?: string;
  readonly endpoint?: string;
  readonly region?: string;
  /** What only a main may read. */
  readonly environment?: Environment;
}

function folderOf(options: PlaceOptions): string {
  return options.recordings ?? join(options.state, 'recordings');
}

const opened = new WeakMap<PlaceOptions, Promise<ObjectRecordingStore>>();

/** The bucket that `--store` names, listed once; undefined when recordings are in a folder. */
export function bucketOf(options: PlaceOptions): Promise<ObjectRecordingStore> | undefined {
  const { store, environment = {} } = options;
  if (store === undefined) return undefined;
  let opening = opened.get(options);
  if (opening === undefined) opened.set(options, (opening = openBucket({ ...options, store, environment })));
  return opening;
}

export async function storeOf(options: PlaceOptions): Promise<RecordingStore> {
  return (await bucketOf(options)) ?? new DirectoryStore(folderOf(options));
}

export async function sessionsIn(options: PlaceOptions): Promise<readonly string[]> {
  const sessions = await (await storeOf(options)).sessions();
  if (sessions.length === 0 && options.store !== undefined) {
    throw new UsageError(`no recordings in ${options.store}`);
  }
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
    const startedAt = await startOf(await storeOf(options), session);
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
  if (named === undefined && options.store !== undefined) {
    throw new RecordingError(
      'key',
      'give the operator’s public key with --key: it stands in the ConfigMap sidewarden-recording-key of the operator’s namespace',
    );
  }
  const state = options.recordings === undefined ? options.state : join(options.recordings, '..');
  const path = named ?? join(state, PUBLIC_KEY);
  return { ...(await loadTrustedKey(path)), path, fromState: named === undefined };
}
