/** Prometheus's text format, as far as the bench reads it. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All samples of this very name. */
export function gauges(text: string, name: string): readonly Sample[] {
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith(name)) return [];
    const [, found = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    return found === name ? [{ labels: labelsOf(labels), value: Number(value) }] : [];
  });
}

function labelsOf(text: string): Readonly<Record<string, string>> {
  const pairs = text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]));
}

/** Observations by upper bound, cumulated as Prometheus does; `+Inf` is Infinity. */
export type Buckets = ReadonlyMap<number, number>;

/** Of all series of the histogram whose labels have these values. */
export function buckets(text: string, name: string, where: Readonly<Record<string, string>>): Buckets {
  const found = new Map<number, number>();
  for (const { labels, value } of gauges(text, `${name}_bucket`)) {
    if (Object.entries(where).some(([label, wanted]) => labels[label] !== wanted)) continue;
    const bound = labels['le'] === '+Inf' ? Infinity : Number(labels['le']);
    found.set(bound, (found.get(bound) ?? 0) + value);
  }
  return found;
}

/** What came between two readings. */
export function since(before: Buckets, after: Buckets): Buckets {
  return new Map([...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]));
}

export function countOf(all: Buckets): number {
  return all.get(Infinity) ?? 0;
}

/** As `histogram_quantile`: evenly spread within a bucket. NaN when nothing was observed. */
export function quantile(all: Buckets, part: number): number {
  const bounds = [...all.keys()].sort((a, b) => a - b);
  const wanted = countOf(all) * part;
  let [below, counted] = [0, 0];
  for (const bound of bounds) {
    const count = all.get(bound) ?? 0;
    if (count >= wanted && count > counted) {
      if (bound === Infinity) return below;
      return below + ((bound - below) * (wanted - counted)) / (count - counted);
    }
    [below, counted] = [bound, count];
  }
  return NaN;
}
