/** Detectors compiled to one pass over bytes: a table says which bytes may start something, the rest costs nothing. */
import { applyMask, stricterMask } from './apply.ts';
import { DIGIT, is, type Text } from './detect/bytes.ts';
import type { Found, Scanner } from './detect/scanner.ts';
import { SCANNERS } from './detect/scanners.ts';
import type { MaskKeys } from './keys.ts';
import type { Detector, DetectorMask, Mask } from './mask.ts';
import { separateSpans, type Span } from './span.ts';

/** What came of a text; `hits` counts the finds. `value` is null when a `Null` mask applied. */
export interface Replacement {
  readonly value: string | null;
  readonly hits: number;
}

export interface DetectorSet {
  /** Finds in a range of UTF-8 bytes, at byte positions of `bytes`; in order, without overlaps. Allocates only on finds. */
  scan(bytes: Uint8Array, start: number, end: number): readonly Span[];
  /** Finds in a text, at UTF-16 positions. */
  find(text: string): readonly Span[];
  /** The text with each find masked and all else as it was. */
  apply(text: string, keys: MaskKeys): Replacement;
}

const NONE: readonly Span[] = [];

/** Undefined when there are no detectors, so that there is nothing to run. Twice the same: the stricter mask counts. */
export function compileDetectors(masks: readonly DetectorMask[]): DetectorSet | undefined {
  const byDetector = new Map<Detector, Mask>();
  for (const { detector, mask } of masks) {
    const other = byDetector.get(detector);
    byDetector.set(detector, other === undefined ? mask : stricterMask(other, mask));
  }
  const active: ActiveScanner[] = [];
  for (const scanner of SCANNERS) {
    const mask = byDetector.get(scanner.detector);
    if (mask !== undefined) active.push({ scanner, mask, resume: 0 });
  }
  return active.length === 0 ? undefined : new CompiledDetectors(active);
}

interface ActiveScanner {
  readonly scanner: Scanner;
  readonly mask: Mask;
  resume: number;
}

class CompiledDetectors implements DetectorSet {
  readonly #active: readonly ActiveScanner[];
  readonly #triggers = new Uint8Array(256);
  readonly #byByte: (readonly ActiveScanner[])[] = Array.from({ length: 256 }, () => []);
  readonly #found: Found = { start: 0, end: 0, resume: 0 };

  constructor(active: readonly ActiveScanner[]) {
    this.#active = active;
    for (let byte = 0; byte < 256; byte++) {
      const listeners = active.filter(({ scanner }) => scanner.triggers.includes(String.fromCharCode(byte)));
      if (listeners.length === 0) continue;
      this.#triggers[byte] = 1;
      this.#byByte[byte] = listeners;
    }
  }

  scan(bytes: Uint8Array, start: number, end: number): readonly Span[] {
    const triggers = this.#triggers;
    for (let position = start; position < end; position++) {
      if (triggers[bytes[position] ?? 0] === 1) return this.#scanFrom({ bytes, start, end }, position);
    }
    return NONE;
  }

  #scanFrom(text: Text, from: number): readonly Span[] {
    const { bytes, end } = text;
    const triggers = this.#triggers;
    for (const active of this.#active) active.resume = text.start;
    let spans: Span[] | undefined;
    let inNumber = false;
    for (let position = from; position < end; position++) {
      const byte = bytes[position] ?? 0;
      const digit = is(byte, DIGIT);
      // A number is looked at from its first digit only.
      if (triggers[byte] === 1 && !(digit && inNumber)) spans = this.#ask(text, position, spans);
      inNumber = digit;
    }
    return spans === undefined ? NONE : spans.length === 1 ? spans : separateSpans(spans);
  }

  #ask(text: Text, position: number, spans: Span[] | undefined): Span[] | undefined {
    let result = spans;
    const found = this.#found;
    for (const active of this.#byByte[text.bytes[position] ?? 0] ?? []) {
      if (position < active.resume) continue;
      found.resume = active.resume;
      if (active.scanner.match(text, position, found)) {
        const { start, end } = found;
        active.resume = end;
        (result ??= []).push({ detector: active.scanner.detector, mask: active.mask, start, end });
      } else active.resume = found.resume;
    }
    return result;
  }

  find(text: string): readonly Span[] {
    const bytes = Buffer.from(text, 'utf8');
    const spans = this.scan(bytes, 0, bytes.length);
    if (spans.length === 0 || bytes.length === text.length) return spans;
    let byte = 0;
    let character = 0;
    const positionOf = (to: number) => {
      character += bytes.toString('utf8', byte, to).length;
      byte = to;
      return character;
    };
    return spans.map((span) => ({ ...span, start: positionOf(span.start), end: positionOf(span.end) }));
  }

  apply(text: string, keys: MaskKeys): Replacement {
    const spans = this.find(text);
    let value: string | null = '';
    let from = 0;
    for (const span of spans) {
      const masked = applyMask(span.mask, text.slice(span.start, span.end), keys);
      // A hole in the text would join what was around it: nothing of it is shown.
      if (masked === null || value === null) value = null;
      else value += text.slice(from, span.start) + masked;
      from = span.end;
    }
    return { value: value === null ? null : value + text.slice(from), hits: spans.length };
  }
}
