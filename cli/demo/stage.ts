/** What the demo shows: captions, and what three parts type and see, each behind its name. */
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';

export type Part = 'agent' | 'approver' | 'auditor';

type Style = Parameters<typeof styleText>[0];

const STYLES: Readonly<Record<Part, Style>> = { agent: 'cyan', approver: 'yellow', auditor: 'magenta' };
const NAME_WIDTH = 11;
const MAX_WIDTH = 110;

/** What is worth seeing in the lines of the programs, which print without colour into a pipe. */
const MARKS: readonly (readonly [RegExp, Style])[] = [
  [/ERROR:|TAMPERED/gu, 'red'],
  [/\bclean\b/gu, 'green'],
  [/NOTICE:|DETAIL:|HINT:|\[redacted\]|\*{4}/gu, 'yellow'],
];

export interface StageOptions {
  /** Without waits, for CI. */
  readonly fast: boolean;
  /** Ends all waits. */
  readonly signal: AbortSignal;
}

export class Stage {
  readonly #fast: boolean;
  readonly #signal: AbortSignal;
  readonly #room: number;
  #step = 0;

  constructor({ fast, signal }: StageOptions) {
    this.#fast = fast;
    this.#signal = signal;
    const columns = process.stdout.isTTY && process.stdout.columns >= 40 ? process.stdout.columns : 100;
    this.#room = Math.min(columns, MAX_WIDTH) - NAME_WIDTH;
  }

  /** Opens the next step: what happens, and why. */
  async step(title: string, why: string): Promise<void> {
    this.#step += 1;
    this.line();
    this.line(paint('bold', `${this.#step}. ${title}`));
    this.line(paint('dim', `   ${why}`));
    await this.pause(0.7);
  }

  /** What a part types. */
  async types(part: Part, text: string): Promise<void> {
    const [first = '', ...rest] = text.split('\n');
    this.#put(part, '▸', first, 'bold');
    for (const line of rest) this.#put(part, ' ', line, 'bold');
    await this.pause(0.4);
  }

  /** What a part gets to see. */
  sees(part: Part, text: string): void {
    for (const line of folded(text.trimEnd(), this.#room)) this.#put(part, '│', line, undefined);
  }

  line(text = ''): void {
    if (!this.#signal.aborted) process.stdout.write(`${text}\n`);
  }

  note(text: string): void {
    this.line(paint('dim', `   ${text}`));
  }

  /** Seconds. Rejects when the demo is stopped. */
  async pause(seconds: number): Promise<void> {
    await sleep(this.#fast ? 0 : seconds * 1000, undefined, { signal: this.#signal });
  }

  #put(part: Part, sign: string, text: string, style: Style | undefined): void {
    const name = paint(STYLES[part], `${part.padEnd(NAME_WIDTH - 2)}${sign}`);
    this.line(`${name} ${style === undefined ? marked(text) : paint(style, text)}`.trimEnd());
  }
}

/** Styled when standard output is a terminal and NO_COLOR is not set. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

function marked(text: string): string {
  return MARKS.reduce((line, [what, style]) => line.replaceAll(what, (found) => paint(style, found)), text);
}

/** Words that do not fit begin another line. */
function folded(line: string, room: number): readonly string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > room) {
    const space = rest.lastIndexOf(' ', room);
    const at = space > room / 2 ? space : room;
    lines.push(rest.slice(0, at));
    rest = `    ${rest.slice(at).trimStart()}`;
  }
  return [...lines, rest];
}
