/** Lengths of time as Kubernetes writes them: `15m`, `1h30m`, `500ms`. */
import { text, type Schema } from './schema.ts';

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const PATTERN = '^([0-9]{1,5}(h|m|s|ms)){1,4}$';
const WHOLE = new RegExp(PATTERN, 'u');

/** Milliseconds, or null when the text is no duration. */
export function parseDuration(value: string): number | null {
  if (!WHOLE.test(value)) return null;
  let total = 0;
  for (const [, count, unit] of value.matchAll(/([0-9]+)(ms|h|m|s)/gu)) {
    total += Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
  }
  return total;
}

/** Milliseconds of a duration that a schema has already accepted; anything else is a broken invariant. */
export function milliseconds(duration: string): number {
  const value = parseDuration(duration);
  if (value === null) throw new RangeError(`not a duration: ${JSON.stringify(duration.slice(0, 40))}`);
  return value;
}

/** A duration field within bounds, both included. */
export function duration(
  description: string,
  bounds: { readonly minimum: string; readonly maximum: string },
): Schema<string> {
  const { minimum, maximum } = bounds;
  return text(description, {
    maxLength: 24,
    pattern: PATTERN,
    patternMessage: 'must be a duration such as 90s, 15m or 1h30m',
    rules: [
      {
        rule: `duration(self) >= duration('${minimum}') && duration(self) <= duration('${maximum}')`,
        message: `must be between ${minimum} and ${maximum}`,
      },
    ],
  });
}
