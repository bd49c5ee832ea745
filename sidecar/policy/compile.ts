/** From policies as manifests have them to policies that decide. All that is wrong is found at once. */
import { milliseconds } from '../../crds/schema/duration.ts';
import type { AccessPolicySpec, PolicyMask, PolicyRule, PolicySubject } from '../../crds/policy.ts';
import type { HoldRequirement, RuleRef } from '../operation.ts';
import { invalidColumn } from './masks.ts';
import { PolicySet } from './policy-set.ts';
import { START, type PolicyProblem } from './problem.ts';
import { formatPath, type Path } from '../../crds/schema/path.ts';
import { compileProgram, type Program } from './program.ts';

export interface PolicySource {
  readonly namespace: string;
  readonly name: string;
  readonly spec: AccessPolicySpec;
}

export interface CompiledRule {
  readonly ref: RuleRef;
  readonly action: PolicyRule['action'];
  readonly when: string;
  readonly program: Program;
  readonly message: string | undefined;
  readonly hint: string | undefined;
  /** Of rules that hold, and of no other. */
  readonly hold: CompiledHold | undefined;
}

interface CompiledHold {
  readonly requirement: HoldRequirement;
  /** Equal for equal sets of approvers. */
  readonly approversKey: string;
}

export interface CompiledPolicy {
  /** `namespace/name`. */
  readonly id: string;
  readonly namespace: string;
  readonly connections: readonly string[];
  readonly subjects: readonly PolicySubject[];
  readonly mode: AccessPolicySpec['mode'];
  readonly default: AccessPolicySpec['default'];
  readonly rules: readonly CompiledRule[];
  readonly masks: readonly PolicyMask[];
}

export type Compilation =
  | { readonly kind: 'compiled'; readonly policies: PolicySet }
  | { readonly kind: 'refused'; readonly problems: readonly PolicyProblem[] };

/** Compiles all or nothing. Their schema has been checked before; what that cannot see is checked here. */
export function compilePolicies(sources: readonly PolicySource[]): Compilation {
  const problems: PolicyProblem[] = [];
  const policies: CompiledPolicy[] = [];
  const seen = new Set<string>();
  for (const source of sources) {
    const id = `${source.namespace}/${source.name}`;
    if (seen.has(id))
      problems.push(problem(id, '', ['metadata', 'name'], 'a policy of this name is there already'));
    seen.add(id);
    policies.push(compilePolicy(id, source, problems));
  }
  return problems.length > 0
    ? { kind: 'refused', problems }
    : { kind: 'compiled', policies: new PolicySet(policies) };
}

function problem(policy: string, rule: string, at: Path, message: string): PolicyProblem {
  return { policy, rule, path: formatPath(at), at, ...START, message };
}

function compilePolicy(id: string, source: PolicySource, problems: PolicyProblem[]): CompiledPolicy {
  const { spec } = source;
  const names = new Set<string>();
  const rules: CompiledRule[] = [];
  for (const [index, rule] of spec.rules.entries()) {
    const at = ['spec', 'rules', index];
    if (names.has(rule.name))
      problems.push(problem(id, rule.name, [...at, 'name'], 'a rule of this name is there already'));
    names.add(rule.name);
    const compiled = compileRule(id, rule, at, problems);
    if (compiled !== undefined) rules.push(compiled);
  }
  for (const [index, mask] of spec.masks.entries()) {
    const wrong = invalidColumn(mask);
    if (wrong === undefined) continue;
    const at = ['spec', 'masks', index, 'columns', wrong.index];
    problems.push(problem(id, '', at, `'${wrong.text}' is not schema.table.column`));
  }
  const { connections, subjects, mode, masks } = spec;
  return {
    id,
    namespace: source.namespace,
    connections,
    subjects,
    mode,
    default: spec.default,
    rules,
    masks,
  };
}

function compileRule(
  policy: string,
  rule: PolicyRule,
  at: Path,
  problems: PolicyProblem[],
): CompiledRule | undefined {
  const ref = Object.freeze({ policy, rule: rule.name });
  const hold = holdOf(ref, rule);
  if (rule.action === 'Hold' && hold === undefined) {
    problems.push(problem(policy, rule.name, at, 'a rule that holds needs hold: who may approve'));
  }
  const result = compileProgram(rule.when);
  if (result.kind === 'invalid') {
    const place = { policy, rule: rule.name, path: formatPath([...at, 'when']), at: [...at, 'when'] };
    for (const found of result.problems) problems.push({ ...place, ...found });
    return undefined;
  }
  const { action, when, message, hint } = rule;
  return { ref, action, when, program: result.program, message, hint, hold };
}

function holdOf(rule: RuleRef, spec: PolicyRule): CompiledHold | undefined {
  if (spec.action !== 'Hold' || spec.hold === undefined) return undefined;
  const { approvers, timeout, inTransaction } = spec.hold;
  const users = [...new Set(approvers.users)].sort();
  const groups = [...new Set(approvers.groups)].sort();
  const requirement = Object.freeze({
    rule,
    approvers: Object.freeze({ users, groups }),
    timeout: milliseconds(timeout),
    inTransaction,
  });
  return { requirement, approversKey: JSON.stringify([users, groups]) };
}
