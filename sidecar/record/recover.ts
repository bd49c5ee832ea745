/** Seals what a killed process left, on the next start and before any session begins; and at the end what failed on the way. */
import { lineHash } from './chain.ts';
import {
  HEADER_FILE,
  MANIFEST_FILE,
  MAX_DOCUMENT,
  payloadHash,
  readHead,
  readHeader,
  type Header,
  type Manifest,
} from './documents.ts';
import type { Durability } from './event.ts';
import { linesOf } from './lines.ts';
import { once } from './parts.ts';
import { readLines } from './read.ts';
import { FLUSH_CHARACTERS, FLUSH_MILLISECONDS, SYNC_MILLISECONDS } from './recorder.ts';
import { RecordingError } from './recording-error.ts';
import { FORMAT, parseJson, parseSealed, seal } from './sealed.ts';
import {
  entryOf,
  headName,
  liveName,
  MAX_SEGMENT,
  sealSegment,
  sentName,
  storedName,
  Tags,
  type SegmentContent,
  type SegmentEntry,
} from './segment.ts';
import { trustedKeyOf, type RecordingSigner } from './signer.ts';
import { readWhole, type RecordingStore } from './store.ts';
import { Tally } from './tally.ts';
import { readSent, tallyLines } from './sent.ts';
import { isSegmentFile, SENT_SEGMENTS_ACCEPTED, verifyRecording } from './verify.ts';
import { DRAFT } from './write-whole.ts';

export type Recovery =
  | { readonly kind: 'sealed'; readonly session: string; readonly events: number; readonly tornBytes: number }
  /** Left as it is, since it is not what a killed process leaves. */
  | { readonly kind: 'left'; readonly session: string; readonly reason: string };

/**
 * Keeps every complete line of each session that has no manifest, notes in its manifest that it was interrupted, and
 * signs that. Nobody may be recording into the store; sealed segments may go to the object store meanwhile.
 */
export async function recoverRecordings(
  store: RecordingStore,
  signer: RecordingSigner,
): Promise<readonly Recovery[]> {
  const recoveries: Recovery[] = [];
  for (const session of await store.sessions()) {
    const names = new Set(await store.list(session));
    for (const name of names) if (name.startsWith(DRAFT)) await store.remove(session, name);
    if (names.has(MANIFEST_FILE)) continue;
    if (names.has(HEADER_FILE)) recoveries.push(await recoverAgain(store, session, signer));
    else if ([...names].some(isSegmentFile))
      recoveries.push({ kind: 'left', session, reason: 'the header is missing' });
  }
  return recoveries;
}

/** Anew when segments went away meanwhile. */
async function recoverAgain(
  store: RecordingStore,
  session: string,
  signer: RecordingSigner,
): Promise<Recovery> {
  for (let attempt = 1; ; attempt++) {
    const names = await store.list(session);
    const recovery = await recoverSession(store, session, new Set(names), signer);
    const changed = recovery.kind === 'left' && (await store.list(session)).join() !== names.join();
    if (!changed || attempt === MAX_ATTEMPTS) return recovery;
  }
}

const MAX_ATTEMPTS = 20;

async function recoverSession(
  store: RecordingStore,
  session: string,
  names: ReadonlySet<string>,
  signer: RecordingSigner,
): Promise<Recovery> {
  try {
    // What is signed here was checked first: nobody gets a signature for what they wrote into the folder.
    const found = await verifyRecording(store, session, trustedKeyOf(signer), SENT_SEGMENTS_ACCEPTED);
    if (found.kind === 'tampered') return { kind: 'left', session, reason: `${found.file}: ${found.reason}` };
    return await new Recoverer(store, session, names, signer).run();
  } catch (error) {
    if (error instanceof RecordingError) return { kind: 'left', session, reason: error.message };
    throw error;
  }
}

class Recoverer {
  readonly #store: RecordingStore;
  readonly #session: string;
  readonly #names: ReadonlySet<string>;
  readonly #signer: RecordingSigner;
  readonly #entries: SegmentEntry[] = [];
  #next = 1;
  #digest = '';
  #tornBytes = 0;
  /** Segments that lie in the object store and no longer here: the first ones. */
  #sent = 0;
  #sealedLateFrom = 0;

  constructor(store: RecordingStore, session: string, names: ReadonlySet<string>, signer: RecordingSigner) {
    this.#store = store;
    this.#session = session;
    this.#names = names;
    this.#signer = signer;
  }

  async run(): Promise<Recovery> {
    const payload = (await this.#payload(HEADER_FILE)) ?? '';
    const header = readHeader(parseJson(payload, HEADER_FILE), '');
    this.#digest = payloadHash(payload);
    const headerHash = this.#digest;
    for (let segment = 1; this.#has(segment); segment++) await this.#segment(segment);
    await this.#store.put(
      this.#session,
      MANIFEST_FILE,
      once(seal(await this.#manifest(header, headerHash), this.#signer).bytes),
    );
    return { kind: 'sealed', session: this.#session, events: this.#next - 1, tornBytes: this.#tornBytes };
  }

  #has(segment: number): boolean {
    return [liveName, storedName, headName].some((name) => this.#names.has(name(segment)));
  }

  async #segment(segment: number): Promise<void> {
    const live = this.#names.has(liveName(segment));
    const stored = this.#names.has(storedName(segment));
    const payload = await this.#payload(headName(segment));
    if (payload !== undefined) {
      const head = readHead(parseJson(payload, headName(segment)), '');
      const sent = this.#names.has(sentName(segment));
      if (!stored && !sent) throw new RecordingError('format', `${head.file} is missing`);
      if (!stored) this.#sent = segment;
      if (live) await this.#store.remove(this.#session, liveName(segment));
      this.#entries.push(entryOf(head, payload));
      this.#next = head.last + 1;
      this.#digest = head.digest;
      return;
    }
    if (!live) throw new RecordingError('format', `${headName(segment)} is missing`);
    // Killed before the head was written: compressed anew.
    if (stored) await this.#store.remove(this.#session, storedName(segment));
    await this.#sealLive(segment);
  }

  async #sealLive(segment: number): Promise<void> {
    const content = await this.#measure(segment);
    if (content === undefined) {
      await this.#store.remove(this.#session, liveName(segment));
      return;
    }
    if (this.#sealedLateFrom === 0) this.#sealedLateFrom = content.first;
    const lines = firstBytes(await this.#live(segment), content.bytes);
    this.#entries.push(await sealSegment(this.#store, this.#session, content, lines, this.#signer));
    this.#next = content.last + 1;
    this.#digest = content.digest;
  }

  /** What is whole of a live segment; undefined when it has no whole line. The chain was checked before. */
  async #measure(segment: number): Promise<SegmentContent | undefined> {
    const tags = new Tags();
    const previous = this.#digest;
    let digest = previous;
    let last = this.#next - 1;
    let bytes = 0;
    for await (const line of linesOf(await this.#live(segment))) {
      if (!line.whole) {
        this.#tornBytes = line.bytes.length;
        break;
      }
      digest = lineHash(line.bytes);
      tags.add(digest);
      bytes += line.bytes.length + 1;
      last++;
    }
    if (bytes === 0) return undefined;
    return { segment, first: this.#next, last, previous, digest, bytes, tags: tags.text() };
  }

  async #live(segment: number): Promise<AsyncIterable<Uint8Array>> {
    const content = await this.#store.read(this.#session, liveName(segment), MAX_SEGMENT);
    if (content === undefined) throw new RecordingError('store', `${liveName(segment)} is gone`);
    return content;
  }

  async #payload(name: string): Promise<string | undefined> {
    const bytes = await readWhole(this.#store, this.#session, name, MAX_DOCUMENT);
    return bytes === undefined ? undefined : parseSealed(bytes, name).payload;
  }

  async #manifest(header: Header, headerHash: string): Promise<Manifest> {
    return {
      format: FORMAT,
      kind: 'manifest',
      session: this.#session,
      header: headerHash,
      segments: this.#entries,
      events: this.#next - 1,
      digest: this.#digest,
      counts: (await this.#tally()).counts(),
      durability: header.durability,
      end: {
        kind: 'interrupted',
        tornBytes: this.#tornBytes,
        sealedLateFrom: this.#sealedLateFrom,
        admits: admits(header.durability),
      },
      closedAt: new Date().toISOString(),
    };
  }

  async #tally(): Promise<Tally> {
    const tally = new Tally();
    for (let segment = 1; segment <= this.#sent; segment++)
      tally.join(await readSent(this.#store, this.#session, segment));
    await tallyLines(readLines(this.#store, this.#session, this.#sent + 1), tally);
    return tally;
  }
}

/** What a kill may have taken, by the durability that was asked for. */
function admits(durability: Durability): string {
  if (durability === 'strict')
    return 'answers that were under way; no operation went forward that is not in it';
  return (
    `events of the last ${FLUSH_MILLISECONDS} ms or ${FLUSH_CHARACTERS} characters before a kill, ` +
    `of the last ${SYNC_MILLISECONDS} ms before a power cut, and more where the disk did not keep up`
  );
}

async function* firstBytes(content: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const part of content) {
    if (left <= 0) return;
    yield part.subarray(0, left);
    left -= part.length;
  }
}
