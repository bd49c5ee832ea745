/** Where something sensitive was found, and how finds that overlap become one. */
import { sameMask } from './apply.ts';
import type { Detector, Mask } from './mask.ts';

/** Bytes or characters, as the text that was looked at; `end` is after the last. */
export interface Span {
  readonly detector: Detector;
  readonly mask: Mask;
  readonly start: number;
  readonly end: number;
}

/**
 * In order, without overlaps: what lies within another find goes with it; two that overlap by a part become one, redacted
 * when their masks differ. Of two over the same range the one that was named first counts, redacted likewise.
 */
export function separateSpans(spans: readonly Span[]): readonly Span[] {
  const sorted = [...spans].sort((one, other) => one.start - other.start || other.end - one.end);
  const result: Span[] = [];
  for (const span of sorted) {
    const last = result.at(-1);
    if (last === undefined || span.start >= last.end) {
      result.push(span);
      continue;
    }
    const inner = span.end <= last.end && (span.start > last.start || span.end < last.end);
    if (inner) continue;
    const mask: Mask = sameMask(last.mask, span.mask) ? last.mask : { with: 'Redact' };
    result[result.length - 1] = { ...last, mask, end: Math.max(last.end, span.end) };
  }
  return result;
}
