/**
 * PostgreSQL's lexical rules (manual, 4.1); libpg-query's scanner gives its tokens as JSON, which takes seconds for a large
 * text, and needs an instance of its own. A test compares the two. Linear in the text. `standard_conforming_strings` is on: sessions cannot change it.
 */
import { kindOf, type Token } from './sql-token.ts';

/** Thrown for a quote or comment without an end. */
export class UnterminatedError extends Error {}

const WORD = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;
const DOLLAR = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;
const PREFIXED = /(?:[ebxn]|u&)(?=['"])/iy;
const LINE = /[^\r\n]*/y;
const UNESCAPED = /[^'\\]*/y;
const NUMBER = /\$?\d[\w.]*/y;

export function lex(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length;) {
    const end = endOf(text, at);
    const written = text.slice(at, end);
    if (written.trim() !== '') {
      const kind = kindOf(written);
      tokens.push({ kind, text: kind === 'word' ? written.toLowerCase() : written, start: at, end });
    }
    at = end;
  }
  return tokens;
}

function endOf(text: string, at: number): number {
  const character = text[at];
  if (character === "'") return quoteEnd(text, at, "'", false);
  if (character === '"') return quoteEnd(text, at, '"', false);
  if (text.startsWith('--', at)) return lineEnd(text, at);
  if (text.startsWith('/*', at)) return commentEnd(text, at);
  const prefix = matchAt(PREFIXED, text, at);
  const quote = text[at + prefix];
  // Only U& goes before a double quote; `e"x"` is two names.
  if (prefix > 0 && (quote === "'" || prefix === 2)) {
    return quoteEnd(text, at + prefix, quote ?? '', /e/i.test(text[at] ?? ''));
  }
  const dollar = matchAt(DOLLAR, text, at);
  if (dollar > 0) return dollarEnd(text, at, dollar);
  return at + (matchAt(WORD, text, at) || matchAt(NUMBER, text, at) || 1);
}

function quoteEnd(text: string, open: number, quote: string, escapes: boolean): number {
  for (let at = open + 1; ;) {
    const end = escapes ? at + matchAt(UNESCAPED, text, at) : text.indexOf(quote, at);
    if (end === -1 || end >= text.length) throw new UnterminatedError('a quote has no end');
    // A backslash and a doubled quote take the next character with them.
    if (text[end] !== '\\' && text[end + 1] !== quote) return end + 1;
    at = end + 2;
  }
}

function dollarEnd(text: string, open: number, length: number): number {
  const end = text.indexOf(text.slice(open, open + length), open + length);
  if (end === -1) throw new UnterminatedError('a dollar quote has no end');
  return end + length;
}

function lineEnd(text: string, from: number): number {
  const end = matchAt(LINE, text, from);
  return from + end;
}

/** Comments nest. */
function commentEnd(text: string, from: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = from;
  let depth = 0;
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  throw new UnterminatedError('a comment has no end');
}

function matchAt(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
