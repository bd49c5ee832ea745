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

/** Collects errors while a parser goes on. */
export class Findings {
  readonly errors: FieldError[] = [];
  #malformed = 0;

  /** How many values had not the shape that their schema's type says: rules are not checked on what holds one. */
  get malformed(): number {
    return this.#malformed;
  }

  /** The value is not of its type; gives undefined, for want of one. */
  refuse(path: Path, message: string, at: FieldError['at'] = 'value'): unknown {
    this.#malformed += 1;
    this.add(path, message, at);
    return undefined;
  }

  /** The value is of its type, but breaks a rule. */
  add(path: Path, message: string, at: FieldError['at'] = 'value'): void {
    this.errors.push({ path, at, message });
  }
}
