/** Rows as psql prints them, with everything untrusted escaped. */
import { escapeLine } from '../sidecar/approval/display.ts';
import type { RecordedColumn } from '../sidecar/record/event.ts';

/** Types that psql aligns to the right: by oid of PostgreSQL, or by name. */
const NUMERIC = new Set(
  '20 21 23 26 28 29 700 701 790 1700 int2 int4 int8 float4 float8 numeric oid money'.split(' '),
);

type Row = readonly (string | null)[];

export interface TableLimits {
  /** Cells are cut to so many columns of the terminal. */
  readonly cell: number;
  readonly rows: number;
}

/** Lines without line feeds; a null is empty, as psql shows it. */
export function tableLines(
  columns: readonly RecordedColumn[],
  rows: readonly Row[],
  limits?: TableLimits,
): readonly string[] {
  const cell = limits?.cell ?? Infinity;
  const shown = rows.slice(0, limits?.rows ?? rows.length);
  const names = columns.map((column) => cut(escapeLine(column.name), cell));
  const cells = shown.map((row) => columns.map((_, index) => cut(escapeLine(row[index] ?? ''), cell)));
  const widths = names.map((name, index) =>
    cells.reduce((most, row) => Math.max(most, width(row[index] ?? '')), width(name)),
  );
  const right = columns.map((column) => NUMERIC.has(column.type));
  const line = (row: readonly string[]): string =>
    row
      .map((text, index) => ` ${align(text, widths[index] ?? 0, right[index] === true)} `)
      .join('|')
      .trimEnd();
  return [
    names
      .map((name, index) => ` ${centre(name, widths[index] ?? 0)} `)
      .join('|')
      .trimEnd(),
    widths.map((columns) => '-'.repeat(columns + 2)).join('+'),
    ...cells.map(line),
  ];
}

function align(text: string, columns: number, right: boolean): string {
  const gap = ' '.repeat(Math.max(0, columns - width(text)));
  return right ? gap + text : text + gap;
}

function centre(text: string, columns: number): string {
  const gap = Math.max(0, columns - width(text));
  const before = Math.floor(gap / 2);
  return ' '.repeat(before) + text + ' '.repeat(gap - before);
}

function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += width(character);
    if (used > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Columns of a terminal that a text takes. */
export function width(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  for (const character of text)
    columns += /\p{M}/u.test(character) ? 0 : isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  return columns;
}

/** East Asian wide and full-width forms, and emoji: the ranges of UAX #11 that matter. */
function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf && code !== 0x303f) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1f64f) ||
    (code >= 0x1f900 && code <= 0x1f9ff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}
