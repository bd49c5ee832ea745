/** `sidewarden policy check PATH…`: all that is wrong with manifests and the expressions of their rules. */
import type { Command } from 'commander';
import { formatManifestErrors, type ManifestError } from '../sidecar/manifests/location.ts';
import { EXIT, plural, print, printJson, styled } from './policy-output.ts';
import { readPolicyFiles, type PolicyFiles } from './policy-source.ts';

const EXAMPLES = `
Examples:
  $ sidewarden policy check manifests/
  $ sidewarden policy check policy.yaml other.yaml --json

A folder is checked as a whole, what its objects name included; a single file may name objects of another.
Exit code 0: nothing is wrong; 2: something is.
`;

interface CheckOptions {
  readonly json?: boolean;
}

export function registerPolicyCheck(program: Command): void {
  program
    .command('check')
    .description('check manifests and the expressions of their policies')
    .argument('<path...>', 'files or folders')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action(check);
}

async function check(paths: readonly string[], options: CheckOptions): Promise<void> {
  const read = await Promise.all(paths.map(readPolicyFiles));
  const errors = read.flatMap((files) => files.errors);
  if (options.json === true) printJson(report(read, errors));
  else printReport(read, errors);
  process.exitCode = errors.length === 0 ? EXIT.ok : EXIT.unusable;
}

function counts(read: readonly PolicyFiles[]): { files: number; policies: number; rules: number } {
  const policies = read.flatMap((files) => files.policies);
  return {
    files: read.reduce((sum, { files }) => sum + files, 0),
    policies: policies.length,
    rules: policies.reduce((sum, policy) => sum + policy.spec.rules.length, 0),
  };
}

function report(read: readonly PolicyFiles[], errors: readonly ManifestError[]): unknown {
  return { ok: errors.length === 0, ...counts(read), errors };
}

function printReport(read: readonly PolicyFiles[], errors: readonly ManifestError[]): void {
  if (errors.length > 0) print(formatManifestErrors(errors));
  const { files, policies, rules } = counts(read);
  const checked = `${plural(policies, 'policy', 'policies')} with ${plural(rules, 'rule')} in ${plural(files, 'file')}`;
  print(
    errors.length === 0
      ? `${styled('green', '✓')} ${checked}`
      : `${styled('red', '✗')} ${plural(errors.length, 'error')}; ${checked}`,
  );
}
