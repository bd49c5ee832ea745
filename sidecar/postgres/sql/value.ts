/** What is known of a value before the statement has run: where protected data is in it, and whether computing it can fail. */
import type { FieldMask } from '../../mask/mask.ts';

/** Protected data in a value. */
export interface Flow {
  /** How the value is masked when it is given out. */
  readonly mask: FieldMask;
  /** A protected column that it comes from, for messages: `schema.table.column`. */
  readonly column: string;
  /** It holds the very values of columns: its length tells no more than theirs. */
  readonly plain: boolean;
  /** At most how many times as long as the protected values it may be. */
  readonly weight: number;
}

export interface Output {
  readonly name: string;
  readonly flow: Flow | null;
  /** Oid of the type, 0 when unknown. */
  readonly type: number;
  /** As of a value: a subquery's expression may be computed where its column is used, or not at all. */
  readonly total: boolean;
  /** Of a column that is a row: its attributes. */
  readonly row?: readonly Output[] | null;
}

export interface Value {
  readonly flow: Flow | null;
  readonly type: number;
  /** Computing it can neither fail nor do anything else: whether it is computed at all tells nothing. */
  readonly total: boolean;
  /** A literal or parameter. */
  readonly constant: boolean;
  /** A parameter, which may be longer than any literal. */
  readonly long?: boolean;
  /** Of a row value: its attributes. */
  readonly row: readonly Output[] | null;
}

export const REDACTED: FieldMask = { kind: 'value', mask: { with: 'Redact' } };
export const CLEAR_FIELD: FieldMask = { kind: 'clear' };

export const UNKNOWN_TYPE = 705;
export const TEXT = 25;
export const BOOL = 16;
export const INT4 = 23;
export const INT8 = 20;
export const NUMERIC = 1700;
export const JSON_TYPE = 114;
export const JSONB = 3802;
/** text, varchar, bpchar, name, "char". */
const TEXTS: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 18]);
export const FIRST_USER_TYPE = 16384;

export const isText = (type: number): boolean => TEXTS.has(type) || type === UNKNOWN_TYPE;
export const isBuiltinType = (type: number): boolean => type > 0 && type < FIRST_USER_TYPE;

/** A value that may fail or act, with nothing protected in it. */
export const PARTIAL: Value = { flow: null, type: 0, total: false, constant: false, row: null };
export const CONSTANT: Value = { flow: null, type: UNKNOWN_TYPE, total: true, constant: true, row: null };

export const clear = (type: number, total: boolean): Value => ({
  flow: null,
  type,
  total,
  constant: false,
  row: null,
});

export function derived(column: string, weight: number, type: number, plain = false): Value {
  const flow = { mask: REDACTED, column, plain, weight };
  return { flow, type, total: true, constant: false, row: null };
}

export function firstFlow(values: readonly { readonly flow: Flow | null }[]): Flow | null {
  for (const { flow } of values) if (flow) return flow;
  return null;
}

/** The flow of a value that may be any one of several. */
export function eitherFlow(a: Flow | null, b: Flow | null): Flow | null {
  if (a === null || b === null) return a ?? b;
  if (a === b || sameMask(a.mask, b.mask)) {
    return a.plain && b.plain && a.weight >= b.weight
      ? a
      : { ...a, plain: a.plain && b.plain, weight: Math.max(a.weight, b.weight) };
  }
  return {
    mask: REDACTED,
    column: a.column,
    plain: a.plain && b.plain,
    weight: Math.max(a.weight, b.weight),
  };
}

function sameMask(a: FieldMask, b: FieldMask): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Whether a value of the one type may stand where the other does without a conversion that can fail. */
export function compatible(a: number, b: number): boolean {
  if (a === b && a !== 0) return true;
  if (a === UNKNOWN_TYPE || b === UNKNOWN_TYPE) return true;
  return isText(a) && isText(b);
}

/** The flow of a row value, by attribute. */
export function rowFlow(row: readonly Output[]): Flow | null {
  const first = firstFlow(row);
  if (first === null) return null;
  let weight = 0;
  let plain = true;
  const fields: FieldMask[] = [];
  for (const { flow } of row) {
    fields.push(flow?.mask ?? CLEAR_FIELD);
    if (flow === null) continue;
    weight += flow.weight;
    plain &&= flow.plain;
  }
  return { mask: { kind: 'composite', fields }, column: first.column, plain, weight };
}
