/** How long to wait after failures in a row. */

export interface BackoffRange {
  /** Milliseconds. */
  readonly first: number;
  readonly most: number;
}

/** Milliseconds: doubles with each failure up to the most, and a random half of it is left out, so that many do not come at once. */
export function backoff(failures: number, { first, most }: BackoffRange, random = Math.random()): number {
  if (failures <= 0) return 0;
  const whole = Math.min(most, first * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole * (0.5 + random / 2));
}
