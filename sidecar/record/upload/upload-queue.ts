/** The finished files of one recording that wait for the store, in their order. */
import { HEADER_FILE, MANIFEST_FILE } from '../documents.ts';
import { isFinished, uploadOrder } from '../object-store/keys.ts';
import { storedName } from '../segment.ts';

const HEAD = /^([0-9]{6})\.head\.json$/;

/** Number of the segment that a head is of; undefined when it is none. */
export function segmentOf(file: string): number | undefined {
  const digits = HEAD.exec(file)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** A file becomes ready with this one: a segment counts as finished when its head is there. */
export function readyWith(file: string): readonly string[] {
  const segment = segmentOf(file);
  if (segment !== undefined) return [storedName(segment), file];
  return file === HEADER_FILE || file === MANIFEST_FILE ? [file] : [];
}

export class UploadQueue {
  readonly recording: string;
  readonly #files: { readonly name: string; readonly since: number }[] = [];

  constructor(recording: string) {
    this.recording = recording;
  }

  get first(): string | undefined {
    return this.#files[0]?.name;
  }

  get size(): number {
    return this.#files.length;
  }

  /** When the one that waits longest was finished, by `performance.now()`. */
  get since(): number | undefined {
    return this.#files[0]?.since;
  }

  get ends(): boolean {
    return this.#files.some(({ name }) => name === MANIFEST_FILE);
  }

  add(names: readonly string[], now: number): void {
    const known = new Set(this.#files.map(({ name }) => name));
    const fresh = names.filter((name) => isFinished(name) && !known.has(name));
    this.#files.push(...fresh.map((name) => ({ name, since: now })));
    // The first one may be under way: what comes later never goes before it, since numbers grow.
    this.#files.sort((one, other) => uploadOrder(one.name, other.name));
  }

  shift(): void {
    this.#files.shift();
  }

  clear(): void {
    this.#files.length = 0;
  }
}
