/** How one value is masked: compiled from its type, its format and its mask, run for each row. */
import type { DetectorSet } from '../../mask/detectors.ts';
import type { MaskKeys } from '../../mask/keys.ts';
import type { TypeLookup } from './type-shape.ts';

/** 0 text, 1 binary. */
export type Format = 0 | 1;

/** What all plans of one answer share. */
export interface MaskContext {
  readonly types: TypeLookup;
  readonly detectors: DetectorSet | undefined;
  readonly keys: MaskKeys;
}

/** Gives the very same buffer when nothing is changed, null for SQL NULL. Never throws. */
export type ChangeValue = (value: Buffer) => Buffer | null;

export type ValuePlan =
  | { readonly kind: 'clear' }
  /** The same for every value, NULL too: nothing of it shows, not even whether it is there. */
  | { readonly kind: 'constant'; readonly value: Buffer | null }
  /** Text that only detectors look at; NULL stays NULL. */
  | { readonly kind: 'scan' }
  /** NULL stays NULL. */
  | { readonly kind: 'change'; readonly change: ChangeValue }
  /** It cannot be known what the value holds. */
  | { readonly kind: 'refused'; readonly reason: string };

export const CLEAR: ValuePlan = { kind: 'clear' };
export const HIDDEN: ValuePlan = { kind: 'constant', value: null };

/** Runs a plan on one value. What is refused is hidden. */
export function runPlan(plan: ValuePlan, value: Buffer | null, context: MaskContext): Buffer | null {
  switch (plan.kind) {
    case 'clear':
      return value;
    case 'constant':
      return plan.value;
    case 'scan':
      return value === null ? null : replaceFinds(value, context);
    case 'change':
      return value === null ? null : plan.change(value);
    case 'refused':
      return null;
  }
}

/** The text with what detectors find in it masked. */
export function replaceFinds(value: Buffer, context: MaskContext): Buffer | null {
  if (context.detectors === undefined || context.detectors.scan(value, 0, value.length).length === 0)
    return value;
  const { value: replaced } = context.detectors.apply(value.toString('utf8'), context.keys);
  return replaced === null ? null : Buffer.from(replaced, 'utf8');
}

/** Whether detectors find anything. */
export function hasFinds(value: Buffer, context: MaskContext): boolean {
  return (context.detectors?.scan(value, 0, value.length).length ?? 0) > 0;
}
