/** The three signed documents of a session: header, one head a segment, manifest. */
import { hash } from 'node:crypto';
import type { ConnectionFacts, Identity } from '../operation.ts';
import type { Durability, SessionCounts } from './event.ts';
import { FORMAT } from './sealed.ts';
import { array, byKind, count, object, oneOf, string, type Reader } from './shape.ts';

/** Written before the first event, which chains to the hash of its payload. */
export interface Header {
  readonly format: typeof FORMAT;
  readonly kind: 'header';
  readonly session: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly durability: Durability;
  readonly who: Pick<Identity, 'issuer' | 'subject' | 'username'>;
  readonly connection: Pick<ConnectionFacts, 'name' | 'namespace' | 'protocol' | 'database'>;
}

/** Written when a segment is closed. */
export interface Head {
  readonly format: typeof FORMAT;
  readonly kind: 'head';
  readonly session: string;
  /** From 1. */
  readonly segment: number;
  /** Numbers of its events. */
  readonly first: number;
  readonly last: number;
  /** Hash of the line before `first`, and of the line `last`. */
  readonly previous: string;
  readonly digest: string;
  /** Size of the segment's lines, uncompressed. */
  readonly bytes: number;
  readonly file: string;
  readonly fileBytes: number;
  /** SHA-256 of the stored file, base64url. */
  readonly fileDigest: string;
  /** The first `TAG_LENGTH` characters of each line's hash, so that the first wrong event can be named. */
  readonly tags: string;
  readonly closedAt: string;
}

type End =
  | { readonly kind: 'closed'; readonly reason: string }
  /** The writer was killed; sealed by the next start from what was on disk. */
  | {
      readonly kind: 'interrupted';
      /** Bytes of a last line that was cut, left out. */
      readonly tornBytes: number;
      /** First event of the segment that was open: from here on only the chain held them until they were sealed. */
      readonly sealedLateFrom: number;
      /** What may have been lost, by the session's durability. */
      readonly admits: string;
    };

export interface Manifest {
  readonly format: typeof FORMAT;
  readonly kind: 'manifest';
  readonly session: string;
  /** Hash of the header's payload. */
  readonly header: string;
  readonly segments: readonly {
    readonly segment: number;
    readonly first: number;
    readonly last: number;
    /** Hash of the head's payload. */
    readonly head: string;
    readonly digest: string;
  }[];
  /** How many events there are, and the hash of the last one's line. */
  readonly events: number;
  readonly digest: string;
  readonly counts: SessionCounts;
  readonly durability: Durability;
  readonly end: End;
  readonly closedAt: string;
}

export const HEADER_FILE = 'header.json';
export const MANIFEST_FILE = 'manifest.json';
/** Caps on what is read; a manifest has some 200 bytes a segment, a head 6 an event. */
export const MAX_DOCUMENT = 32 * 1024 * 1024;

export function segmentName(segment: number): string {
  return String(segment).padStart(6, '0');
}

/** What chains and manifests name a signed document by. */
export function payloadHash(payload: string): string {
  return hash('sha256', payload, 'base64url');
}

export const durability: Reader<Durability> = oneOf('strict', 'batched');

export const counts: Reader<SessionCounts> = object<SessionCounts>({
  operations: count,
  allow: count,
  deny: count,
  hold: count,
  refuse: count,
  rows: count,
});

export const readHeader: Reader<Header> = object<Header>({
  format: oneOf(FORMAT),
  kind: oneOf('header'),
  session: string,
  startedAt: string,
  durability,
  who: object({ issuer: string, subject: string, username: string }),
  connection: object({ name: string, namespace: string, protocol: string, database: string }),
});

export const readHead: Reader<Head> = object<Head>({
  format: oneOf(FORMAT),
  kind: oneOf('head'),
  session: string,
  segment: count,
  first: count,
  last: count,
  previous: string,
  digest: string,
  bytes: count,
  file: string,
  fileBytes: count,
  fileDigest: string,
  tags: string,
  closedAt: string,
});

export const readManifest: Reader<Manifest> = object<Manifest>({
  format: oneOf(FORMAT),
  kind: oneOf('manifest'),
  session: string,
  header: string,
  segments: array(object({ segment: count, first: count, last: count, head: string, digest: string })),
  events: count,
  digest: string,
  counts,
  durability,
  end: byKind<End>({
    closed: object({ kind: oneOf('closed'), reason: string }),
    interrupted: object({
      kind: oneOf('interrupted'),
      tornBytes: count,
      sealedLateFrom: count,
      admits: string,
    }),
  }),
  closedAt: string,
});
