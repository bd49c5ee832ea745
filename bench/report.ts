/** Samples to a table: medians, the ratio to PgBouncer with its spread, the goal and whether it was met. */
import { CONTENDERS, type ContenderName } from './contender.ts';
import type { Goal, Measure } from './measure.ts';
import { ratios, type Spread, spread } from './statistics.ts';

export type Samples = ReadonlyMap<string, Readonly<Record<ContenderName, readonly number[]>>>;

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly medians: Readonly<Record<ContenderName, number | undefined>>;
  /** Sidewarden to PgBouncer. */
  readonly ratio: Spread | undefined;
  readonly goal: string;
  readonly verdict: 'met' | 'missed' | '';
}

function goalText(goal: Goal, unit: string): string {
  if (goal.kind === 'value') return `≤ ${goal.atMost} ${unit}`;
  return 'atLeast' in goal ? `≥ ${goal.atLeast} ×` : `≤ ${goal.atMost} ×`;
}

function judge(goal: Goal, value: number | undefined, ratio: number | undefined): Row['verdict'] {
  const judged = goal.kind === 'value' ? value : ratio;
  if (judged === undefined) return '';
  const met = 'atLeast' in goal ? judged >= goal.atLeast : judged <= goal.atMost;
  return met ? 'met' : 'missed';
}

export function summarise(measures: readonly Measure[], samples: Samples): readonly Row[] {
  return measures.flatMap((measure) => {
    const taken = samples.get(measure.name);
    if (taken === undefined) return [];
    const { name, title, unit, goal } = measure;
    const median = (contender: ContenderName) => spread(taken[contender])?.median;
    const medians = {
      Direct: median('Direct'),
      PgBouncer: median('PgBouncer'),
      Sidewarden: median('Sidewarden'),
    };
    // A ratio of two growths that should be nothing says nothing.
    const ratio = unit === 'MB' ? undefined : spread(ratios(taken.Sidewarden, taken.PgBouncer));
    const verdict = goal ? judge(goal, medians.Sidewarden, ratio?.median) : '';
    return [{ name, title, unit, medians, ratio, goal: goal ? goalText(goal, unit) : '', verdict }];
  });
}

function number(value: number | undefined): string {
  if (value === undefined) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3);
}

function ratioText(ratio: Spread | undefined): string {
  if (ratio === undefined) return '–';
  return `${ratio.median.toFixed(2)} (${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})`;
}

/** A Markdown table, its columns aligned so that a terminal shows it well too. */
export function table(rows: readonly Row[]): string {
  const head = ['measure', 'unit', ...CONTENDERS, '× PgBouncer (min–max)', 'goal', ''];
  const body = rows.map(({ title, unit, medians, ratio, goal, verdict }) => [
    title,
    unit,
    ...CONTENDERS.map((contender) => number(medians[contender])),
    ratioText(ratio),
    goal,
    verdict,
  ]);
  const widths = head.map((cell, i) => Math.max(cell.length, ...body.map((cells) => cells[i]?.length ?? 0)));
  const isText = (i: number) => i < 2 || i > 4;
  const pad = (cell: string, i: number) =>
    isText(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  const lines = [head, ...body].map((cells) => `| ${cells.map(pad).join(' | ')} |`);
  const rule = `|${widths.map((width, i) => (isText(i) ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}
