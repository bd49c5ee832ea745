/** What is suspicious about a text that a person is asked to approve, in words for that person. */
import { mixedWords, oddityOf, isMark, type Oddity } from './characters.ts';
import { escapeLine } from './display.ts';
import { outline } from './outline.ts';

const LONG_TEXT = 8192;
const LONG_LINE = 1000;
const LONG_GAP = 80;
const LONG_BREAK = 8;
const LONG_RUN = 200;

const STATEMENT =
  /\b(?:select|insert|update|delete|merge|drop|alter|create|truncate|grant|revoke|copy|do|call|set|begin|commit|rollback|vacuum|with)\b/iu;

const WORDS: Readonly<Record<Oddity, string>> = {
  bidi: 'characters that change the reading direction, so that text can appear in another order',
  control: 'control characters, which can rewrite what a terminal shows',
  invisible: 'invisible or unusual blank characters',
  lookalike: 'characters that look like plain ones but are not',
  marks: 'stacked marks, which draw over the text around them',
};

const MAX_WARNINGS = 64;
const MAX_WARNING = 1024;
/** So many of one kind are as good as all: hostile texts are long, and others wait while they are gone through. */
const ENOUGH = 1_000;

/** Warnings, most telling first; empty for an ordinary text. None holds a raw odd character. */
export function suspicions(text: string): readonly string[] {
  return [...characterWarnings(text), ...layoutWarnings(text), ...contentWarnings(text)];
}

/** All warnings of one operation: of its text, and of its parameters as far as they can mislead a reader. */
export function operationWarnings(text: string, parameters: readonly (string | null)[]): readonly string[] {
  const warnings = suspicions(text).map((warning) => `the text ${warning}`);
  for (const [index, value] of parameters.entries()) {
    if (warnings.length >= MAX_WARNINGS) break;
    // Most are short and plain. A value is data, so that quotes and semicolons in it mean nothing.
    if (value === null || /^[!-~]{0,64}$/.test(value)) continue;
    const found = [...characterWarnings(value), ...layoutWarnings(value)];
    warnings.push(...found.map((warning) => `parameter $${index + 1} ${warning}`));
  }
  return warnings.slice(0, MAX_WARNINGS).map((warning) => warning.slice(0, MAX_WARNING));
}

function characterWarnings(text: string): readonly string[] {
  const warnings: string[] = [];
  const seen = new Map<Oddity, Map<string, number>>();
  const note = (oddity: Oddity, character: string) => {
    const characters = seen.get(oddity) ?? new Map<string, number>();
    const times = characters.get(character) ?? 0;
    if (times >= ENOUGH) return;
    characters.set(character, times + 1);
    seen.set(oddity, characters);
  };
  let marks = 0;
  for (const character of text) {
    if (character <= '~' && character >= ' ') {
      marks = 0;
      continue;
    }
    marks = isMark(character) ? marks + 1 : 0;
    const oddity = character === '\r' ? null : oddityOf(character);
    if (oddity !== null) note(oddity, character);
    else if (marks > 2) note('marks', character);
  }
  if (/\r(?!\n)/.test(text)) note('control', '\r');
  for (const [oddity, characters] of seen) warnings.push(`has ${WORDS[oddity]}: ${inventory(characters)}`);
  const mixed = mixedWords(text, ENOUGH);
  if (mixed.length > 0) {
    const some = [...new Set(mixed.map(({ word }) => word))].slice(0, 3).map((word) => codePoints(word));
    warnings.push(
      `has ${count(mixed.length, 'word')}${orMore(mixed.length)} with letters of another script that look Latin: ${some.join(', ')}`,
    );
  }
  return warnings;
}

function inventory(characters: ReadonlyMap<string, number>): string {
  const entries = [...characters].slice(0, 6);
  const shown = entries.map(
    ([character, times]) => `${codePoint(character)}${times > 1 ? ` ×${times}${orMore(times)}` : ''}`,
  );
  return (
    shown.join(', ') +
    (characters.size > entries.length ? ` and ${characters.size - entries.length} more` : '')
  );
}

function layoutWarnings(text: string): readonly string[] {
  const warnings: string[] = [];
  const bytes = Buffer.byteLength(text);
  if (bytes > LONG_TEXT) warnings.push(`is ${Math.ceil(bytes / 1024)} KiB long: read it to its end`);
  const line = longestLine(text);
  if (line > LONG_LINE) warnings.push(`has a line of ${line} characters`);
  if (longestGap(text) >= LONG_GAP) {
    warnings.push('has a long run of blanks, with more text after it');
  }
  if (newlinesIn(text) >= LONG_BREAK) warnings.push('has many empty lines, with more text after them');
  const repeated = longestRepeat(text);
  if (repeated.length >= LONG_RUN) {
    warnings.push(`repeats ${escapeLine(repeated.character)} ${repeated.length} times, as padding would`);
  }
  return warnings;
}

function contentWarnings(text: string): readonly string[] {
  const { comments, statements, unterminated } = outline(text);
  const warnings: string[] = [];
  const posing = comments.filter((comment) => STATEMENT.test(comment));
  if (posing.length > 0) {
    warnings.push(
      `has ${count(posing.length, 'comment')} that read${posing.length === 1 ? 's' : ''} like a statement but does not run`,
    );
  }
  if (statements > 1) warnings.push(`has ${statements} statements`);
  if (unterminated) warnings.push('has a quote or comment that does not seem to end');
  return warnings;
}

function longestLine(text: string): number {
  let longest = 0;
  for (let start = 0; start <= text.length;) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    longest = Math.max(longest, end - start);
    start = end + 1;
  }
  return longest;
}

/** Longest run of blanks within a line that something follows. */
function longestGap(text: string): number {
  const trimmed = text.trimEnd();
  let longest = 0;
  for (const [run] of trimmed.matchAll(/[\p{Zs}\t]+/gu)) longest = Math.max(longest, run.length);
  return longest;
}

/** Most line breaks in one stretch of white space that something follows. */
function newlinesIn(text: string): number {
  let most = 0;
  let breaks = 0;
  for (const line of text.split(/\r\n|[\n\v\f\r\u0085\u2028\u2029]/u)) {
    if (/\S/u.test(line)) {
      most = Math.max(most, breaks);
      breaks = 0;
    }
    breaks += 1;
  }
  return most;
}

function longestRepeat(text: string): { readonly character: string; readonly length: number } {
  let best = { character: '', length: 0 };
  let length = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    length = at > 0 && character === text.charAt(at - 1) ? length + 1 : 1;
    if (length > best.length && /\S/u.test(character)) best = { character, length };
  }
  return best;
}

function count(number: number, noun: string): string {
  return number === 1 ? `a ${noun}` : `${number} ${noun}s`;
}

function orMore(number: number): string {
  return number < ENOUGH ? '' : ' or more';
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** The word with each letter beyond ASCII named. */
function codePoints(word: string): string {
  const named = Array.from(word)
    .slice(0, 40)
    .map((character) => (character <= '~' ? character : `[${codePoint(character)}]`));
  return named.join('');
}
