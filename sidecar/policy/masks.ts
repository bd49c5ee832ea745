/** The masks of a session: the union of its policies' masks, the strongest for each column and detector. */
import { parseColumnName } from '../../crds/column.ts';
import type { PolicyMask } from '../../crds/policy.ts';
import type { ColumnMask, DetectorMask, Mask, MaskRules } from '../mask/mask.ts';

const STRENGTH = { Redact: 3, Null: 2, Hash: 1, Partial: 0 } as const satisfies Record<Mask['with'], number>;

/** The catalog's name for a column written in a mask, or undefined when it is none. */
function columnOf(written: string): string | undefined {
  const name = parseColumnName(written);
  return name === null ? undefined : `${name.schema}.${name.table}.${name.column}`;
}

/** Whether every mask of a policy names columns that can exist: index and text of the first that does not. */
export function invalidColumn(
  mask: PolicyMask,
): { readonly index: number; readonly text: string } | undefined {
  const columns = mask.columns ?? [];
  const index = columns.findIndex((column) => columnOf(column) === undefined);
  return index < 0 ? undefined : { index, text: columns[index] ?? '' };
}

function maskOf(spec: PolicyMask): Mask {
  switch (spec.with) {
    case 'Redact':
    case 'Null':
      return { with: spec.with };
    case 'Partial':
      return {
        with: 'Partial',
        keepFirst: spec.partial?.keepFirst ?? 0,
        keepLast: spec.partial?.keepLast ?? 0,
      };
    case 'Hash':
      return { with: 'Hash', scope: spec.hash?.scope ?? 'Session' };
  }
}

/** The mask that hides more; of two that are alike, what both hide. */
export function strongest(one: Mask, other: Mask): Mask {
  if (one.with === 'Partial' && other.with === 'Partial') {
    return {
      with: 'Partial',
      keepFirst: Math.min(one.keepFirst, other.keepFirst),
      keepLast: Math.min(one.keepLast, other.keepLast),
    };
  }
  if (one.with === 'Hash' && other.with === 'Hash') return one.scope === 'Session' ? one : other;
  return STRENGTH[one.with] >= STRENGTH[other.with] ? one : other;
}

function put<Key>(masks: Map<Key, Mask>, key: Key, mask: Mask): void {
  const known = masks.get(key);
  masks.set(key, known === undefined ? mask : strongest(known, mask));
}

function byName(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

const interned = new Map<string, WeakRef<MaskRules>>();
const forget = new FinalizationRegistry<string>((key) => {
  if (interned.get(key)?.deref() === undefined) interned.delete(key);
});

/** The one object for these masks, so that caches of analyses outlive a policy change that leaves masks alone. */
function intern(columns: readonly ColumnMask[], detectors: readonly DetectorMask[]): MaskRules {
  const key = JSON.stringify([columns, detectors]);
  const known = interned.get(key)?.deref();
  if (known !== undefined) return known;
  const rules: MaskRules = Object.freeze({
    columns: Object.freeze(columns),
    detectors: Object.freeze(detectors),
  });
  interned.set(key, new WeakRef(rules));
  forget.register(rules, key);
  return rules;
}

export function unionOfMasks(masks: readonly PolicyMask[]): MaskRules {
  const columns = new Map<string, Mask>();
  const detectors = new Map<DetectorMask['detector'], Mask>();
  for (const spec of masks) {
    const mask = maskOf(spec);
    for (const written of spec.columns ?? []) {
      const column = columnOf(written);
      // Compiling refuses such a policy: what is left is a broken invariant, and must not become an unmasked column.
      if (column === undefined) throw new RangeError('a mask on what is no column');
      put(columns, column, mask);
    }
    for (const detector of spec.detect ?? []) put(detectors, detector, mask);
  }
  return intern(
    Array.from(columns, ([column, mask]) => ({ column, mask })).sort((a, b) => byName(a.column, b.column)),
    Array.from(detectors, ([detector, mask]) => ({ detector, mask })).sort((a, b) =>
      byName(a.detector, b.detector),
    ),
  );
}
