/** One line of the cluster's table. */
export interface Figure {
  readonly measure: string;
  readonly unit: string;
  readonly value: number;
  /** At most so much. */
  readonly goal?: number;
}

/** A percentile of samples, nearest rank; NaN for none. */
export function percentile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? NaN;
}
