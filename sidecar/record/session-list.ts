/** The signed list of all recordings of a session that is over: one that was removed, or added, shows. */
import type { SessionCounts } from './event.ts';
import { counts } from './documents.ts';
import { FORMAT } from './sealed.ts';
import { array, count, object, oneOf, string, type Reader } from './shape.ts';

export interface ListedRecording {
  /** Its id. */
  readonly recording: string;
  /** Hash of its manifest's payload. */
  readonly manifest: string;
  readonly events: number;
  /** Hash of its last line. */
  readonly digest: string;
  readonly counts: SessionCounts;
}

export interface SessionList {
  readonly format: typeof FORMAT;
  readonly kind: 'session';
  /** Name of the Session object. */
  readonly session: string;
  readonly connection: { readonly namespace: string; readonly name: string };
  /** By id, and so by time. */
  readonly recordings: readonly ListedRecording[];
  /** ISO 8601. */
  readonly closedAt: string;
}

export const readSessionList: Reader<SessionList> = object<SessionList>({
  format: oneOf(FORMAT),
  kind: oneOf('session'),
  session: string,
  connection: object({ namespace: string, name: string }),
  recordings: array(object({ recording: string, manifest: string, events: count, digest: string, counts })),
  closedAt: string,
});
