/** The figures as a Markdown table, aligned so that a terminal shows it well too. */
import type { Figure } from './figure.ts';

function number(value: number): string {
  if (Number.isNaN(value)) return '–';
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(1);
}

export function isMet({ value, goal }: Figure): boolean {
  return goal === undefined || value <= goal;
}

export function figureTable(figures: readonly Figure[]): string {
  const body = figures.map((figure) => {
    const { measure, unit, value, goal } = figure;
    const verdict = goal === undefined ? '' : isMet(figure) ? 'met' : 'missed';
    const aim = goal === undefined ? '' : `${goal === 0 ? '' : '≤ '}${number(goal)} ${unit}`.trim();
    return [measure, unit, number(value), aim, verdict];
  });
  const rows = [['measure', 'unit', 'value', 'goal', ''], ...body];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, i) =>
      i === 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
    );
    return `| ${cells.join(' | ')} |`;
  };
  const rule = `|${widths.map((width, i) => (i === 2 ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
  return [line(rows[0] ?? []), rule, ...rows.slice(1).map(line)].join('\n');
}
