/** Where things are in the bucket: `<prefix>/<namespace>/<connection>/<session>/<recording>/<file>`, and each session's list. */
import { HEADER_FILE, MANIFEST_FILE } from '../documents.ts';
import { isSessionId } from '../session-id.ts';

/** Whose recordings. */
export interface SessionPath {
  readonly namespace: string;
  readonly connection: string;
  /** Name of the Session object. */
  readonly session: string;
}

/** The signed list of a session's recordings. */
export const SESSION_FILE = 'session.json';

/** Segments are counted from 1. */
const FINISHED = /^(?:header\.json|manifest\.json|(?!000000)[0-9]{6}\.(?:jsonl\.zst|head\.json))$/;

/** Whether it is a finished file of a recording: what goes to the store. */
export function isFinished(file: string): boolean {
  return FINISHED.test(file);
}

/** Header, head or manifest: signed anew by the operator. */
export function isDocument(file: string): boolean {
  return isFinished(file) && file.endsWith('.json');
}

/** Header first, each segment before its head, the manifest last. */
export function uploadOrder(one: string, other: string): number {
  return rank(one).localeCompare(rank(other));
}

function rank(file: string): string {
  if (file === HEADER_FILE) return '0';
  if (file === MANIFEST_FILE) return '2';
  return `1${file.slice(0, 6)}${file.endsWith('.zst') ? 'a' : 'b'}`;
}

/** Ends with a slash. */
export function sessionPrefix(prefix: string, { namespace, connection, session }: SessionPath): string {
  return `${prefix === '' ? '' : `${prefix}/`}${namespace}/${connection}/${session}/`;
}

export interface RecordingKey {
  /** All before the recording's id, with a slash at its end: the session's folder. */
  readonly folder: string;
  readonly recording: string;
  readonly file: string;
}

/** Undefined when it is no file of a recording. */
export function parseRecordingKey(key: string): RecordingKey | undefined {
  const parts = key.split('/');
  const file = parts.pop();
  const recording = parts.pop();
  if (file === undefined || recording === undefined || !isSessionId(recording)) return undefined;
  return { folder: parts.map((part) => `${part}/`).join(''), recording, file };
}
