/** `matches` in linear time: RE2 patterns, compiled when the policy loads, with a budget of steps a decision. */
import { RE2JS, RE2JSException } from 're2js';

const MAX_PATTERN_LENGTH = 1024;
/** Instructions of the compiled program: counted repetitions multiply them. */
const MAX_PROGRAM_SIZE = 1000;
/** A text longer than this (UTF-16 code units) is not searched: the rule fails, and so denies. */
export const MAX_MATCH_INPUT = 256 * 1024;
/** Program size × text length, summed over a decision: what a thread-list matcher does at worst. */
export const MAX_MATCH_STEPS = 16_000_000;

export type PatternResult =
  | { readonly kind: 'pattern'; readonly pattern: Pattern }
  | { readonly kind: 'invalid'; readonly message: string };

export interface Pattern {
  readonly source: string;
  readonly size: number;
  readonly test: (text: string) => boolean;
}

/** What is left for one decision. */
export class MatchBudget {
  #left = MAX_MATCH_STEPS;

  reset(): void {
    this.#left = MAX_MATCH_STEPS;
  }

  get left(): number {
    return this.#left;
  }

  /** Throws RangeError when the text is too long or the budget is used up: the rule then fails. */
  match(pattern: Pattern, text: string): boolean {
    this.#left -= pattern.size * text.length;
    if (text.length > MAX_MATCH_INPUT || this.#left < 0) throw new RangeError('text too long for matches');
    return pattern.test(text);
  }
}

export function compilePattern(source: string): PatternResult {
  if (source.length > MAX_PATTERN_LENGTH) {
    return { kind: 'invalid', message: `the pattern is longer than ${MAX_PATTERN_LENGTH} characters` };
  }
  try {
    const compiled = RE2JS.compile(source);
    const size = compiled.programSize();
    if (size > MAX_PROGRAM_SIZE) {
      return {
        kind: 'invalid',
        message: `the pattern compiles to ${size} steps, more than ${MAX_PROGRAM_SIZE}`,
      };
    }
    return { kind: 'pattern', pattern: { source, size, test: (text) => compiled.test(text) } };
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    return { kind: 'invalid', message: `the pattern is not RE2 syntax: ${error.message}` };
  }
}
