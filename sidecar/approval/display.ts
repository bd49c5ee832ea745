/** What a person sees of an untrusted text: all of it, with everything visible that could mislead (THREATS.md, class 38). */
import { isForeign, isMark, mixedWords, oddityOf } from './characters.ts';

/**
 * Makes unseen and misleading characters visible as `\u{202E}`; newlines and tabs stay. Two different texts never look
 * the same: a backslash that would read as such an escape is itself escaped.
 */
export function escapeForDisplay(text: string): string {
  if (/^[\n\t -[\]-~]*$/.test(text)) return text;
  const mixed = new Set<number>();
  for (const { start, word } of mixedWords(text)) {
    for (let at = start; at < start + word.length; at += 1) mixed.add(at);
  }
  let shown = '';
  let index = 0;
  let marks = 0;
  for (const character of text) {
    marks = isMark(character) ? marks + 1 : 0;
    // A mark at the beginning of a line, or the third on one letter, draws over its neighbours.
    const strayMark = marks > 0 && (marks > 2 || index === 0 || /[\s"'`]/u.test(text[index - 1] ?? ' '));
    const foreign = mixed.has(index) && isForeign(character);
    const fakeEscape = character === '\\' && text.startsWith('u{', index + 1);
    const hide = strayMark || foreign || fakeEscape || oddityOf(character) !== null;
    shown += hide ? escapeOf(character) : character;
    index += character.length;
  }
  return shown;
}

/** As `escapeForDisplay`, on one line: newlines and tabs are escaped too. */
export function escapeLine(text: string): string {
  return escapeForDisplay(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r');
}

/** JSON whose strings hold no raw character that a terminal would act on or hide; it parses to the same value. */
export function displayJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(/[^\n -~]/gu, (character) =>
    oddityOf(character) === null && !isMark(character) ? character : unitEscapes(character),
  );
}

/** One line of at most `width` characters for lists; how many are left out is said. */
export function summarize(text: string, width = 100): string {
  const line = text.replaceAll(/[ \n\t]+/g, ' ').trim();
  if (line.length <= width) {
    const whole = escapeForDisplay(line);
    if (whole.length <= width) return whole;
  }
  for (let kept = Math.min(width, line.length); kept > 0; kept -= 1) {
    // Not between the halves of a pair, which would then count as two odd ones.
    if (/[\uD800-\uDBFF]/.test(line.charAt(kept - 1))) continue;
    const shown = `${escapeForDisplay(line.slice(0, kept))} … (${line.length - kept} more)`;
    if (shown.length <= width) return shown;
  }
  return `… (${line.length} more)`;
}

function escapeOf(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`;
}

function unitEscapes(character: string): string {
  let escaped = '';
  for (let at = 0; at < character.length; at += 1) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
