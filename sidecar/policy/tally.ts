/** Which rules said what of one operation, and what follows from it. */
import type { HoldRequirement, RuleRef } from '../operation.ts';
import type { CompiledRule } from './compile.ts';
import type { RuleContext } from './facts.ts';

interface Failure {
  readonly rule: CompiledRule;
  readonly reason: string;
}

export interface Tally {
  readonly denies: readonly CompiledRule[];
  readonly failures: readonly Failure[];
  readonly holds: readonly CompiledRule[];
  readonly allows: readonly CompiledRule[];
}

export const EMPTY_TALLY: Tally = { denies: [], failures: [], holds: [], allows: [] };

/** Every rule counts: none is skipped because another has decided already. */
export function tallyOf(rules: readonly CompiledRule[], context: RuleContext): Tally {
  const lists: Record<CompiledRule['action'], CompiledRule[]> = { Deny: [], Hold: [], Allow: [] };
  const failures: Failure[] = [];
  for (const rule of rules) {
    const outcome = rule.program.evaluate(context);
    if (outcome === 'matched') lists[rule.action].push(rule);
    else if (outcome !== 'unmatched') failures.push({ rule, reason: outcome.reason });
  }
  return { denies: lists.Deny, failures, holds: lists.Hold, allows: lists.Allow };
}

function isEmpty(tally: Tally): boolean {
  return tally.denies.length + tally.failures.length + tally.holds.length + tally.allows.length === 0;
}

export function merge(one: Tally, other: Tally): Tally {
  if (isEmpty(other)) return one;
  if (isEmpty(one)) return other;
  return {
    denies: [...one.denies, ...other.denies],
    failures: [...one.failures, ...other.failures],
    holds: [...one.holds, ...other.holds],
    allows: [...one.allows, ...other.allows],
  };
}

/**
 * `Deny` beats `Hold` beats `Allow` beats the default. A rule that failed denies: nobody knows what it would have said.
 */
export type Verdict = 'deny' | 'hold' | 'allow' | 'default';

export function verdictOf(tally: Tally): Verdict {
  if (tally.denies.length > 0 || tally.failures.length > 0) return 'deny';
  if (tally.holds.length > 0) return 'hold';
  return tally.allows.length > 0 ? 'allow' : 'default';
}

/** The rules that led to the verdict. */
export function rulesOf(tally: Tally): readonly RuleRef[] {
  switch (verdictOf(tally)) {
    case 'deny':
      return [...tally.denies, ...tally.failures.map((failure) => failure.rule)].map((rule) => rule.ref);
    case 'hold':
      return tally.holds.map((rule) => rule.ref);
    case 'allow':
      return tally.allows.map((rule) => rule.ref);
    case 'default':
      return [];
  }
}

const STRICTNESS = { Refuse: 2, Auto: 1, Wait: 0 } as const satisfies Record<
  HoldRequirement['inTransaction'],
  number
>;

function stricter(one: HoldRequirement, other: HoldRequirement): HoldRequirement {
  return {
    ...one,
    timeout: Math.min(one.timeout, other.timeout),
    inTransaction:
      STRICTNESS[one.inTransaction] >= STRICTNESS[other.inTransaction]
        ? one.inTransaction
        : other.inTransaction,
  };
}

/** What must be satisfied, all of it. Rules that ask the same people become one, with the shortest timeout. */
export function requirementsOf(holds: readonly CompiledRule[]): readonly HoldRequirement[] {
  const byApprovers = new Map<string, HoldRequirement>();
  for (const { hold } of holds) {
    if (hold === undefined) continue;
    const known = byApprovers.get(hold.approversKey);
    byApprovers.set(
      hold.approversKey,
      known === undefined ? hold.requirement : stricter(known, hold.requirement),
    );
  }
  return [...byApprovers.values()];
}
