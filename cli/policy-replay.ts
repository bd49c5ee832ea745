/** `sidewarden policy replay`: what candidate policies would have decided of operations that were recorded. */
import type { Command } from 'commander';
import { formatManifestErrors } from '../sidecar/manifests/location.ts';
import { compilePolicies } from '../sidecar/policy/compile.ts';
import type { PolicySet } from '../sidecar/policy/policy-set.ts';
import { describeProblem } from '../sidecar/policy/problem.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { complain, EXIT, plural, print, printable, printJson, styled } from './policy-output.ts';
import { replay, type Change, type Outcome, type Replayed } from './policy-replayed.ts';
import { readPolicyFiles } from './policy-source.ts';

const EXAMPLES = `
Examples:
  $ sidewarden policy replay --recordings recordings/ --manifests candidate/
  $ sidewarden policy replay --recordings recordings/ --manifests candidate/policy.yaml --json

Every operation that policies decided is decided anew from its recorded facts, at its recorded time. Masks are not
replayed. Recordings are taken as they are: "sidewarden recordings verify" says whether to believe them.
Exit code 0: every decision stays; 1: some would change; 2: policies or recordings cannot be read.
`;

interface ReplayOptions {
  readonly recordings: string;
  readonly manifests: string;
  readonly json?: boolean;
}

export function registerPolicyReplay(program: Command): void {
  program
    .command('replay')
    .description('decide recorded operations anew by candidate policies')
    .requiredOption('--recordings <folder>', 'folder of recordings')
    .requiredOption('--manifests <path>', 'folder or file with the candidate policies')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES)
    .action(replayCommand);
}

async function replayCommand(options: ReplayOptions): Promise<void> {
  const policies = await candidates(options.manifests);
  if (policies === undefined) {
    process.exitCode = EXIT.unusable;
    return;
  }
  try {
    const replayed = await replay(options.recordings, policies);
    if (options.json === true) printJson({ ...replayed, summary: summary(replayed.changes) });
    else printReplayed(replayed);
    process.exitCode = replayed.changes.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    complain(`sidewarden: ${options.recordings}: ${printable(error.message)}`);
    process.exitCode = EXIT.unusable;
  }
}

async function candidates(path: string): Promise<PolicySet | undefined> {
  const { policies, errors } = await readPolicyFiles(path);
  if (errors.length > 0) {
    complain(formatManifestErrors(errors));
    return undefined;
  }
  const compilation = compilePolicies(policies);
  if (compilation.kind === 'compiled') return compilation.policies;
  for (const problem of compilation.problems) complain(describeProblem(problem));
  return undefined;
}

/** How often each change of kind occurs: `allow → deny`. */
function summary(changes: readonly Change[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const { before, after } of changes) {
    const key = `${before.kind} → ${after.kind}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

const STYLES = { allow: 'green', hold: 'yellow', deny: 'red' } as const;

function shown({ kind, rules }: Outcome): string {
  return `${styled(STYLES[kind], kind)} (${rules.length === 0 ? 'default' : printable(rules.join('; '))})`;
}

const SHOWN_TEXT = 160;

function printReplayed(replayed: Replayed): void {
  for (const change of replayed.changes) {
    const note = change.redacted ? styled('dim', ' (text redacted)') : '';
    print(`${printable(change.session)} #${change.operation}  ${change.what}${note}`);
    const text = change.text.length > SHOWN_TEXT ? `${change.text.slice(0, SHOWN_TEXT)}…` : change.text;
    print(`  ${styled('dim', printable(text.replaceAll(/\s+/gu, ' ')))}`);
    print(`  ${shown(change.before)} → ${shown(change.after)}`);
  }
  const counts = Object.entries(summary(replayed.changes)).map(([key, count]) => `${key}: ${count}`);
  const { decisions, sessions, leftOut, changes } = replayed;
  const left = leftOut === 0 ? '' : `; ${leftOut} left out, refused by no policy`;
  print(`${plural(decisions, 'decision')} of ${plural(sessions, 'session')} replayed${left}`);
  print(changes.length === 0 ? '0 would change' : `${changes.length} would change: ${counts.join(', ')}`);
}
