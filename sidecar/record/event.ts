/**
 * What a recording holds: the closed union of events, as their makers give them to a `SessionRecorder`.
 * Objects given to it are read once, at once; those that come again (statement facts, columns, mask summaries, rules)
 * should be the same frozen objects, since their text is kept by identity.
 */
import type { ConnectionFacts, Decision, Denial, Facts, Identity, RuleRef } from '../operation.ts';

export type Durability = 'strict' | 'batched';

/** A policy as it was in force. */
export interface PolicyDigest {
  /** `namespace/name`. */
  readonly name: string;
  /** SHA-256 of its source, base64url. */
  readonly digest: string;
}

/** The first event, made by `openRecording` from its header. */
export interface SessionStart {
  readonly kind: 'session-start';
  readonly identity: Identity;
  readonly connection: ConnectionFacts;
  readonly client: {
    /** `address:port`, or the path of a socket. */
    readonly address: string;
    readonly applicationName: string;
  };
  readonly policies: readonly PolicyDigest[];
  /** As the server tells it. */
  readonly serverVersion: string;
  readonly durability: Durability;
}

/** What the recording says of an operation that has no facts, since its text is no valid statement. */
export interface UnknownFacts {
  readonly kind: 'unknown';
  readonly text: string;
}

/** A refusal that no policy made: unparseable, unsupported, a mask that cannot apply, … */
export interface Refusal {
  readonly kind: 'refuse';
  readonly denial: Denial;
}

export type MaskName = 'clear' | 'Redact' | 'Null' | 'Partial' | 'Hash' | 'composite' | 'array';

/** How the answer of this operation is masked, for a reader. */
export type MaskSummary =
  | { readonly kind: 'clear' }
  /** One entry an output column, in order. */
  | { readonly kind: 'columns'; readonly fields: readonly MaskName[] }
  /** Could not be traced, was approved, and comes back with every column redacted. */
  | { readonly kind: 'all'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

export interface OperationDecided {
  readonly kind: 'decision';
  /** Number of the operation in its session, from 1. A modified text is an operation of its own. */
  readonly operation: number;
  readonly decision: Decision | Refusal;
  readonly facts: Facts | UnknownFacts;
  /** `operationDigest` of what is to be forwarded; empty when nothing could be, and for what a batched session allows. */
  readonly digest: string;
  readonly masks: MaskSummary;
}

export interface OperationHeld {
  readonly kind: 'hold';
  readonly operation: number;
  /** Name of the approval. */
  readonly approval: string;
  readonly rules: readonly RuleRef[];
  /** ISO 8601. */
  readonly expiresAt: string;
}

export const VERDICTS = ['Approve', 'Deny', 'Modify', 'Expired', 'Void'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface ApprovalGiven {
  readonly kind: 'approval';
  readonly operation: number;
  readonly approval: string;
  /** `Void`: the client went away, cancelled, or the state it was asked for is another now. */
  readonly verdict: Verdict;
  /** User name of who decided; empty when nobody did. */
  readonly by: string;
  /** ISO 8601. */
  readonly decidedAt: string;
  readonly reason: string;
  /** The text to run instead, of a `Modify`; else null. */
  readonly modified: string | null;
}

export interface RecordedColumn {
  readonly name: string;
  /** The type's name, or for PostgreSQL its oid in decimal. */
  readonly type: string;
}

export interface RowsReturned {
  readonly kind: 'rows';
  readonly operation: number;
  readonly columns: readonly RecordedColumn[];
  /** After masking. Text form; binary values that have none as `\x…`; null is SQL NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export interface CopyMoved {
  readonly kind: 'copy';
  readonly operation: number;
  /** Seen from the client: `in` is COPY FROM STDIN. */
  readonly direction: 'in' | 'out';
  /** After masking. */
  readonly data: Uint8Array;
}

/** An error as the client saw it. */
export interface SeenError {
  /** SQLSTATE, or what the protocol has in its place. */
  readonly code: string;
  readonly message: string;
}

export interface OperationCompleted {
  readonly kind: 'complete';
  readonly operation: number;
  /** Command tag (`SELECT 3`), or null after an error. A portal suspended has an empty one. */
  readonly tag: string | null;
  readonly error: SeenError | null;
  /** Rows that the client got. */
  readonly rows: number;
  /** Bytes of rows or COPY data that the client got or sent. */
  readonly bytes: number;
  /** Values that masks changed. */
  readonly masked: number;
  /** Those of `rows` that the budget left out of the recording. */
  readonly rowsNotRecorded: number;
}

export interface NoticeSeen {
  readonly kind: 'notice';
  /** Null when it belongs to none. */
  readonly operation: number | null;
  readonly severity: string;
  readonly code: string;
  readonly message: string;
}

export interface PolicyChanged {
  readonly kind: 'policy-change';
  readonly policies: readonly PolicyDigest[];
  /** Why the change was refused and the old policies stay; null when it was taken. */
  readonly error: string | null;
}

/** Counted by the recorder. */
export interface SessionCounts {
  readonly operations: number;
  readonly allow: number;
  readonly deny: number;
  readonly hold: number;
  readonly refuse: number;
  readonly rows: number;
}

/** The last event, made by `close`. */
export interface SessionEnd {
  readonly kind: 'session-end';
  readonly reason: string;
  readonly counts: SessionCounts;
}

/** What can be appended while a session is open. */
export type RecordingEvent =
  | OperationDecided
  | OperationHeld
  | ApprovalGiven
  | RowsReturned
  | CopyMoved
  | OperationCompleted
  | NoticeSeen
  | PolicyChanged;
