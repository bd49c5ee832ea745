/** Where finished recordings go from the state folder. */
import type { SpoolState } from './metrics.ts';

export interface Uploads extends SpoolState {
  /** A recording was opened for a client of this connection (`namespace/name`); its files are uploaded as they are finished. */
  session(connection: string, recording: string): void;
  /** No more recordings come: resolves when all is in the store, or safe with the operator, or at the deadline (`performance.now()`). */
  close(deadline: number): Promise<void>;
  /** The spool is full: sessions whose recording is `strict` refuse further operations, for as long as it is. */
  readonly full: boolean;
}
