/** One mask on one text value. */
import { keyedHash, type MaskKeys } from './keys.ts';
import type { Mask } from './mask.ts';

export const REDACTED = '[redacted]';

/** Stands for what a partial mask hides: always as many, so that the length is hidden too. */
const HIDDEN = '****';

/**
 * The value as the client may see it; null is SQL NULL. `Redact` and `Null` give the same for every value, NULL too.
 * `Partial` and `Hash` are declassification by choice: NULL stays NULL under them, and equal values look equal.
 */
export function applyMask(mask: Mask, value: string | null, keys: MaskKeys): string | null {
  switch (mask.with) {
    case 'Redact':
      return REDACTED;
    case 'Null':
      return null;
    case 'Partial':
      return value === null ? null : keepEnds(value, mask.keepFirst, mask.keepLast);
    case 'Hash':
      return value === null ? null : keyedHash(value, mask.scope, keys);
  }
}

/** Characters are grapheme clusters: half of one would be another character, or none. */
function keepEnds(value: string, keepFirst: number, keepLast: number): string {
  const first = whole(keepFirst);
  const last = whole(keepLast);
  const kept = first + last;
  if (kept === 0 || value.length < 2 * kept) return HIDDEN;
  const characters = isAscii(value)
    ? undefined
    : Array.from(graphemes().segment(value), (part) => part.segment);
  if (characters === undefined) return value.slice(0, first) + HIDDEN + value.slice(value.length - last);
  if (characters.length < 2 * kept) return HIDDEN;
  return characters.slice(0, first).join('') + HIDDEN + characters.slice(characters.length - last).join('');
}

/** A nonsense count keeps nothing. */
function whole(count: number): number {
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

function isAscii(value: string): boolean {
  return /^[\x00-\x7f]*$/.test(value);
}

let segmenter: Intl.Segmenter | undefined;

/** Made when first needed: it loads tables. */
function graphemes(): Intl.Segmenter {
  segmenter ??= new Intl.Segmenter('und', { granularity: 'grapheme' });
  return segmenter;
}

/** How much a mask tells of a value; of two that meet on one value the lower rank wins. */
const RANK = { Redact: 0, Null: 1, Hash: 2, Partial: 3 } as const;

/** The mask that tells no more than either. */
export function stricterMask(one: Mask, other: Mask): Mask {
  if (sameMask(one, other)) return one;
  if (one.with === other.with) return { with: 'Redact' };
  return RANK[one.with] < RANK[other.with] ? one : other;
}

export function sameMask(one: Mask, other: Mask): boolean {
  if (one.with === 'Partial' && other.with === 'Partial') {
    return one.keepFirst === other.keepFirst && one.keepLast === other.keepLast;
  }
  if (one.with === 'Hash' && other.with === 'Hash') return one.scope === other.scope;
  return one.with === other.with;
}
