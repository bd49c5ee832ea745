/** `sidewarden approvals …`: for a person who decides within seconds. */
import type { Command } from 'commander';
import { displayJson } from '../sidecar/approval/display.ts';
import { approve, deny, modify, type DecideOptions, type ModifyOptions } from './approvals-decide.ts';
import { CommandError, findApproval } from './approvals-folder.ts';
import { list, type ListOptions } from './approvals-list.ts';
import { showApproval, type Screen } from './approvals-view.ts';

/** What only a main may read from the environment. */
export interface ApprovalsSettings {
  /** Default of `--state`: SIDEWARDEN_STATE; else `./.sidewarden`. */
  readonly state?: string;
  /** Command line of the editor for `modify`: VISUAL or EDITOR; else `vi`. */
  readonly editor?: string;
}

/** Exit codes: 0 done, 1 refused by serve, 2 wrong usage, 4 not found. */
export function addApprovalsCommands(program: Command, settings: ApprovalsSettings = {}): void {
  const usual = settings.state ?? './.sidewarden';
  const approvals = program
    .command('approvals')
    .description('operations that wait for a person')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  const command = (usage: string, description: string) =>
    approvals
      .command(usage)
      .description(description)
      .option('--state <dir>', 'the folder of `sidewarden serve`', usual)
      .option('--json', 'print JSON');
  const screen = (state: string) => screenOf(state === usual ? '' : ` --state ${quoted(state)}`);

  command('list', 'what is pending, the most urgent first')
    .option('--all', 'ended ones too')
    .option('--watch', 'go on showing what changes')
    .action((options: ListOptions) => run(() => list(options, () => screen(options.state))));

  command('show <name>', 'one approval, whole; a beginning of the name that is unique is enough').action(
    (name: string, options: { readonly state: string; readonly json?: boolean }) =>
      run(async () => {
        const approval = await findApproval(options.state, name);
        const text =
          options.json === true
            ? `${displayJson(approval, 2)}\n`
            : showApproval(approval, screen(options.state));
        process.stdout.write(text);
      }),
  );

  command('approve <name>', 'let the operation go forward, once')
    .option('--reason <text>', 'why; recorded')
    .option('--yes', 'do not show it and ask first')
    .action((name: string, options: DecideOptions) =>
      run(() => approve(name, options, screen(options.state))),
    );

  command('deny <name>', 'refuse the operation')
    .option('--reason <text>', 'why; the client is told')
    .action((name: string, options: DecideOptions) => run(() => deny(name, options)));

  command('modify <name>', 'let another text go forward instead, if the policy does not deny it')
    .option('--reason <text>', 'why; recorded')
    .option('--file <path>', 'the new text is in this file')
    .option('--text <text>', 'the new text')
    .action((name: string, options: ModifyOptions) =>
      run(() => modify(name, options, settings.editor ?? 'vi')),
    );
}

/** Runs a command, and ends with its exit code. */
export async function run(command: () => Promise<void>): Promise<void> {
  // A pager that was left early is no fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  try {
    await command();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode;
  }
}

export function screenOf(options: string): Screen {
  const { stdout } = process;
  // hasColors() knows NO_COLOR and dumb terminals.
  const color = stdout.isTTY && stdout.hasColors();
  // Some terminals say that they have no columns.
  const width = stdout.isTTY ? (stdout.columns >= 20 ? stdout.columns : 80) : null;
  return { color, width, now: Date.now(), options };
}

function quoted(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
