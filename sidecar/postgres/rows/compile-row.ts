/** Plans for row values: one plan an attribute. A row that is not what it was announced to be is hidden. */
import { REDACTED } from '../../mask/apply.ts';
import type { FieldMask } from '../../mask/mask.ts';
import { compileValue, runOnText } from './compile-value.ts';
import { readRecordBinary, writeRecordBinary } from './record-binary.ts';
import { readRecordLiteral, writeAttribute } from './record-text.ts';
import type { TypeShape } from './type-shape.ts';
import {
  type ChangeValue,
  CLEAR,
  type Format,
  type MaskContext,
  runPlan,
  type ValuePlan,
} from './value-plan.ts';

type RowShape = Extract<TypeShape, { kind: 'composite' | 'record' }>;

/** Without `masks` all attributes are clear, and only detectors look at them. */
export function compileRow(
  shape: RowShape,
  format: Format,
  masks: readonly FieldMask[] | undefined,
  context: MaskContext,
  depth: number,
): ValuePlan {
  const row = new RowPlans(shape, format, masks, context, depth);
  return { kind: 'change', change: format === 1 ? row.binary : row.text };
}

const CLEAR_MASK: FieldMask = { kind: 'clear' };

class RowPlans {
  readonly #shape: RowShape;
  readonly #format: Format;
  readonly #masks: readonly FieldMask[] | undefined;
  readonly #context: MaskContext;
  readonly #depth: number;
  /** Made when first needed: row types may contain themselves. */
  readonly #plans = new Map<string, ValuePlan>();

  constructor(
    shape: RowShape,
    format: Format,
    masks: readonly FieldMask[] | undefined,
    context: MaskContext,
    depth: number,
  ) {
    this.#shape = shape;
    this.#format = format;
    this.#masks = masks;
    this.#context = context;
    this.#depth = depth;
  }

  readonly text: ChangeValue = (value) => {
    const read = readRecordLiteral(value.toString('latin1'));
    const attributes = read?.length === 1 && read[0]?.text === '' && this.#expected() === 0 ? [] : read;
    if (attributes === undefined || !this.#fits(attributes.length)) return null;
    const texts = attributes.map((attribute, index) => {
      const type = this.#shape.kind === 'composite' ? (this.#shape.attributes[index] ?? 0) : undefined;
      const masked = runOnText(this.#plan(index, type), attribute.value, this.#context);
      return masked === attribute.value ? attribute.text : writeAttribute(masked);
    });
    const same = texts.every((text, index) => text === attributes[index]?.text);
    return same ? value : Buffer.from(`(${texts.join(',')})`, 'latin1');
  };

  readonly binary: ChangeValue = (value) => {
    const attributes = readRecordBinary(value);
    if (attributes === undefined || !this.#fits(attributes.length)) return null;
    let changed = false;
    const masked = [];
    for (const [index, { type, value: attribute }] of attributes.entries()) {
      const plan = this.#plan(index, type);
      if (plan.kind === 'refused') return null;
      const result = runPlan(plan, attribute, this.#context);
      changed ||= result !== attribute;
      masked.push({ type, value: result });
    }
    return changed ? writeRecordBinary(masked) : value;
  };

  #expected(): number | undefined {
    return this.#shape.kind === 'composite' ? this.#shape.attributes.length : this.#masks?.length;
  }

  #fits(count: number): boolean {
    if (this.#masks !== undefined && this.#masks.length !== count) return false;
    return this.#shape.kind === 'record' || this.#shape.attributes.length === count;
  }

  #plan(index: number, type: number | undefined): ValuePlan {
    const key = `${index}:${type ?? ''}`;
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      const mask = this.#masks === undefined ? CLEAR_MASK : (this.#masks[index] ?? REDACT);
      plan =
        type === undefined
          ? untyped(mask, this.#context)
          : compileValue(type, this.#format, mask, this.#context, this.#depth + 1);
      this.#plans.set(key, plan);
    }
    return plan;
  }
}

const REDACT: FieldMask = { kind: 'value', mask: { with: 'Redact' } };

/** An attribute of a row without a name, in text: nobody can read such a row back, so any text may stand in it. */
function untyped(mask: FieldMask, context: MaskContext): ValuePlan {
  if (mask.kind === 'clear') return context.detectors === undefined ? CLEAR : { kind: 'scan' };
  const isNull = mask.kind === 'value' && mask.mask.with === 'Null';
  return { kind: 'constant', value: isNull ? null : Buffer.from(REDACTED) };
}
