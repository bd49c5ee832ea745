/** Fields of one row of COPY in text or csv: runs the plans, and copies what stays as it is. */
import { COPY_DATA } from './copy-format.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { FieldPlans } from './row-masker.ts';
import { RowError } from './row-error.ts';
import { runPlan } from './value-plan.ts';

const LINE_FEED = 0x0a;

/** Where a field stands in a row, and what it says. Reused from field to field. */
export interface CopyField {
  end: number;
  isNull: boolean;
  /** It is written without marks of the format: its bytes are its value. */
  bare: boolean;
  quoted: boolean;
}

/** One format's way of writing values. */
export interface FieldSyntax {
  readonly delimiter: number;
  /** Finds the end of the field at `start` in a row that ends at `end`. Throws RowError. */
  read(buffer: Buffer, start: number, end: number, field: CopyField): void;
  /** The value of a field that is neither NULL nor bare. */
  decode(buffer: Buffer, start: number, end: number): Buffer;
  /** As PostgreSQL writes it; `quoted` when it was in quotes before. */
  encode(value: Buffer | null, quoted: boolean): Buffer;
}

export class CopyFields {
  readonly #syntax: FieldSyntax;
  readonly #fields: FieldPlans;
  readonly #constants: readonly (Buffer | undefined)[];
  readonly #field: CopyField = { end: 0, isNull: false, bare: true, quoted: false };
  #header: boolean;

  constructor(syntax: FieldSyntax, fields: FieldPlans, header: boolean) {
    this.#syntax = syntax;
    this.#fields = fields;
    this.#header = header;
    this.#constants = fields.plans.map((plan) =>
      plan.kind === 'constant' ? syntax.encode(plan.value, false) : undefined,
    );
  }

  /** `end` is after the row's line feed. */
  mask(buffer: Buffer, start: number, end: number, out: FrameWriter): number {
    const { plans } = this.#fields;
    let masked = 0;
    out.begin(COPY_DATA);
    if (this.#header) {
      // Names of columns.
      this.#header = false;
      out.copy(buffer, start, end);
      out.finish();
      return 0;
    }
    if (buffer[end - 1] !== LINE_FEED) throw malformed();
    const rowEnd = end - 1;
    let copied = start;
    let position = start;
    for (let index = 0; index < plans.length; index++) {
      if (index > 0 && buffer[position++] !== this.#syntax.delimiter) throw malformed();
      if (position > rowEnd) throw malformed();
      this.#syntax.read(buffer, position, rowEnd, this.#field);
      const replacement = this.#replacement(index, buffer, position);
      if (replacement !== undefined) {
        out.copy(buffer, copied, position);
        out.copy(replacement, 0, replacement.length);
        copied = this.#field.end;
        masked++;
      }
      position = this.#field.end;
    }
    if (position !== rowEnd) throw malformed();
    out.copy(buffer, copied, end);
    out.finish();
    return masked;
  }

  /** What is written in place of the field; undefined when it stays. */
  #replacement(index: number, buffer: Buffer, start: number): Buffer | undefined {
    const constant = this.#constants[index];
    if (constant !== undefined) return constant;
    const { context, plans } = this.#fields;
    const plan = plans[index];
    const { end, isNull, bare, quoted } = this.#field;
    if (plan === undefined || plan.kind === 'clear' || isNull) return undefined;
    if (bare && plan.kind === 'scan' && context.detectors?.scan(buffer, start, end).length === 0)
      return undefined;
    const value = bare ? buffer.subarray(start, end) : this.#syntax.decode(buffer, start, end);
    const masked = runPlan(plan, value, context);
    return masked === value ? undefined : this.#syntax.encode(masked, quoted);
  }
}

export function malformed(): RowError {
  return new RowError('malformed-copy', 'COPY data that is not of the announced format');
}
