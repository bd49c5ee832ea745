/** Rules that are combined with each other: all that enforce in a session, or those of one policy that observes. */
import type { SqlStatementFacts } from '../operation.ts';
import type { CompiledPolicy, CompiledRule } from './compile.ts';
import { matchBudget } from './environment.ts';
import type { Dependence } from './dependence.ts';
import type { RuleContext } from './facts.ts';
import { ShapeMemo } from './shape-memo.ts';
import { EMPTY_TALLY, merge, tallyOf, type Tally } from './tally.ts';

/** With fewer rules, evaluating them costs less than looking them up. */
const MIN_RULES_FOR_SHAPES = 4;

export class RuleGroup {
  /** `Allow` only when every policy of the group says so. */
  readonly default: 'Allow' | 'Deny';
  readonly rules: readonly CompiledRule[];
  readonly #shape: readonly CompiledRule[];
  readonly #text: readonly CompiledRule[];
  readonly #dynamic: readonly CompiledRule[];
  /** What the rules on the statement alone say of it: the same for each of its executions in this session. */
  readonly #known = new WeakMap<SqlStatementFacts, Tally>();
  readonly #shapes: ShapeMemo | undefined;

  constructor(policies: readonly CompiledPolicy[]) {
    const allow = policies.length > 0 && policies.every((policy) => policy.default === 'Allow');
    this.default = allow ? 'Allow' : 'Deny';
    this.rules = policies.flatMap((policy) => policy.rules);
    const dependingOn = (what: Dependence) => this.rules.filter(({ program }) => program.dependence === what);
    this.#shape = dependingOn('shape');
    this.#text = dependingOn('text');
    this.#dynamic = dependingOn('dynamic');
    this.#shapes = this.#shape.length < MIN_RULES_FOR_SHAPES ? undefined : new ShapeMemo();
  }

  /** Whether a statement's facts alone decide, so that a decision can be kept. */
  get isStatic(): boolean {
    return this.#dynamic.length === 0;
  }

  /** Whether a rule that depends on more than the statement could still let an operation through, or hold it. */
  get mayLetThrough(): boolean {
    return this.#dynamic.some((rule) => rule.action !== 'Deny');
  }

  staticTally(statement: SqlStatementFacts, context: RuleContext): Tally {
    const known = this.#known.get(statement);
    if (known !== undefined) return known;
    const tally = merge(this.#shapeTally(statement, context), evaluate(this.#text, context));
    this.#known.set(statement, tally);
    return tally;
  }

  /** What all rules say. */
  tally(statement: SqlStatementFacts, context: RuleContext): Tally {
    const fixed = this.staticTally(statement, context);
    return this.isStatic ? fixed : merge(fixed, evaluate(this.#dynamic, context));
  }

  #shapeTally(statement: SqlStatementFacts, context: RuleContext): Tally {
    return (
      this.#shapes?.tally(statement, () => evaluate(this.#shape, context)) ?? evaluate(this.#shape, context)
    );
  }
}

/** The budget of `matches` is anew for each part, so that a memo changes no outcome. */
function evaluate(rules: readonly CompiledRule[], context: RuleContext): Tally {
  if (rules.length === 0) return EMPTY_TALLY;
  matchBudget.reset();
  return tallyOf(rules, context);
}
