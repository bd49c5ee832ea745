/**
 * A rough outline of an SQL text: where comments and strings are and how many statements there seem to be. It warns a
 * reader and decides nothing; what an operation is comes from PostgreSQL's own grammar.
 */
export interface Outline {
  readonly comments: readonly string[];
  readonly statements: number;
  /** What is open at the end of the text: a quote or a comment. */
  readonly unterminated: boolean;
}

type Kind = 'space' | 'comment' | 'quoted' | 'end' | 'other' | 'unterminated';

interface Token {
  readonly kind: Kind;
  readonly end: number;
}

const SPACE = /\s+/y;
const WORD = /[\p{L}_][\p{L}\p{N}_$]*/uy;
const DOLLAR = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

export function outline(text: string): Outline {
  const comments: string[] = [];
  let statements = 0;
  let fresh = true;
  for (let at = 0; at < text.length;) {
    const { kind, end } = next(text, at);
    if (kind === 'unterminated')
      return { comments, statements: statements + (fresh ? 1 : 0), unterminated: true };
    if (kind === 'comment') comments.push(text.slice(at, end));
    else if (kind === 'end') fresh = true;
    else if (kind !== 'space' && fresh) {
      statements += 1;
      fresh = false;
    }
    at = end;
  }
  return { comments, statements, unterminated: false };
}

/** Each character is looked at a bounded number of times: texts may be long and hostile. */
function next(text: string, at: number): Token {
  if (text.startsWith('--', at)) return { kind: 'comment', end: lineEnd(text, at) };
  if (text.startsWith('/*', at)) return closing('comment', blockEnd(text, at));
  const character = text.charAt(at);
  if (character === ';') return { kind: 'end', end: at + 1 };
  if (character === "'" || character === '"') return closing('quoted', quoteEnd(text, at, false));
  if (/[eE]/.test(character) && text[at + 1] === "'") return closing('quoted', quoteEnd(text, at + 1, true));
  const dollar = character === '$' ? matchAt(DOLLAR, text, at) : null;
  if (dollar !== null) {
    const close = text.indexOf(dollar, at + dollar.length);
    return closing('quoted', close < 0 ? -1 : close + dollar.length);
  }
  const space = matchAt(SPACE, text, at);
  if (space !== null) return { kind: 'space', end: at + space.length };
  return { kind: 'other', end: at + (matchAt(WORD, text, at)?.length ?? 1) };
}

function closing(kind: 'comment' | 'quoted', end: number): Token {
  return end < 0 ? { kind: 'unterminated', end } : { kind, end };
}

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function lineEnd(text: string, at: number): number {
  const edge = /[\n\r]/g;
  edge.lastIndex = at;
  return edge.exec(text)?.index ?? text.length;
}

/** A doubled quote stays inside; so does what follows a backslash, in an E string. -1 when it is not closed. */
function quoteEnd(text: string, start: number, backslashes: boolean): number {
  const quote = text.charAt(start);
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (backslashes && character === '\\') at += 1;
    else if (character === quote) {
      if (text[at + 1] !== quote) return at + 1;
      at += 1;
    }
  }
  return -1;
}

/** Block comments nest in PostgreSQL. -1 when it is not closed. */
function blockEnd(text: string, start: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  let depth = 0;
  for (let found = edge.exec(text); found !== null; found = edge.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return -1;
}
