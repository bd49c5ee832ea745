/** Where recordings are and what they are checked with, from the options that all `recordings` commands take. */
import { join } from 'node:path';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { isSessionId } from '../sidecar/record/session-id.ts';
import { loadTrustedKey, PUBLIC_KEY, type TrustedKey } from '../sidecar/record/signer.ts';
import type { RecordingStore } from '../sidecar/record/store.ts';

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
  const last = sessions.at(-1);
  if (typed === 'last' && last !== undefined) return last;
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
