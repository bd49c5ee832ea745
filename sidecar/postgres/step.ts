/** Steps that may have to wait. Where nothing must be waited for they go on at once: most messages take no turn of the event loop. */

export function then<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Undefined: done. */
export type Step = Promise<void> | undefined;

export function step<T>(value: T | Promise<T>, next: (value: T) => Step): Step {
  return value instanceof Promise ? value.then(next) : next(value);
}
