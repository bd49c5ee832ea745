/** A value that no log, error, inspection or JSON shows; it is in memory only as long as it is needed. */
import { inspect } from 'node:util';

const SHOWN = '[hidden]';

export class Hidden<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toJSON(): string {
    return SHOWN;
  }

  toString(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}
