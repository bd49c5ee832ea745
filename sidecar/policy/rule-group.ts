/** Rules that are combined with each other: all that enforce in a session, or those of one policy that observes. */
import type { SqlStatementFacts } from '../operation.ts';
import type { CompiledPolicy, CompiledRule } from './compile.ts';
import { matchBudget } from './environment.ts';
import type { RuleContext } from './facts.ts';
import { EMPTY_TALLY, merge, tallyOf, type Tally } from './tally.ts';

export class RuleGroup {
  /** `Allow` only when every policy of the group says so. */
  readonly default: 'Allow' | 'Deny';
  readonly rules: readonly CompiledRule[];
  readonly #static: readonly CompiledRule[];
  readonly #dynamic: readonly CompiledRule[];
  /** What the static rules say of a statement: the same for each of its executions in this session. */
  readonly #known = new WeakMap<SqlStatementFacts, Tally>();

  constructor(policies: readonly CompiledPolicy[]) {
    const allow = policies.length > 0 && policies.every((policy) => policy.default === 'Allow');
    this.default = allow ? 'Allow' : 'Deny';
    this.rules = policies.flatMap((policy) => policy.rules);
    this.#static = this.rules.filter((rule) => rule.program.dependence === 'static');
    this.#dynamic = this.rules.filter((rule) => rule.program.dependence === 'dynamic');
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
    matchBudget.reset();
    const tally = tallyOf(this.#static, context);
    this.#known.set(statement, tally);
    return tally;
  }

  /** What all rules say. The budget of `matches` is anew for each part, so that the memo changes no outcome. */
  tally(statement: SqlStatementFacts, context: RuleContext): Tally {
    const fixed = this.staticTally(statement, context);
    if (this.isStatic) return fixed;
    matchBudget.reset();
    return merge(fixed, this.#dynamic.length === 0 ? EMPTY_TALLY : tallyOf(this.#dynamic, context));
  }
}
