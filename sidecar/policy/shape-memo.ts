/** What rules say of statements that are alike in all facts but their text: a client that writes values into its texts
 * sends thousands of those. */
import type { SqlStatementFacts } from '../operation.ts';
import type { Tally } from './tally.ts';

const MAX_SHAPES = 256;
/** Making the key of a larger statement would cost more than it saves. */
const MAX_FACTS = 64;

/** All facts of a statement but its text, written so that different facts give different keys. */
function keyOf(facts: SqlStatementFacts): string | undefined {
  const { verb, effects, tables, columns, functions, hasWhere, fingerprint } = facts;
  if (tables.length + columns.length + functions.length > MAX_FACTS) return undefined;
  return JSON.stringify([verb, effects, tables, columns, functions, hasWhere, fingerprint]);
}

export class ShapeMemo {
  readonly #known = new Map<string, Tally>();
  /** By `shape`, where the analysis knows it. */
  readonly #shapes = new WeakMap<object, Tally>();

  tally(facts: SqlStatementFacts, evaluate: () => Tally): Tally {
    if (facts.shape === undefined) return this.#byKey(facts, evaluate);
    let tally = this.#shapes.get(facts.shape);
    if (tally === undefined) {
      tally = this.#byKey(facts, evaluate);
      this.#shapes.set(facts.shape, tally);
    }
    return tally;
  }

  #byKey(facts: SqlStatementFacts, evaluate: () => Tally): Tally {
    const key = keyOf(facts);
    if (key === undefined) return evaluate();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const tally = evaluate();
    const oldest = this.#known.keys().next();
    if (this.#known.size >= MAX_SHAPES && oldest.done !== true) this.#known.delete(oldest.value);
    this.#known.set(key, tally);
    return tally;
  }
}
