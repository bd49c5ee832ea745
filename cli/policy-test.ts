/** `sidewarden policy test FILE…`: tables of statements and the decisions expected of them, run like unit tests. */
import type { Command } from 'commander';
import { formatManifestErrors, type ManifestError } from '../sidecar/manifests/location.ts';
import { compilePolicies } from '../sidecar/policy/compile.ts';
import { describeProblem } from '../sidecar/policy/problem.ts';
import { complain, EXIT, print, printable, printJson, styled } from './policy-output.ts';
import { readPolicyFiles } from './policy-source.ts';
import type { Analyser } from './policy-test-analysis.ts';
import { readTestFile, type ReadTestFile } from './policy-test-file.ts';
import { runTestFile, type AnalysedText, type CaseResult, type StatementResult } from './policy-test-run.ts';

const EXAMPLES = `
Examples:
  $ sidewarden policy test orders.test.yaml
  $ sidewarden policy test tests/*.yaml --json

A file of tests:
  policies: [../manifests]          # files and folders, seen from this file
  connection: { namespace: production-access, name: orders-db }
  identity: { username: agent, groups: [ai-agents] }
  catalog: |                        # what the statements name
    CREATE TABLE public.orders (id int PRIMARY KEY, card text);
  cases:
    - name: agents read, cards hidden
      statements:
        - { sql: "SELECT id, card FROM orders", expect: allow, rule: reads, masked: [2] }
        - { sql: "DELETE FROM orders", expect: deny, message: "WHERE" }
        - { facts: { verb: ALTER TABLE, effects: [ddl] }, expect: hold }

Exit code 0: all pass; 1: some fail; 2: a file cannot be used.
`;

interface TestOptions {
  readonly json?: boolean;
}

interface FileResult {
  readonly file: string;
  readonly cases: readonly CaseResult[];
}

type Ran =
  | { readonly kind: 'ran'; readonly result: FileResult }
  | { readonly kind: 'unusable'; readonly errors: readonly ManifestError[] };

export function registerPolicyTest(program: Command): void {
  program
    .command('test')
    .description('run tables of statements and expected decisions')
    .argument('<file...>', 'files of tests')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action(testCommand);
}

async function testCommand(files: readonly string[], options: TestOptions): Promise<void> {
  const results: FileResult[] = [];
  const errors: ManifestError[] = [];
  for (const file of files) {
    const ran = await runFile(file, Date.now());
    if (ran.kind === 'ran') results.push(ran.result);
    else errors.push(...ran.errors);
  }
  const cases = results.flatMap((result) => result.cases);
  const failed = cases.filter(({ passed }) => !passed).length;
  const passed = cases.length - failed;
  if (options.json === true) printJson({ passed, failed, errors, files: results });
  else {
    for (const result of results) printFile(result);
    if (errors.length > 0) complain(formatManifestErrors(errors));
    print(`${passed} passed, ${failed} failed`);
  }
  process.exitCode = errors.length > 0 ? EXIT.unusable : failed > 0 ? EXIT.failed : EXIT.ok;
}

/** Runs the tests of one file at a time (milliseconds since the epoch). */
export async function runFile(file: string, now: number): Promise<Ran> {
  const read = await readTestFile(file);
  if (read.kind === 'invalid') return { kind: 'unusable', errors: read.errors };
  return runTest(read.test, now);
}

async function runTest(test: ReadTestFile, now: number): Promise<Ran> {
  const files = await Promise.all(test.policies.map(readPolicyFiles));
  const errors = files.flatMap((one) => one.errors);
  if (errors.length > 0) return { kind: 'unusable', errors };
  const compilation = compilePolicies(files.flatMap((one) => one.policies));
  if (compilation.kind === 'refused')
    return unusable(test, 'policies', compilation.problems.map(describeProblem));
  const analyser = await analyserFor(test);
  if (analyser.kind === 'invalid') return unusable(test, 'catalog', analyser.problems);
  const connections = files.flatMap((one) => one.connections);
  const parts = { policies: compilation.policies, connections, analyse: analyser.analyse, now };
  return { kind: 'ran', result: { file: test.file, cases: runTestFile(test, parts) } };
}

function noText(): AnalysedText {
  return { kind: 'unknown', message: 'the file has no texts' };
}

/** The analyser is loaded only for texts: facts need none. */
async function analyserFor({ content }: ReadTestFile): Promise<Analyser> {
  const texts = content.cases.some(({ statements }) => statements.some(({ sql }) => sql !== undefined));
  if (!texts && content.catalog === '') return { kind: 'analyser', analyse: noText };
  const { textAnalyser } = await import('./policy-test-analysis.ts');
  return textAnalyser(content.catalog, content.searchPath);
}

function unusable(test: ReadTestFile, path: string, problems: readonly string[]): Ran {
  const place = test.locator.locate([path]);
  return { kind: 'unusable', errors: problems.map((message) => ({ ...place, path, message })) };
}

function printFile({ file, cases }: FileResult): void {
  print(styled('bold', printable(file)));
  for (const { name, passed, statements } of cases) {
    print(`  ${passed ? styled('green', '✓') : styled('red', '✗')} ${printable(name)}`);
    for (const statement of statements) if (statement.failures.length > 0) printFailed(statement);
  }
}

const SHOWN_TEXT = 120;

function printFailed({ file, line, statement, failures, rules, message }: StatementResult): void {
  const text = statement.length > SHOWN_TEXT ? `${statement.slice(0, SHOWN_TEXT)}…` : statement;
  print(`      ${styled('dim', printable(`${file}:${line}`))} ${printable(text.replaceAll(/\s+/gu, ' '))}`);
  for (const failure of failures) print(`        ${styled('red', printable(failure))}`);
  if (rules.length > 0) print(`        ${styled('dim', `decided by ${printable(rules.join('; '))}`)}`);
  if (message !== '') print(`        ${styled('dim', printable(message))}`);
}
