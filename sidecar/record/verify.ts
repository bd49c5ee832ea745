/**
 * Says of a recording whether it is what was written. Reads each byte once, trusts nothing but the given key, and names
 * the first event that is wrong.
 *
 *     header (signed) ◄─ event 1 ◄─ event 2 ◄─ … ◄─ event n      each line carries the hash of the one before
 *                        └── head of segment 1 (signed) ──┘ …    hashes of lines, of the file
 *     manifest (signed): hashes of header and heads, the last hash
 */
import { HEADER_FILE, MANIFEST_FILE, MAX_DOCUMENT, payloadHash } from './documents.ts';
import { readHead, readHeader, readManifest, type Head, type Header, type Manifest } from './documents.ts';
import { RecordingError } from './recording-error.ts';
import { checkSeal, parseJson, parseSealed } from './sealed.ts';
import { headName, liveName, sentName, storedName, type SegmentEntry } from './segment.ts';
import type { Reader } from './shape.ts';
import type { TrustedKey } from './signer.ts';
import { readWhole, type RecordingStore } from './store.ts';
import { verifySegment, type SegmentProblem } from './verify-segment.ts';

export type Verification =
  | {
      readonly kind: 'clean';
      readonly session: string;
      readonly events: number;
      /** Hash of the last line. */
      readonly digest: string;
      /** Set when the writer was killed and the next start signed what was there. */
      readonly interrupted:
        { readonly tornBytes: number; readonly sealedLateFrom: number; readonly admits: string } | undefined;
    }
  | {
      readonly kind: 'unfinished';
      readonly session: string;
      /** Good so far. */
      readonly events: number;
      /** Those that a signed head covers; the others only the chain holds. */
      readonly signedEvents: number;
      readonly digest: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'tampered';
      readonly session: string;
      /** Number of the first wrong event; null when all events are right and a document about them is not. */
      readonly event: number | null;
      readonly file: string;
      readonly reason: string;
    };

/** Where it stopped. */
class Tampered extends Error {
  readonly event: number | null;
  readonly file: string;

  constructor(file: string, event: number | null, reason: string) {
    super(reason);
    this.event = event;
    this.file = file;
  }
}

interface Document<T> {
  readonly content: T;
  readonly hash: string;
}

/** Says that segments which went to the object store are not looked at: their signed heads stand for them. */
export const SENT_SEGMENTS_ACCEPTED = Symbol('sent segments accepted');

interface Relistable extends RecordingStore {
  /** Of a store that lists nothing anew by itself: takes up what of a session came since it was listed. */
  relist?(session: string): Promise<void>;
}

export async function verifyRecording(
  store: Relistable,
  session: string,
  trusted: TrustedKey,
  sent?: typeof SENT_SEGMENTS_ACCEPTED,
): Promise<Verification> {
  for (let attempt = 1; ; attempt++) {
    const names = await store.list(session);
    const found = await verifyOnce(new Verifier(store, session, trusted, sent), session, new Set(names));
    if (found.kind !== 'tampered' || attempt === MAX_ATTEMPTS) return found;
    // A segment that was closed meanwhile is now under another name: looked at again, a few times.
    await store.relist?.(session);
    if ((await store.list(session)).join() === names.join()) return found;
  }
}

const MAX_ATTEMPTS = 20;

async function verifyOnce(
  verifier: Verifier,
  session: string,
  names: ReadonlySet<string>,
): Promise<Verification> {
  try {
    return await verifier.run(names);
  } catch (error) {
    if (error instanceof Tampered) {
      return { kind: 'tampered', session, event: error.event, file: error.file, reason: error.message };
    }
    throw error;
  }
}

const SEGMENT_FILE = /^(\d{6,9})\.(?:jsonl|jsonl\.zst|head\.json)$/;

export function isSegmentFile(name: string): boolean {
  return SEGMENT_FILE.test(name);
}

function isRecordingFile(name: string): boolean {
  return isSegmentFile(name) || name === MANIFEST_FILE;
}

class Verifier {
  readonly #store: RecordingStore;
  readonly #session: string;
  readonly #trusted: TrustedKey;
  readonly #sent: typeof SENT_SEGMENTS_ACCEPTED | undefined;
  /** Events found right so far, the hash of the last, and how many of them a signed head covers. */
  #events = 0;
  #digest = '';
  #signed = 0;

  constructor(
    store: RecordingStore,
    session: string,
    trusted: TrustedKey,
    sent: typeof SENT_SEGMENTS_ACCEPTED | undefined,
  ) {
    this.#store = store;
    this.#session = session;
    this.#trusted = trusted;
    this.#sent = sent;
  }

  async run(names: ReadonlySet<string>): Promise<Verification> {
    const header = await this.#document<Header>(HEADER_FILE, readHeader, 1);
    if (header === undefined && ![...names].some(isRecordingFile)) return this.#unfinished(names, 0);
    if (header === undefined) throw new Tampered(HEADER_FILE, 1, 'the header is missing');
    this.#digest = header.hash;
    // A wrong manifest is told after the events: theirs is the earlier fault.
    const manifest = await this.#manifest(header.hash);
    if (manifest instanceof Tampered) {
      await this.#segments(names, undefined);
      throw manifest;
    }
    const torn = await this.#segments(names, manifest?.content);
    return manifest === undefined ? this.#unfinished(names, torn) : this.#finished(manifest.content);
  }

  async #manifest(headerHash: string): Promise<Document<Manifest> | Tampered | undefined> {
    try {
      const manifest = await this.#document<Manifest>(MANIFEST_FILE, readManifest, null);
      if (manifest !== undefined && manifest.content.header !== headerHash) {
        return new Tampered(MANIFEST_FILE, 1, 'it belongs to another header');
      }
      return manifest;
    } catch (error) {
      if (error instanceof Tampered) return error;
      throw error;
    }
  }

  /** Bytes of a torn last line. */
  async #segments(listed: ReadonlySet<string>, manifest: Manifest | undefined): Promise<number> {
    const total = manifest?.segments.length ?? Infinity;
    let names = listed;
    for (let segment = 1; segment <= total; segment++) {
      // While it is written, its segments change their names behind the reader's back.
      if (manifest === undefined) names = new Set(await this.#store.list(this.#session));
      const isThere = [storedName, liveName, headName].some((name) => names.has(name(segment)));
      const expected = manifest?.segments[segment - 1];
      if (!isThere && expected === undefined) {
        this.#refuseLater(names, segment);
        return 0;
      }
      const torn = await this.#segment(names, segment, expected);
      if (torn > 0) {
        this.#refuseLater(names, segment + 1);
        return torn;
      }
    }
    this.#refuseLater(names, total + 1);
    return 0;
  }

  async #segment(
    names: ReadonlySet<string>,
    segment: number,
    expected: SegmentEntry | undefined,
  ): Promise<number> {
    const first = this.#events + 1;
    const file = names.has(storedName(segment)) ? storedName(segment) : liveName(segment);
    if (expected !== undefined && names.has(liveName(segment))) {
      throw new Tampered(
        liveName(segment),
        first,
        'an unsigned copy lies where only the signed segment may be',
      );
    }
    const head = await this.#head(segment, first, expected);
    if (head !== undefined && !(head instanceof Tampered) && this.#wasSent(names, segment)) {
      this.#events = head.last;
      this.#digest = head.digest;
      this.#signed = head.last;
      return 0;
    }
    const outcome = await verifySegment(this.#store, this.#session, {
      name: file,
      compressed: file === storedName(segment),
      first,
      previous: this.#digest,
      head: head instanceof Tampered ? undefined : head,
    });
    if (outcome.kind === 'wrong') throw this.#wrong(file, outcome, head);
    if (head instanceof Tampered) throw head;
    this.#events = outcome.last;
    this.#digest = outcome.digest;
    if (head !== undefined) this.#signed = outcome.last;
    if (expected !== undefined && (expected.last !== outcome.last || expected.digest !== outcome.digest)) {
      throw new Tampered(MANIFEST_FILE, first, `segment ${segment} is not the one that it names`);
    }
    return outcome.tornBytes;
  }

  #wasSent(names: ReadonlySet<string>, segment: number): boolean {
    if (this.#sent !== SENT_SEGMENTS_ACCEPTED || !names.has(sentName(segment))) return false;
    return !names.has(storedName(segment)) && !names.has(liveName(segment));
  }

  #wrong(file: string, outcome: SegmentProblem, head: Head | Tampered | undefined): Tampered {
    const also = head instanceof Tampered ? `; and ${head.file}: ${head.message}` : '';
    return new Tampered(file, outcome.event, outcome.reason + also);
  }

  /** A signed head that fits here, nothing while the segment was open, or why not. */
  async #head(
    segment: number,
    first: number,
    expected: SegmentEntry | undefined,
  ): Promise<Head | Tampered | undefined> {
    const name = headName(segment);
    let head: Document<Head> | undefined;
    try {
      head = await this.#document<Head>(name, readHead, first);
    } catch (error) {
      if (error instanceof Tampered) return error;
      throw error;
    }
    if (head === undefined) {
      return expected === undefined
        ? undefined
        : new Tampered(name, first, 'the head of the segment is missing');
    }
    const { content, hash } = head;
    if (content.segment !== segment)
      return new Tampered(name, first, `it is the head of segment ${content.segment}`);
    if (content.first !== first || content.previous !== this.#digest) {
      return new Tampered(name, first, 'the segment does not follow the one before');
    }
    if (expected !== undefined && expected.head !== hash) {
      return new Tampered(name, first, 'it is not the head that the manifest names');
    }
    return content;
  }

  async #document<T extends { readonly session: string }>(
    name: string,
    read: Reader<T>,
    event: number | null,
  ): Promise<Document<T> | undefined> {
    try {
      const bytes = await readWhole(this.#store, this.#session, name, MAX_DOCUMENT);
      if (bytes === undefined) return undefined;
      const sealed = parseSealed(bytes, name);
      const wrong = checkSeal(sealed, this.#trusted);
      if (wrong !== undefined) throw new Tampered(name, event, wrong);
      const content = read(parseJson(sealed.payload, name), '');
      if (content.session !== this.#session) throw new Tampered(name, event, 'it belongs to another session');
      return { content, hash: payloadHash(sealed.payload) };
    } catch (error) {
      if (error instanceof RecordingError && error.code === 'format')
        throw new Tampered(name, event, error.message);
      throw error;
    }
  }

  /** Segments beyond a gap or beyond the manifest. */
  #refuseLater(names: ReadonlySet<string>, from: number): void {
    for (const name of names) {
      const segment = SEGMENT_FILE.exec(name)?.[1];
      if (segment === undefined || Number(segment) < from) continue;
      throw new Tampered(
        name,
        this.#events + 1,
        'it does not belong to the recording, or what is before it is missing',
      );
    }
  }

  #unfinished(names: ReadonlySet<string>, torn: number): Verification {
    const how = torn > 0 ? `the last line is torn (${torn} bytes)` : 'no manifest closes it';
    const live = [...names].some((name) => /^\d{6}\.jsonl$/.test(name));
    const what = live
      ? 'it is still being written, or its writer was killed'
      : 'its writer was killed, or its end was removed';
    return {
      kind: 'unfinished',
      session: this.#session,
      events: this.#events,
      signedEvents: this.#signed,
      digest: this.#digest,
      reason: `${how}: ${what}`,
    };
  }

  #finished(manifest: Manifest): Verification {
    if (manifest.events !== this.#events || manifest.digest !== this.#digest) {
      throw new Tampered(MANIFEST_FILE, this.#events, 'it names another end than the recording has');
    }
    const { end } = manifest;
    return {
      kind: 'clean',
      session: this.#session,
      events: this.#events,
      digest: this.#digest,
      interrupted: end.kind === 'closed' ? undefined : end,
    };
  }
}
