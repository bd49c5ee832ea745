/** Facts and policies for tests, complete but for what a test says. */
import type { AccessPolicySpec, PolicyRule } from '../../crds/policy.ts';
import type { ConnectionFacts, Facts, Identity, SqlFacts, SqlStatementFacts } from '../operation.ts';
import { compilePolicies, type PolicySource } from './compile.ts';
import { describeProblem } from './problem.ts';
import type { PolicySet } from './policy-set.ts';
import type { SessionPolicy } from './session-policy.ts';

export const IDENTITY: Identity = {
  issuer: 'sidewarden:token',
  subject: 'run-1',
  username: 'agent',
  groups: ['ai-agents'],
  claims: { team: 'orders', level: 3, nested: { list: ['a', 1] } },
  serviceAccount: 'ci/runner',
  pod: 'ci/run-1',
};

export const CONNECTION: ConnectionFacts = {
  name: 'orders-db',
  namespace: 'production-access',
  protocol: 'postgres',
  database: 'orders',
  labels: { tier: 'gold' },
};

export function statement(facts: Partial<SqlStatementFacts> = {}): SqlStatementFacts {
  return {
    verb: 'SELECT',
    effects: ['read'],
    tables: [],
    columns: [],
    functions: [],
    hasWhere: true,
    text: 'SELECT 1',
    fingerprint: '50fde20626009aba',
    ...facts,
  };
}

export function sqlFacts(facts: Partial<SqlFacts> = {}): Facts {
  return {
    kind: 'postgres',
    sql: { statement: statement(), parameters: [], role: 'app', inTransaction: false, ...facts },
  };
}

export function rule(
  name: string,
  when: string,
  action: PolicyRule['action'],
  more: Partial<PolicyRule> = {},
) {
  const approvers = { users: [], groups: ['dba'] };
  const hold =
    action === 'Hold' ? { hold: { approvers, timeout: '15m', inTransaction: 'Auto' as const } } : {};
  return { name, when, action, ...hold, ...more } satisfies PolicyRule;
}

export function policy(name: string, spec: Partial<AccessPolicySpec>): PolicySource {
  const full: AccessPolicySpec = {
    connections: ['orders-db'],
    subjects: [{ groups: ['ai-agents'] }],
    mode: 'Enforce',
    default: 'Deny',
    rules: [],
    masks: [],
    ...spec,
  };
  return { namespace: 'production-access', name, spec: full };
}

export function compiled(...sources: readonly PolicySource[]): PolicySet {
  const result = compilePolicies(sources);
  if (result.kind === 'refused') throw new Error(result.problems.map(describeProblem).join('\n'));
  return result.policies;
}

export function session(...sources: readonly PolicySource[]): SessionPolicy {
  return compiled(...sources).forSession(IDENTITY, CONNECTION);
}
