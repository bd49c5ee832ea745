/** Readers of unknown JSON into known shapes. Unknown or missing fields are refused, by their path. */
import { RecordingError } from './recording-error.ts';

export type Reader<T> = (value: unknown, path: string) => T;

function wrong(path: string, expected: string): RecordingError {
  return new RecordingError('format', `${path} must be ${expected}`);
}

export const string: Reader<string> = (value, path) => {
  if (typeof value !== 'string') throw wrong(path, 'a string');
  return value;
};

export const count: Reader<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw wrong(path, 'a whole number');
  return value;
};

export const boolean: Reader<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw wrong(path, 'true or false');
  return value;
};

export function nullable<T>(read: Reader<T>): Reader<T | null> {
  return (value, path) => (value === null ? null : read(value, path));
}

export function array<T>(read: Reader<T>): Reader<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, 'a list');
    return value.map((item: unknown, index) => read(item, `${path}[${index}]`));
  };
}

export function oneOf<const T extends string>(...values: readonly T[]): Reader<T> {
  return (value, path) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw wrong(path, `one of ${values.join(', ')}`);
    return found;
  };
}

/** Any object, its values as they are. */
export const record: Reader<Readonly<Record<string, unknown>>> = (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, 'an object');
  return Object.fromEntries(Object.entries(value));
};

export function mapOf<T>(read: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, path) =>
    Object.fromEntries(
      Object.entries(record(value, path)).map(([key, item]) => [key, read(item, `${path}.${key}`)]),
    );
}

type Shape<T> = { readonly [K in keyof T]: Reader<T[K]> };

export function object<T extends object>(shape: Shape<T>): Reader<T> {
  // Both are lists of the very shape's own entries: the types of keys are lost in Object.entries.
  const fields = Object.entries(shape) as [keyof T & string, Reader<T[keyof T & string]>][];
  return (value, path) => {
    const given = record(value, path);
    for (const key of Object.keys(given)) {
      if (!Object.hasOwn(shape, key)) throw new RecordingError('format', `${path} has an unknown field`);
    }
    // Filled field by field below, each by its reader.
    const result = {} as T;
    for (const [key, read] of fields) result[key] = read(given[key], path === '' ? key : `${path}.${key}`);
    return result;
  };
}

/** Unions that discriminate on `kind`. */
export function byKind<T>(readers: Readonly<Record<string, Reader<T>>>): Reader<T> {
  return (value, path) => {
    const kind = record(value, path)['kind'];
    const read = typeof kind === 'string' && Object.hasOwn(readers, kind) ? readers[kind] : undefined;
    if (read === undefined) throw wrong(`${path}.kind`, `one of ${Object.keys(readers).join(', ')}`);
    return read(value, path);
  };
}
