/** The lines of one segment against the chain and, where there is one, its signed head. */
import { createHash } from 'node:crypto';
import { lineHash, TAG_LENGTH } from './chain.ts';
import type { Head } from './documents.ts';
import { decompressed, linesOf, type Line } from './lines.ts';
import { observed } from './parts.ts';
import { RecordingError } from './recording-error.ts';
import { MAX_SEGMENT } from './segment.ts';
import { count, record, string } from './shape.ts';
import { parseJson } from './sealed.ts';
import type { RecordingStore } from './store.ts';

export interface SegmentToVerify {
  readonly name: string;
  readonly compressed: boolean;
  /** Number that its first event must have, and the hash that it must carry. */
  readonly first: number;
  readonly previous: string;
  /** Its signature is right and it follows; undefined while the segment was not closed. */
  readonly head: Head | undefined;
}

export interface SegmentProblem {
  readonly kind: 'wrong';
  readonly event: number;
  readonly reason: string;
}

export type SegmentOutcome =
  | { readonly kind: 'right'; readonly last: number; readonly digest: string; readonly tornBytes: number }
  | SegmentProblem;

export async function verifySegment(
  store: RecordingStore,
  session: string,
  segment: SegmentToVerify,
): Promise<SegmentOutcome> {
  const check = new LineCheck(segment);
  const file = createHash('sha256');
  let fileBytes = 0;
  try {
    const stored = await store.read(session, segment.name, MAX_SEGMENT);
    if (stored === undefined) return wrong(segment.first, 'the segment is missing');
    const seen = observed(stored, (part) => {
      file.update(part);
      fileBytes += part.length;
    });
    for await (const line of linesOf(segment.compressed ? decompressed(seen, MAX_SEGMENT) : seen)) {
      const problem = check.add(line);
      if (problem !== undefined) return problem;
    }
  } catch (error) {
    if (error instanceof RecordingError && error.code === 'format') return wrong(check.next, error.message);
    throw error;
  }
  const problem = check.end();
  if (problem !== undefined) return problem;
  if (
    segment.head !== undefined &&
    segment.compressed &&
    !isFile(segment.head, fileBytes, file.digest('base64url'))
  ) {
    return wrong(segment.first, 'the events are right, but the file is not the one that was signed');
  }
  return { kind: 'right', last: check.next - 1, digest: check.digest, tornBytes: check.tornBytes };
}

class LineCheck {
  readonly #head: Head | undefined;
  readonly #first: number;
  next: number;
  digest: string;
  tornBytes = 0;
  /** With the head's tags each line is checked by itself; without, its successor's link tells. */
  #repaired: Buffer | undefined;
  #suspect: SegmentProblem | undefined;

  constructor({ head, first, previous }: SegmentToVerify) {
    this.#head = head;
    this.#first = first;
    this.next = first;
    this.digest = previous;
  }

  add(line: Line): SegmentProblem | undefined {
    if (this.#suspect !== undefined) return this.#judge(line);
    if (!line.whole) {
      this.tornBytes = line.bytes.length;
      return this.#head === undefined ? undefined : wrong(this.next, 'the line is cut');
    }
    return this.#head === undefined ? this.#checkLinks(line) : this.#checkTag(line, this.#head);
  }

  end(): SegmentProblem | undefined {
    if (this.#suspect !== undefined) return this.#suspect;
    const head = this.#head;
    if (head === undefined) return undefined;
    if (this.next - 1 < head.last)
      return wrong(this.next, `the event is missing: the segment goes to ${head.last}`);
    // The tag is a part of the hash: whoever made another line with this tag is found here.
    return this.digest === head.digest
      ? undefined
      : wrong(head.last, 'the line is not the one that was written');
  }

  #checkTag(line: Line, head: Head): SegmentProblem | undefined {
    const n = this.next;
    if (n > head.last) return wrong(n, `the event was added: the segment goes to ${head.last}`);
    const at = (n - this.#first) * TAG_LENGTH;
    const tag = head.tags.slice(at, at + TAG_LENGTH);
    const link = linkOf(line);
    const digest = lineHash(line.bytes);
    if (link?.n === n && link.prev === this.digest && tag.length === TAG_LENGTH && digest.startsWith(tag)) {
      return this.#accept(digest);
    }
    // The link can only be wrong when this line was changed: the one before has its tag.
    return wrong(n, describe(link, n));
  }

  #checkLinks(line: Line): SegmentProblem | undefined {
    const n = this.next;
    const link = linkOf(line);
    if (link === undefined || link.n !== n) return wrong(n, describe(link, n));
    if (link.prev === this.digest) return this.#accept(lineHash(line.bytes));
    if (n === this.#first) return wrong(n, 'the event does not follow the one before');
    // Either the line before was changed or this one's link: the next line can tell.
    this.#suspect = wrong(n - 1, 'the line is not the one that the next event was chained to');
    this.#repaired = Buffer.from(line.bytes.toString('latin1').replace(link.prev, this.digest), 'latin1');
    return undefined;
  }

  #accept(digest: string): SegmentProblem | undefined {
    this.digest = digest;
    this.next++;
    return undefined;
  }

  #judge(line: Line): SegmentProblem | undefined {
    const repaired = this.#repaired === undefined ? '' : lineHash(this.#repaired);
    const link = linkOf(line);
    // With its link put right, the line is what its successor was chained to: so only its link was changed.
    if (link?.n === this.next + 1 && link.prev === repaired)
      return wrong(this.next, 'the link to the event before was changed');
    return this.#suspect;
  }
}

interface Link {
  readonly n: number;
  readonly prev: string;
}

function linkOf(line: Line): Link | undefined {
  try {
    const fields = record(parseJson(line.bytes.toString(), 'the line'), 'the line');
    return { n: count(fields['n'], 'n'), prev: string(fields['prev'], 'prev') };
  } catch (error) {
    if (error instanceof RecordingError) return undefined;
    throw error;
  }
}

function describe(link: Link | undefined, n: number): string {
  if (link === undefined) return 'the line is no event';
  if (link.n > n) return `the event is missing: event ${link.n} is in its place`;
  if (link.n < n) return `event ${link.n} is in its place`;
  return 'the line is not the one that was written';
}

function isFile(head: Head, bytes: number, digest: string): boolean {
  return head.fileBytes === bytes && head.fileDigest === digest;
}

function wrong(event: number, reason: string): SegmentProblem {
  return { kind: 'wrong', event, reason };
}
