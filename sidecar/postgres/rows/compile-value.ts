/** Plans for values: what a mask does to a type in a format. Unknown is hidden, or refused when it cannot be read. */
import { applyMask, REDACTED } from '../../mask/apply.ts';
import type { FieldMask, Mask } from '../../mask/mask.ts';
import { mapArrayBinary, singleElement } from './array-binary.ts';
import { mapArrayLiteral, writeArrayElement } from './array-text.ts';
import { compileRow } from './compile-row.ts';
import { compileScan } from './compile-scan.ts';
import { REDACTED_JSON } from './json-scan.ts';
import { shapeOf, type TypeShape } from './type-shape.ts';
import {
  type ChangeValue,
  CLEAR,
  type Format,
  HIDDEN,
  type MaskContext,
  runPlan,
  type ValuePlan,
} from './value-plan.ts';

/** Row types within row types: deeper ones are hidden. */
const DEEPEST = 24;

export function compileValue(
  type: number,
  format: Format,
  mask: FieldMask,
  context: MaskContext,
  depth = 0,
): ValuePlan {
  const shape = shapeOf(type, context.types);
  if (depth > DEEPEST) return HIDDEN;
  switch (mask.kind) {
    case 'clear':
      return context.detectors === undefined ? CLEAR : compileClear(shape, format, context, depth);
    case 'value':
      return compileMask(shape, format, mask.mask, context);
    case 'array':
      if (shape.kind === 'array') return compileElements(shape, format, mask.element, context, depth);
      break;
    case 'composite':
      if (shape.kind === 'composite' || shape.kind === 'record')
        return compileRow(shape, format, mask.fields, context, depth);
      break;
  }
  // The analysis and the server disagree on what this is.
  return isAllClear(mask)
    ? compileValue(type, format, { kind: 'clear' }, context, depth)
    : compileMask(shape, format, { with: 'Redact' }, context);
}

function isAllClear(mask: FieldMask): boolean {
  switch (mask.kind) {
    case 'clear':
      return true;
    case 'value':
      return false;
    case 'array':
      return isAllClear(mask.element);
    case 'composite':
      return mask.fields.every(isAllClear);
  }
}

function compileClear(shape: TypeShape, format: Format, context: MaskContext, depth: number): ValuePlan {
  switch (shape.kind) {
    case 'array':
      return compileElements(shape, format, { kind: 'clear' }, context, depth);
    case 'composite':
    case 'record':
      return compileRow(shape, format, undefined, context, depth);
    case 'text':
    case 'json':
    case 'plain':
    case 'carrier':
    case 'bytea':
    case 'number':
    case 'inet':
    case 'range':
    case 'multirange':
    case 'domain':
    case 'untyped':
    case 'opaque':
      return compileScan(shape, format, context);
  }
}

/**
 * A mask on a whole value. Text takes it; json takes `Redact` and `Hash` as a json string; other types have no value that
 * could stand for it and become NULL. Arrays under `Redact` become one redacted element, whatever their length was, so that
 * it does not show; under `Partial` and `Hash` they keep their shape.
 */
function compileMask(shape: TypeShape, format: Format, mask: Mask, context: MaskContext): ValuePlan {
  if (mask.with === 'Null') return HIDDEN;
  switch (shape.kind) {
    case 'text':
      return compileText(shape.padded, mask, context);
    case 'untyped':
      return compileText(false, mask, context);
    case 'json':
      return compileJson(shape.version && format === 1, mask, context);
    case 'array':
      return compileArrayMask(shape, format, mask, context);
    case 'plain':
    case 'carrier':
    case 'bytea':
    case 'number':
    case 'inet':
    case 'composite':
    case 'record':
    case 'range':
    case 'multirange':
    case 'domain':
    case 'opaque':
      return HIDDEN;
  }
}

function compileText(padded: boolean, mask: Mask, context: MaskContext): ValuePlan {
  if (mask.with === 'Redact') return { kind: 'constant', value: Buffer.from(REDACTED) };
  return {
    kind: 'change',
    change: (value) => {
      const text = value.toString('utf8');
      const masked = applyMask(mask, padded ? text.replace(/(?<! ) +$/, '') : text, context.keys);
      return masked === null ? null : Buffer.from(masked, 'utf8');
    },
  };
}

function compileJson(version: boolean, mask: Mask, context: MaskContext): ValuePlan {
  const write = (text: string) => Buffer.from(version ? `\x01${text}` : text, 'utf8');
  if (mask.with !== 'Hash') return { kind: 'constant', value: write(REDACTED_JSON) };
  return {
    kind: 'change',
    change: (value) =>
      write(JSON.stringify(applyMask(mask, value.toString('utf8', version ? 1 : 0), context.keys))),
  };
}

type ArrayShape = Extract<TypeShape, { kind: 'array' }>;

function compileArrayMask(shape: ArrayShape, format: Format, mask: Mask, context: MaskContext): ValuePlan {
  const inner = shapeOf(shape.element, context.types);
  const element = inner.kind === 'array' ? HIDDEN : compileMask(inner, format, mask, context);
  if (element.kind === 'constant')
    return { kind: 'constant', value: element.value && oneElement(shape, format, element.value) };
  return element.kind === 'change' ? mapElements(shape, format, element, context) : HIDDEN;
}

function oneElement(shape: ArrayShape, format: Format, element: Buffer): Buffer {
  if (format === 1) return singleElement(shape.element, element);
  return Buffer.from(`{${writeArrayElement(element.toString('latin1'), shape.delimiter)}}`, 'latin1');
}

function compileElements(
  shape: ArrayShape,
  format: Format,
  mask: FieldMask,
  context: MaskContext,
  depth: number,
): ValuePlan {
  const element = compileValue(shape.element, format, mask, context, depth + 1);
  return element.kind === 'clear' || element.kind === 'refused'
    ? element
    : mapElements(shape, format, element, context);
}

/** Element by element; an array that cannot be read is hidden. */
function mapElements(shape: ArrayShape, format: Format, element: ValuePlan, context: MaskContext): ValuePlan {
  const binary: ChangeValue = (value) =>
    mapArrayBinary(value, shape.element, (one) => runPlan(element, one, context)) ?? null;
  const text: ChangeValue = (value) => {
    const literal = value.toString('latin1');
    const mapped = mapArrayLiteral(literal, shape.delimiter, (one) => runOnText(element, one, context));
    return mapped === literal ? value : mapped === undefined ? null : Buffer.from(mapped, 'latin1');
  };
  return { kind: 'change', change: format === 1 ? binary : text };
}

/** Runs a plan on a part of a literal. */
export function runOnText(plan: ValuePlan, part: string | null, context: MaskContext): string | null {
  const value = part === null ? null : Buffer.from(part, 'latin1');
  const masked = runPlan(plan, value, context);
  return masked === value ? part : masked === null ? null : masked.toString('latin1');
}
