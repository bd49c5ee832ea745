/** Runs policy tests: each statement is decided as a session would, and compared with what is expected. */
import type { ProtectedConnection } from '../crds/connection.ts';
import type { SourceLocation } from '../sidecar/manifests/location.ts';
import type { MaskRules } from '../sidecar/mask/mask.ts';
import type { ConnectionFacts, Decision, Identity, SqlStatementFacts } from '../sidecar/operation.ts';
import type { PolicySet } from '../sidecar/policy/policy-set.ts';
import type { SessionPolicy } from '../sidecar/policy/session-policy.ts';
import type { MaskOutcome } from '../sidecar/postgres/sql/statement.ts';
import type {
  ReadTestFile,
  TestCase,
  TestConnection,
  TestIdentity,
  TestStatement,
} from './policy-test-file.ts';

interface AnalysedStatement {
  readonly facts: SqlStatementFacts;
  readonly masks: MaskOutcome;
}

/** What is known of a text, under these masks. */
export type AnalysedText =
  | { readonly kind: 'statements'; readonly statements: readonly AnalysedStatement[] }
  /** PostgreSQL's grammar refuses it, and so would a session. */
  | { readonly kind: 'unparseable'; readonly message: string }
  /** Nothing can be said of it, and so no expectation of it is met. */
  | { readonly kind: 'unknown'; readonly message: string };

type AnalyseText = (text: string, masks: MaskRules) => AnalysedText;

export interface StatementResult extends SourceLocation {
  readonly statement: string;
  readonly expected: Decision['kind'];
  readonly decided: Decision['kind'];
  /** `namespace/name, rule`. */
  readonly rules: readonly string[];
  readonly message: string;
  /** Why it does not pass; empty when it does. */
  readonly failures: readonly string[];
}

export interface CaseResult {
  readonly name: string;
  readonly passed: boolean;
  readonly statements: readonly StatementResult[];
}

/** What one statement came to. */
interface Verdict {
  readonly kind: Decision['kind'];
  readonly rules: readonly string[];
  readonly message: string;
  readonly masked: readonly number[];
  /** What makes the outcome worthless, whatever it is. */
  readonly doubts: readonly string[];
}

export interface TestParts {
  readonly policies: PolicySet;
  readonly connections: readonly ProtectedConnection[];
  readonly analyse: AnalyseText;
  /** Milliseconds since the epoch, for statements that say no time. */
  readonly now: number;
}

export function runTestFile(test: ReadTestFile, parts: TestParts): readonly CaseResult[] {
  return test.content.cases.map((testCase, index) => runCase(test, testCase, index, parts));
}

function runCase(test: ReadTestFile, testCase: TestCase, index: number, parts: TestParts): CaseResult {
  const identity = identityOf(testCase.identity ?? test.content.identity);
  const connection = connectionOf(testCase.connection ?? test.content.connection, parts.connections);
  const policy = parts.policies.forSession(identity, connection);
  const statements: StatementResult[] = [];
  for (const [position, statement] of testCase.statements.entries()) {
    const verdict = verdictOn(statement, policy, parts);
    const place = test.locator.locate(['cases', index, 'statements', position]);
    statements.push({
      ...place,
      statement: statement.sql ?? statement.facts?.verb ?? '',
      expected: statement.expect,
      decided: verdict.kind,
      rules: verdict.rules,
      message: verdict.message,
      failures: failuresOf(statement, verdict),
    });
  }
  return {
    name: testCase.name,
    passed: statements.every(({ failures }) => failures.length === 0),
    statements,
  };
}

function identityOf(identity: TestIdentity): Identity {
  return { ...identity, username: identity.username ?? identity.subject };
}

function connectionOf(given: TestConnection, known: readonly ProtectedConnection[]): ConnectionFacts {
  const manifest = known.find(
    ({ metadata }) => metadata.name === given.name && (metadata.namespace ?? 'default') === given.namespace,
  );
  return {
    name: given.name,
    namespace: given.namespace,
    protocol: manifest?.spec.protocol ?? 'postgres',
    database: given.database ?? manifest?.spec.target.database ?? '',
    labels: given.labels ?? manifest?.metadata.labels ?? {},
  };
}

function verdictOn(statement: TestStatement, policy: SessionPolicy, parts: TestParts): Verdict {
  if (statement.facts !== undefined)
    return decide(statement.facts, { kind: 'clear' }, statement, policy, parts.now);
  const { sql = '' } = statement;
  const analysed = parts.analyse(sql, policy.masks);
  if (analysed.kind === 'unparseable') return refused(`cannot be parsed: ${analysed.message}`);
  if (analysed.kind === 'unknown') return { ...refused(analysed.message), doubts: [analysed.message] };
  const verdicts = analysed.statements.map(({ facts, masks }) =>
    decide(facts, masks, statement, policy, parts.now),
  );
  // Several statements in one text: one refused, all refused.
  const [first] = (['deny', 'hold', 'allow'] as const).flatMap((kind) =>
    verdicts.filter((one) => one.kind === kind),
  );
  return first ?? { kind: 'allow', rules: [], message: '', masked: [], doubts: [] };
}

function decide(
  facts: SqlStatementFacts,
  masks: MaskOutcome,
  statement: TestStatement,
  policy: SessionPolicy,
  present: number,
): Verdict {
  const { parameters, role, inTransaction } = statement;
  const now = statement.now === undefined ? present : Date.parse(statement.now);
  const decision = policy.decide(
    { kind: 'postgres', sql: { statement: facts, parameters, role, inTransaction } },
    now,
  );
  const rules = decision.rules.map(({ policy: id, rule }) => `${id}, ${rule}`);
  const doubts = facts.tables.filter(({ name }) => name.startsWith('?.')).map(({ name }) => missing(name));
  if (decision.kind === 'deny') return { kind: 'deny', rules, message: decision.message, masked: [], doubts };
  const unmaskable = masks.kind === 'refused' || (masks.kind === 'untraceable' && decision.kind === 'allow');
  if (unmaskable) return { ...refused(masks.reason), doubts };
  return { kind: decision.kind, rules, message: '', masked: maskedColumns(masks), doubts };
}

function missing(table: string): string {
  return `${table.slice(2)} is not in the catalog of this file`;
}

/** What no rule refuses, but a session does. */
function refused(message: string): Verdict {
  return { kind: 'deny', rules: [], message, masked: [], doubts: [] };
}

function maskedColumns(masks: MaskOutcome): readonly number[] {
  if (masks.kind !== 'columns') return [];
  return masks.fields.flatMap((field, index) => (field.kind === 'clear' ? [] : [index + 1]));
}

function failuresOf(statement: TestStatement, verdict: Verdict): readonly string[] {
  const failures: string[] = [...verdict.doubts];
  const { expect, rule, message, masked } = statement;
  if (verdict.kind !== expect) failures.push(`expected ${expect}, got ${verdict.kind}`);
  if (rule !== undefined && !verdict.rules.some((led) => led === rule || led.endsWith(`, ${rule}`))) {
    failures.push(`expected rule ${rule}, got ${verdict.rules.join('; ') || 'none'}`);
  }
  if (message !== undefined && !verdict.message.includes(message)) {
    failures.push(
      `expected a message with ${JSON.stringify(message)}, got ${JSON.stringify(verdict.message)}`,
    );
  }
  const columns = masked?.toSorted((a, b) => a - b).join(', ');
  if (columns !== undefined && columns !== verdict.masked.join(', ')) {
    failures.push(`expected masked columns [${columns}], got [${verdict.masked.join(', ')}]`);
  }
  return failures;
}
