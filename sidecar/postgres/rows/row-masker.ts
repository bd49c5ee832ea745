/**
 * Masks rows. A DataRow's body:
 *
 *   Int16 fields, then for each field Int32 length (-1 for NULL) and its bytes
 *
 * Ranges that stay as they are get copied at once; nothing is allocated for them.
 */
import type { DetectorSet } from '../../mask/detectors.ts';
import type { MaskKeys } from '../../mask/keys.ts';
import type { FieldMask } from '../../mask/mask.ts';
import type { FieldDescription } from '../wire/backend.ts';
import { compileValue } from './compile-value.ts';
import type { FrameWriter } from './frame-writer.ts';
import { RowError } from './row-error.ts';
import type { TypeLookup } from './type-shape.ts';
import { lengthAndBytes } from './binary-reader.ts';
import { type MaskContext, runPlan, type ValuePlan } from './value-plan.ts';

const DATA_ROW = 0x44;
const REDACT: FieldMask = { kind: 'value', mask: { with: 'Redact' } };
const CLEAR_MASK: FieldMask = { kind: 'clear' };

export interface MaskRefused {
  readonly kind: 'refused';
  /** Names the field and why; holds no value. */
  readonly reason: string;
}

export interface RowMasker {
  readonly kind: 'masker';
  /**
   * Writes the masked DataRow, header and all, for the body in `[start, end)`. Returns how many values it changed.
   * Throws RowError when the body is no row of the layout; nothing of it is in `out` then.
   */
  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number;
}

/**
 * Masks for one layout: `masks` has one entry a field, `all` redacts every field. Undefined when no field would ever be
 * changed, so that rows can be forwarded as they are.
 */
export function compileRowMasker(
  fields: readonly FieldDescription[],
  masks: readonly FieldMask[] | 'all' | undefined,
  detectors: DetectorSet | undefined,
  types: TypeLookup,
  keys: MaskKeys,
): RowMasker | MaskRefused | undefined {
  const plans = compileFields(fields, masks, { types, detectors, keys });
  return plans === undefined || 'kind' in plans
    ? plans
    : new FieldsMasker(DATA_ROW, plans.plans, plans.context);
}

export interface FieldPlans {
  readonly plans: readonly ValuePlan[];
  readonly context: MaskContext;
}

/** One plan a field; undefined when all are clear. */
export function compileFields(
  fields: readonly { readonly name: string; readonly typeOid: number; readonly format: number }[],
  masks: readonly FieldMask[] | 'all' | undefined,
  context: MaskContext,
): FieldPlans | MaskRefused | undefined {
  if (Array.isArray(masks) && masks.length !== fields.length) {
    return {
      kind: 'refused',
      reason: `masks for ${masks.length} columns, but the answer has ${fields.length}`,
    };
  }
  const plans: ValuePlan[] = [];
  for (const [index, { name, typeOid, format }] of fields.entries()) {
    if (format !== 0 && format !== 1)
      return { kind: 'refused', reason: `column ${name}: unknown format ${format}` };
    const mask = masks === undefined ? CLEAR_MASK : masks === 'all' ? REDACT : (masks[index] ?? REDACT);
    const plan = compileValue(typeOid, format, mask, context);
    if (plan.kind === 'refused')
      return { kind: 'refused', reason: `column ${name} (type ${typeOid}): ${plan.reason}` };
    plans.push(plan);
  }
  return plans.every(({ kind }) => kind === 'clear') ? undefined : { plans, context };
}

/** Fields as DataRow has them, which is how COPY in binary has them too: only the frame around them differs. */
export class FieldsMasker implements RowMasker {
  readonly kind = 'masker';
  readonly #tag: number;
  readonly #plans: readonly ValuePlan[];
  readonly #context: MaskContext;
  /** For constants: length and bytes, ready to be copied. */
  readonly #constants: readonly (Buffer | undefined)[];

  constructor(tag: number, plans: readonly ValuePlan[], context: MaskContext) {
    this.#tag = tag;
    this.#plans = plans;
    this.#context = context;
    this.#constants = plans.map((plan) =>
      plan.kind === 'constant' ? lengthAndBytes(plan.value) : undefined,
    );
  }

  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number {
    let masked = 0;
    const count = this.#plans.length;
    if (start < 0 || end > buffer.length || end - start < 2 || uint16(buffer, start) !== count)
      throw malformed();
    out.begin(this.#tag);
    // Everything before this was written or replaced.
    let copied = start;
    let position = start + 2;
    for (let index = 0; index < count; index++) {
      const value = position + 4;
      if (value > end) throw malformed();
      const length = int32(buffer, position);
      if (length < -1 || length > end - value) throw malformed();
      const next = length > 0 ? value + length : value;
      const constant = this.#constants[index];
      if (constant !== undefined) {
        out.copy(buffer, copied, position);
        out.copy(constant, 0, constant.length);
        copied = next;
        masked++;
      } else if (length >= 0) {
        const before = copied;
        copied = this.#maskValue(index, buffer, value, next, copied, out);
        if (copied !== before) masked++;
      }
      position = next;
    }
    if (position !== end) throw malformed();
    out.copy(buffer, copied, end);
    out.finish();
    return masked;
  }

  /** Returns up to where the row is written now. */
  #maskValue(
    index: number,
    buffer: Buffer,
    value: number,
    next: number,
    copied: number,
    out: FrameWriter,
  ): number {
    const plan = this.#plans[index];
    const context = this.#context;
    if (plan === undefined || plan.kind === 'clear') return copied;
    if (plan.kind === 'scan' && context.detectors?.scan(buffer, value, next).length === 0) return copied;
    const original = buffer.subarray(value, next);
    const masked = runPlan(plan, original, context);
    if (masked === original) return copied;
    out.copy(buffer, copied, value - 4);
    out.value(masked);
    return next;
  }
}

function uint16(buffer: Buffer, at: number): number {
  return ((buffer[at] ?? 0) << 8) | (buffer[at + 1] ?? 0);
}

function int32(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] ?? 0) << 24) |
    ((buffer[at + 1] ?? 0) << 16) |
    ((buffer[at + 2] ?? 0) << 8) |
    (buffer[at + 3] ?? 0)
  );
}

function malformed(): RowError {
  return new RowError('malformed-row', 'a row that is not of the announced layout');
}
