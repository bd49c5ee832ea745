/** What is wrong with a rule, with its place: an outcome of compiling, never thrown. */

/** A place inside an expression. */
export interface Position {
  /** In UTF-16 code units, from 0. */
  readonly offset: number;
  /** 1-based. */
  readonly line: number;
  /** 1-based, in characters. */
  readonly column: number;
}

export interface ExpressionProblem extends Position {
  readonly message: string;
  /** What was probably meant. */
  readonly suggestion?: string;
  /** It is understood, but may cost too much. */
  readonly expensive?: true;
}

export interface PolicyProblem extends ExpressionProblem {
  /** `namespace/name`. */
  readonly policy: string;
  /** The rule's name; empty when the problem is of the policy itself. */
  readonly rule: string;
  /** Where in the manifest: `spec.rules[2].when`. `line` and `column` count inside the value found there. */
  readonly path: string;
  /** The same place step by step. */
  readonly at: readonly (string | number)[];
}

/** The place of an offset, which is in UTF-16 code units as the CEL parser counts. */
export function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, Math.max(0, offset)).split('\n');
  const last = before.at(-1) ?? '';
  return { offset: Math.max(0, offset), line: before.length, column: Array.from(last).length + 1 };
}

export const START: Position = { offset: 0, line: 1, column: 1 };

/** `message; did you mean …?` */
export function messageOf(problem: ExpressionProblem): string {
  return problem.suggestion === undefined
    ? problem.message
    : `${problem.message}; did you mean ${problem.suggestion}?`;
}

/** `path (line 1, column 5): message; did you mean …?` in one line. */
export function describeProblem(problem: PolicyProblem): string {
  const rule = problem.rule === '' ? '' : `, rule ${problem.rule}`;
  const place = `${problem.path} (line ${problem.line}, column ${problem.column})`;
  return `policy ${problem.policy}${rule}: ${place}: ${messageOf(problem)}`;
}
