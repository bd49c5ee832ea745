/** One `when` expression, compiled: parsed, type-checked and bounded once, then only evaluated. */
import {
  EvaluationError,
  ParseError,
  TypeError as CelTypeError,
  type ParseResult,
} from '@marcbachmann/cel-js';
import { costOf, hasNestedLoop, MAX_COST, withinEstimate } from './cost.ts';
import { dependenceOf, type Dependence } from './dependence.ts';
import { ruleEnvironment } from './environment.ts';
import { checkedType, type Node } from './expression.ts';
import { FACT_NAMES, type RuleContext } from './facts.ts';
import { positionOf, START, type ExpressionProblem } from './problem.ts';
import { closest } from './suggest.ts';
import { resultProblem, typingProblems, unknownField } from './typing.ts';
import { replaceFunctions, vocabularyProblems } from './vocabulary.ts';

/** UTF-16 code units. */
export const MAX_EXPRESSION_LENGTH = 8192;

/** `failed` carries a word for what went wrong, and never a value. */
export type Outcome = 'matched' | 'unmatched' | { readonly kind: 'failed'; readonly reason: string };

export interface Program {
  readonly dependence: Dependence;
  readonly evaluate: (context: RuleContext) => Outcome;
}

export type ProgramResult =
  | { readonly kind: 'program'; readonly program: Program }
  | { readonly kind: 'invalid'; readonly problems: readonly ExpressionProblem[] };

function invalid(...problems: ExpressionProblem[]): ProgramResult {
  return { kind: 'invalid', problems };
}

export function compileProgram(source: string): ProgramResult {
  if (source.length > MAX_EXPRESSION_LENGTH) {
    return invalid({ ...START, message: `longer than ${MAX_EXPRESSION_LENGTH} characters` });
  }
  let parsed: ParseResult;
  try {
    parsed = ruleEnvironment().parse(source);
  } catch (error) {
    return invalid(libraryProblem(source, error));
  }
  const root = parsed.ast;
  const unknown = vocabularyProblems(root);
  if (unknown.length > 0) return invalid(...unknown);
  const cost = costOf(root);
  replaceFunctions(root);
  const checked = parsed.check();
  if (!checked.valid) return invalid(libraryProblem(source, checked.error));
  const result = resultProblem(root, checked.type ?? 'nothing');
  const problems = [...typingProblems(root), ...(result === undefined ? [] : [result])];
  if (cost > MAX_COST) problems.push(costProblem(cost));
  if (problems.length > 0) return invalid(...problems);
  return { kind: 'program', program: plan(parsed, root) };
}

function costProblem(cost: number): ExpressionProblem {
  const message = `too expensive: an estimated ${Math.ceil(cost)} steps, more than ${MAX_COST}; loop over fewer lists at once`;
  return { ...START, message, expensive: true };
}

function plan(parsed: ParseResult, root: Node): Program {
  const nested = hasNestedLoop(root);
  return {
    dependence: dependenceOf(root),
    evaluate: (context) => {
      if (nested && !withinEstimate(context))
        return { kind: 'failed', reason: 'too many facts for a nested loop' };
      try {
        const value: unknown = parsed(context);
        if (value === true) return 'matched';
        if (value === false) return 'unmatched';
        return { kind: 'failed', reason: 'no bool' };
      } catch (error) {
        return { kind: 'failed', reason: failureReason(error) };
      }
    },
  };
}

/** The library's codes are words of a fixed set; its messages may quote values. */
function failureReason(error: unknown): string {
  if (error instanceof EvaluationError) return error.code.replaceAll('_', ' ');
  return error instanceof RangeError ? 'a value out of range' : 'an unexpected error';
}

function libraryProblem(source: string, error: unknown): ExpressionProblem {
  if (!(error instanceof ParseError || error instanceof CelTypeError)) {
    // Such as a stack that ran out: the rule is not understood, whatever the reason.
    return { ...START, message: 'this expression cannot be compiled' };
  }
  const place = positionOf(source, error.range?.start ?? 0);
  const node = error.node;
  const name = /^(?:Unknown variable|No such key): (.*)$/s.exec(error.summary)?.[1];
  if (error.code === 'unknown_variable' && name !== undefined) return { ...place, ...unknownFact(name) };
  if (error.code === 'no_such_key' && name !== undefined && isNode(node) && node.op === '.') {
    return unknownField(node, checkedType(node.args[0]) ?? '', name);
  }
  return { ...place, message: readable(error.summary) };
}

/** Names of replaced functions are ours, not the author's. */
function readable(summary: string): string {
  return summary
    .replace(/\bmatchesLinear\b/g, 'matches')
    .replace(/\bzoned_|\butcDayOfYear\b/g, (name) => (name === 'zoned_' ? '' : 'getDayOfYear'))
    .replace(/\bstrict(Int|Timestamp)\b/g, (_, name: string) => name.toLowerCase())
    .replace(/\bascii(Lower|Upper)\b/g, (_, name: string) => `${name.toLowerCase()}Ascii`);
}

function isNode(node: object | undefined): node is Node {
  return node !== undefined && 'op' in node && 'args' in node;
}

function unknownFact(name: string): { readonly message: string; readonly suggestion?: string } {
  const message = `unknown fact '${name}'`;
  const suggestion = closest(name, FACT_NAMES.keys());
  return suggestion === undefined ? { message } : { message, suggestion };
}
