/** `sidewarden recordings …`: what was recorded, shown, played, checked and handed on. */
import type { Command } from 'commander';
import { escapeLine } from '../sidecar/approval/display.ts';
import { RecordingError } from '../sidecar/record/recording-error.ts';
import { TamperedError, type CheckedOptions } from './recordings-checked.ts';
import { exportSession, FORMATS, type ExportOptions } from './recordings-export.ts';
import { list } from './recordings-list.ts';
import type { PlaceOptions } from './recordings-place.ts';
import { replay, type ReplayOptions } from './recordings-replay.ts';
import { show } from './recordings-show.ts';
import { verify, type VerifyOptions } from './recordings-verify.ts';
import type { Environment } from './recordings-bucket.ts';
import { UsageError } from './usage-error.ts';

/** What only a main may read from the environment. */
export interface RecordingsSettings {
  /** Default of `--state`: SIDEWARDEN_STATE; else `./.sidewarden`. */
  readonly state?: string;
  /** For `--store`: AWS_ACCESS_KEY_ID and the like. */
  readonly environment?: Environment;
}

const SESSION = '<session>';
const UNVERIFIED = [
  '--unverified',
  'do not check it first; without this, one that was tampered with is refused',
] as const;

/** Exit codes: 0 done (verify: clean), 1 tampered, 2 wrong usage or unreadable, 3 verify: unfinished. */
export function addRecordingsCommands(program: Command, settings: RecordingsSettings = {}): void {
  const recordings = program
    .command('recordings')
    .description('what sessions did: listed, shown, replayed, verified, exported')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  const { environment = {} } = settings;
  const placed = <T extends PlaceOptions>(options: T): T => ({ ...options, environment });
  const command = (usage: string, description: string, examples: readonly string[]): Command =>
    recordings
      .command(usage)
      .description(description)
      .option('--state <dir>', 'the folder of `sidewarden serve`', settings.state ?? './.sidewarden')
      .option('--recordings <dir>', 'a folder of recordings by itself, instead of --state')
      .option(
        '--store <url>',
        'recordings in a bucket, `s3://bucket/prefix`; credentials as for AWS’s own tools',
      )
      .option('--endpoint <url>', 'S3 API of the store; AWS unless told')
      .option('--region <name>', 'region of the store')
      .option('--json', 'print JSON')
      .addHelpText('after', help(examples));

  command('list', 'all sessions: when, who, on what, and what came of it', [
    'recordings list',
    'recordings list --json | jq ".[] | select(.counts.deny > 0)"',
  ]).action((options: PlaceOptions) => run(() => list(placed(options))));

  command(`show ${SESSION}`, 'a timeline: statements, decisions, approvals, a preview of rows', [
    'recordings show last',
    'recordings show 20261121t1125 --json',
  ])
    .option(...UNVERIFIED)
    .option('--key <file>', 'public key (PEM) to check it with first; else that of the state folder')
    .action((session: string, options: CheckedOptions) => run(() => show(session, placed(options))));

  command(`replay ${SESSION}`, 'play a session in the terminal, as it happened', [
    'recordings replay last',
    'recordings replay last --speed 4 --max-pause 1',
  ])
    .option('--speed <factor>', 'how many times as fast', '1')
    .option('--max-pause <seconds>', 'shorten longer pauses to this', '5')
    .option(...UNVERIFIED)
    .option('--key <file>', 'public key (PEM) to check it with first; else that of the state folder')
    .action((session: string, options: ReplayOptions) => run(() => replay(session, placed(options))));

  command('verify [session]', 'check signatures and the chain; names the first event that is wrong', [
    'recordings verify last',
    'recordings verify --all --key recording.pub',
    'recordings verify --all --store s3://recordings/prod --endpoint https://s3.internal --key operator.pub',
  ])
    .option('--all', 'every session')
    .option('--key <file>', 'public key (PEM) to check with; else that of the state folder')
    .addHelpText('after', '\nExit code 0: clean; 1: tampered; 3: unfinished; 2: cannot be checked.')
    .action((session: string | undefined, options: VerifyOptions) =>
      run(() => verify(session, placed(options))),
    );

  command(`export ${SESSION}`, 'write a session in another format', [
    'recordings export last --format jsonl | jq .kind',
    'recordings export last --format csv -o session.csv',
    'recordings export last --format asciicast -o session.cast',
  ])
    .requiredOption('--format <format>', Object.keys(FORMATS).join(', '))
    .option('-o, --output <file>', 'where to; else standard output')
    .option(...UNVERIFIED)
    .option('--key <file>', 'public key (PEM) to check it with first; else that of the state folder')
    .addHelpText(
      'after',
      '\nIn CSV, text that a spreadsheet would take for a formula gets an apostrophe before it, and what cannot be seen is escaped.',
    )
    .action((session: string, options: ExportOptions) => run(() => exportSession(session, placed(options))));
}

function help(examples: readonly string[]): string {
  const lines = examples.map((example) => `  $ sidewarden ${example}`);
  return `\nA session is named by its id, the beginning or end of it, or "last".\n\nExamples:\n${lines.join('\n')}`;
}

async function run(action: () => Promise<void>): Promise<void> {
  // `… | head` is no fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 2));
  try {
    await action();
  } catch (error) {
    // A RangeError is a recording nested so deep that it cannot be shown; ours never are.
    const told = [UsageError, TamperedError, RecordingError, RangeError].some(
      (kind) => error instanceof kind,
    );
    if (!told || !(error instanceof Error)) throw error;
    process.stderr.write(`sidewarden: ${escapeLine(error.message)}\n`);
    process.exitCode = error instanceof TamperedError ? 1 : 2;
  }
}
