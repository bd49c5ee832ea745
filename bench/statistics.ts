/** Medians and spreads; never a mean, which one stray round would move. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Undefined for no values. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const [least, most] = [sorted[0], sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (least === undefined || most === undefined || low === undefined || high === undefined) return undefined;
  return { median: (low + high) / 2, least, most };
}

/** Round by round, so that what slows a whole round down slows both. Rounds in which one is missing are left out. */
export function ratios(of: readonly number[], to: readonly number[]): readonly number[] {
  return of.flatMap((value, round) => {
    const base = to[round];
    return base === undefined || base === 0 ? [] : [value / base];
  });
}
