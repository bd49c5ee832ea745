/** What the policies in force say for one session: who asks and on which connection are fixed. */
import type {
  ConnectionFacts,
  Decision,
  Facts,
  Identity,
  Observed,
  SqlStatementFacts,
} from '../operation.ts';
import type { MaskRules } from '../mask/mask.ts';
import type { CompiledPolicy } from './compile.ts';
import { ConnectionView, IdentityView, SqlView, type RuleContext } from './facts.ts';
import { unionOfMasks } from './masks.ts';
import { deniedByDefault, deniedByRules, deniedWithoutPolicy } from './refusal.ts';
import { RuleGroup } from './rule-group.ts';
import { requirementsOf, rulesOf, verdictOf, type Tally } from './tally.ts';

interface Observer {
  readonly policy: string;
  readonly group: RuleGroup;
}

type Denied = Extract<Decision, { kind: 'deny' }>;
const NOTHING_OBSERVED: readonly Observed[] = Object.freeze([]);

export class SessionPolicy {
  /** Masks to apply: those of all policies that enforce. One frozen object for equal content. */
  readonly masks: MaskRules;
  /** Masks that policies in `Observe` mode would apply, and that nobody applies. */
  readonly observedMasks: MaskRules;
  /** `namespace/name` of the policies that are for this session. */
  readonly policies: readonly string[];
  readonly #identity: Identity;
  readonly #connection: ConnectionFacts;
  readonly #identityView: IdentityView;
  readonly #connectionView: ConnectionView;
  /** Undefined when all policies of the session observe. */
  readonly #enforcing: RuleGroup | undefined;
  readonly #observers: readonly Observer[];
  /** Whole decisions of statements, when nothing else can change them. */
  readonly #known: WeakMap<SqlStatementFacts, Decision> | undefined;

  constructor(policies: readonly CompiledPolicy[], identity: Identity, connection: ConnectionFacts) {
    const enforcing = policies.filter((policy) => policy.mode === 'Enforce');
    const observing = policies.filter((policy) => policy.mode === 'Observe');
    this.#identity = identity;
    this.#connection = connection;
    this.#identityView = new IdentityView(identity);
    this.#connectionView = new ConnectionView(connection);
    this.#enforcing = enforcing.length > 0 || policies.length === 0 ? new RuleGroup(enforcing) : undefined;
    this.#observers = observing.map((policy) => ({ policy: policy.id, group: new RuleGroup([policy]) }));
    this.policies = policies.map((policy) => policy.id);
    this.masks = unionOfMasks(enforcing.flatMap((policy) => policy.masks));
    this.observedMasks = unionOfMasks(observing.flatMap((policy) => policy.masks));
    const groups = [
      ...(this.#enforcing ? [this.#enforcing] : []),
      ...this.#observers.map(({ group }) => group),
    ];
    this.#known = groups.every((group) => group.isStatic) ? new WeakMap() : undefined;
  }

  /**
   * Decides an operation: a pure function of the facts and the time (milliseconds since the epoch). The facts of a
   * statement must not change after they were first decided on: what follows from them is kept.
   */
  decide(facts: Facts, now: number): Decision {
    const statement = facts.sql.statement;
    const known = this.#known?.get(statement);
    if (known !== undefined) return known;
    const context = this.#context(facts, now);
    const observed = this.#observe(statement, context);
    const decision = Object.freeze(this.#enforce(statement, context, observed));
    this.#known?.set(statement, decision);
    return decision;
  }

  /**
   * The denial that is certain before values, role and transaction are known, or undefined. What policies in `Observe`
   * mode would say is left to `decide`.
   */
  foresee(facts: Facts): Decision | undefined {
    const group = this.#enforcing;
    if (group === undefined) return undefined;
    const statement = facts.sql.statement;
    // The time is one of the facts that static rules do not depend on.
    const tally = group.staticTally(statement, this.#context(facts, 0));
    const verdict = verdictOf(tally);
    if (verdict === 'deny') return this.#deny(group, tally, statement, NOTHING_OBSERVED);
    if (verdict !== 'default' || group.default === 'Allow' || group.mayLetThrough) return undefined;
    return this.#deny(group, tally, statement, NOTHING_OBSERVED);
  }

  #context(facts: Facts, now: number): RuleContext {
    return {
      identity: this.#identityView,
      connection: this.#connectionView,
      now: new Date(now),
      sql: new SqlView(facts.sql),
    };
  }

  #enforce(statement: SqlStatementFacts, context: RuleContext, observed: readonly Observed[]): Decision {
    const group = this.#enforcing;
    if (group === undefined) return { kind: 'allow', rules: [], observed };
    const tally = group.tally(statement, context);
    const verdict = verdictOf(tally);
    switch (verdict) {
      case 'deny':
        return this.#deny(group, tally, statement, observed);
      case 'hold':
        return { kind: 'hold', rules: rulesOf(tally), requirements: requirementsOf(tally.holds), observed };
      case 'allow':
        return { kind: 'allow', rules: rulesOf(tally), observed };
      case 'default':
        if (group.default === 'Allow') return { kind: 'allow', rules: [], observed };
        return this.#deny(group, tally, statement, observed);
    }
  }

  #deny(group: RuleGroup, tally: Tally, statement: SqlStatementFacts, observed: readonly Observed[]): Denied {
    return { kind: 'deny', rules: rulesOf(tally), ...this.#words(group, tally, statement), observed };
  }

  #words(group: RuleGroup, tally: Tally, statement: SqlStatementFacts) {
    if (this.policies.length === 0) return deniedWithoutPolicy(this.#identity, this.#connection);
    if (verdictOf(tally) === 'deny') return deniedByRules(tally, group.rules, statement);
    return deniedByDefault(group.rules, statement);
  }

  #observe(statement: SqlStatementFacts, context: RuleContext): readonly Observed[] {
    if (this.#observers.length === 0) return NOTHING_OBSERVED;
    return this.#observers.map(({ policy, group }) => {
      const tally = group.tally(statement, context);
      const verdict = verdictOf(tally);
      const would = verdict === 'default' ? (group.default === 'Allow' ? 'allow' : 'deny') : verdict;
      return { policy, would, rules: rulesOf(tally) };
    });
  }
}
