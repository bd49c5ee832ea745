/** What a parser of untrusted input found wrong. */
import type { Path } from './path.ts';

export interface FieldError {
  readonly path: Path;
  /** Of an unknown field the key is wrong, else the value; a missing field is the fault of the object that lacks it. */
  readonly at: 'key' | 'value';
  readonly message: string;
}

export type Parsed<T> =
  | { readonly kind: 'parsed'; readonly value: T }
  /** All errors at once, in the order of the input. */
  | { readonly kind: 'invalid'; readonly errors: readonly FieldError[] };

/** Collects errors while a parser goes on; `add` gives undefined, for want of a value. */
export class Findings {
  readonly errors: FieldError[] = [];

  add(path: Path, message: string, at: FieldError['at'] = 'value'): unknown {
    this.errors.push({ path, at, message });
    return undefined;
  }
}
