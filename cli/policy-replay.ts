/** `sidewarden policy replay`: what candidate policies would have decided of operations that were recorded. */
import type { Command } from 'commander';
import { formatManifestErrors } from '../sidecar/manifests/location.ts';
import type { Decision, Facts } from '../sidecar/operation.ts';
import { compilePolicies } from '../sidecar/policy/compile.ts';
import type { PolicySet } from '../sidecar/policy/policy-set.ts';
import { describeProblem } from '../sidecar/policy/problem.ts';
import { describeStatement } from '../sidecar/policy/refusal.ts';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { readEvents } from '../sidecar/record/read.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { complain, EXIT, plural, print, printable, printJson, styled } from './policy-output.ts';
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

export interface Change {
  readonly session: string;
  readonly operation: number;
  /** ISO 8601. */
  readonly at: string;
  readonly before: Outcome;
  readonly after: Outcome;
  /** `DELETE on public.orders`. */
  readonly what: string;
  readonly text: string;
  /** A secret was taken out of the text: rules on text or parameters may have seen something else then. */
  readonly redacted: boolean;
}

interface Outcome {
  readonly kind: Decision['kind'];
  /** `namespace/name, rule`. */
  readonly rules: readonly string[];
}

export interface Replayed {
  readonly sessions: number;
  readonly decisions: number;
  /** Refused by no policy: unparseable, unsupported, a mask that could not apply. */
  readonly leftOut: number;
  readonly changes: readonly Change[];
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

/** Decides all that is recorded in a folder. Rejects with RecordingError for what is no recording. */
export async function replay(folder: string, policies: PolicySet): Promise<Replayed> {
  const store = new DirectoryStore(folder);
  const sessions = await store.sessions();
  if (sessions.length === 0) throw new RecordingError('format', 'there is no recording');
  const found = { sessions: sessions.length, decisions: 0, leftOut: 0, changes: new Array<Change>() };
  for (const session of sessions) await replaySession(store, session, policies, found);
  return found;
}

async function replaySession(
  store: DirectoryStore,
  session: string,
  policies: PolicySet,
  found: { decisions: number; leftOut: number; readonly changes: Change[] },
): Promise<void> {
  let decide: ((facts: Facts, now: number) => Decision) | undefined;
  for await (const { event, at } of readEvents(store, session)) {
    if (event.kind === 'session-start') {
      const policy = policies.forSession(event.identity, event.connection);
      decide = (facts, now) => policy.decide(facts, now);
    }
    if (event.kind !== 'decision') continue;
    const { decision, facts } = event;
    if (decide === undefined) throw new RecordingError('format', `${session} does not begin with its start`);
    if (decision.kind === 'refuse' || facts.kind === 'unknown') {
      found.leftOut += 1;
      continue;
    }
    found.decisions += 1;
    const after = decide(facts, at / 1000);
    if (sameOutcome(decision, after)) continue;
    found.changes.push({
      session,
      operation: event.operation,
      at: new Date(at / 1000).toISOString(),
      before: outcomeOf(decision),
      after: outcomeOf(after),
      what: describeStatement(facts.sql.statement),
      text: facts.sql.statement.text,
      redacted: event.redacted,
    });
  }
}

/** Whether a client would have seen the same: the same kind, and of holds the same people asked. */
function sameOutcome(before: Decision, after: Decision): boolean {
  if (before.kind !== after.kind) return false;
  if (before.kind !== 'hold' || after.kind !== 'hold') return true;
  return approversOf(before) === approversOf(after);
}

function approversOf(hold: Extract<Decision, { kind: 'hold' }>): string {
  const asked = hold.requirements.map(({ approvers }) =>
    JSON.stringify([approvers.users.toSorted(), approvers.groups.toSorted()]),
  );
  return asked.sort().join('\n');
}

function outcomeOf(decision: Decision): Outcome {
  return { kind: decision.kind, rules: decision.rules.map(({ policy, rule }) => `${policy}, ${rule}`) };
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
