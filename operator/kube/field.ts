/** Fields of objects as the API server gave them; what is not of the type asked for is not there. */

export function field(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    // Just seen to be a field of an object.
    found = (found as Readonly<Record<string, unknown>>)[step];
  }
  return found;
}

export function text(value: unknown, path: readonly string[]): string | undefined {
  const found = field(value, path);
  return typeof found === 'string' ? found : undefined;
}

export function items(value: unknown, path: readonly string[]): readonly unknown[] {
  const found: unknown = field(value, path);
  return Array.isArray(found) ? found : [];
}
