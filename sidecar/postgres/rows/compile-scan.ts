/** Plans for values that no column mask names but detectors look at: the same finds in text and in binary. */
import { maskJson } from './json-scan.ts';
import { multirangeBounds, rangeBounds } from './range-binary.ts';
import { byteaBytes, inetText, numberText } from './scalar-text.ts';
import { shapeOf, type TypeShape } from './type-shape.ts';
import {
  type ChangeValue,
  CLEAR,
  type Format,
  hasFinds,
  type MaskContext,
  replaceFinds,
  runPlan,
  type ValuePlan,
} from './value-plan.ts';

const BACKSLASH = 0x5c;
const LETTER_X = 0x78;

type ScannedShape = Exclude<TypeShape, { kind: 'array' | 'composite' | 'record' }>;

export function compileScan(shape: ScannedShape, format: Format, context: MaskContext): ValuePlan {
  switch (shape.kind) {
    case 'text':
      return { kind: 'scan' };
    case 'json':
      return { kind: 'change', change: jsonChange(shape.version && format === 1, context) };
    case 'plain':
      return CLEAR;
    case 'carrier':
      return hideOnFind((value) => value, context);
    case 'bytea':
      return hideOnFind(format === 1 ? (value) => value : byteaBytes, context);
    case 'number':
      return hideOnFind(numberReader(shape.of, format), context);
    case 'inet':
      return hideOnFind(format === 1 ? (value) => toBytes(inetText(value)) : (value) => value, context);
    case 'range':
    case 'multirange':
      return compileRange(shape, format, context);
    case 'untyped':
      return {
        kind: 'change',
        change: (value) => (isDisguised(value, context) ? null : replaceFinds(value, context)),
      };
    case 'domain':
    case 'opaque':
      if (format === 0)
        return {
          kind: 'change',
          change: (value) => (isDisguised(value, context) || hasFinds(value, context) ? null : value),
        };
      return {
        kind: 'refused',
        reason: 'the binary form of this type is not known, so nothing can be found in it',
      };
  }
}

/** Whether something is found in what bytea's and json's text forms stand for; of an unknown type it could be either. */
function isDisguised(value: Buffer, context: MaskContext): boolean {
  const start = value.indexOf(BACKSLASH);
  if (start < 0) return false;
  if (start === 0 && value[1] === LETTER_X) {
    const bytes = byteaBytes(value);
    if (bytes !== undefined && hasFinds(bytes, context)) return true;
  }
  if (!value.includes('\\u')) return false;
  const text = value
    .toString('utf8')
    .replace(/\\u([0-9a-fA-F]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return hasFinds(Buffer.from(text, 'utf8'), context);
}

/** The value, or NULL when something is found in what can be read of it, or when it cannot be read. */
function hideOnFind(read: (value: Buffer) => Buffer | undefined, context: MaskContext): ValuePlan {
  const change: ChangeValue = (value) => {
    const text = read(value);
    return text === undefined || hasFinds(text, context) ? null : value;
  };
  return { kind: 'change', change };
}

function toBytes(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text, 'latin1');
}

function numberReader(
  of: 'int8' | 'float8' | 'numeric',
  format: Format,
): (value: Buffer) => Buffer | undefined {
  if (format === 1) return (value) => toBytes(numberText(value, of));
  if (of !== 'float8') return (value) => value;
  // The server writes 16 digits as 4.11e+15.
  return (value) => {
    const number = Number(value.toString('latin1'));
    return Number.isInteger(number) && Math.abs(number) < 1e21
      ? Buffer.from(number.toFixed(0), 'latin1')
      : value;
  };
}

function jsonChange(version: boolean, context: MaskContext): ChangeValue {
  return (value) => {
    if (version && value[0] !== 1) return null;
    const start = version ? 1 : 0;
    const finds = context.detectors?.scan(value, start, value.length).length ?? 0;
    if (finds === 0 && !value.includes(0x5c, start)) return value;
    const text = value.toString('utf8', start);
    const masked = maskJson(text, context);
    return masked === text ? value : Buffer.from(version ? `\x01${masked}` : masked, 'utf8');
  };
}

function compileRange(
  shape: Extract<TypeShape, { kind: 'range' | 'multirange' }>,
  format: Format,
  context: MaskContext,
): ValuePlan {
  const subtype = shapeOf(shape.subtype, context.types);
  if (subtype.kind === 'plain') return CLEAR;
  if (format === 0) return hideOnFind((value) => value, context);
  if (subtype.kind === 'array' || subtype.kind === 'composite' || subtype.kind === 'record') {
    return { kind: 'refused', reason: 'a range over arrays or rows in binary' };
  }
  const bound = compileScan(subtype, format, context);
  if (bound.kind === 'refused') return bound;
  const readBounds = shape.kind === 'range' ? rangeBounds : multirangeBounds;
  const change: ChangeValue = (value) => {
    const bounds = readBounds(value);
    return bounds?.every((one) => runPlan(bound, one, context) === one) === true ? value : null;
  };
  return { kind: 'change', change };
}
