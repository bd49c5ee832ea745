/** The `sidewarden` command. */
import '../sidecar/engine.ts';
import { Command } from 'commander';
import { addApprovalsCommands } from './approvals.ts';
import { addDemoCommand } from './demo.ts';
import { addPolicyCommands } from './policy.ts';
import { addRecordingsCommands } from './recordings.ts';
import { addServeCommand } from './serve.ts';

const program = new Command('sidewarden')
  .description('keeps a team in command of what AI coding agents do on production')
  .version('0.1.0')
  .showHelpAfterError('(add --help for what is taken)')
  .exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : 2);
  });

const { env } = process;
const state = env['SIDEWARDEN_STATE'] ?? './.sidewarden';
const editor = env['VISUAL'] ?? env['EDITOR'] ?? 'vi';

addServeCommand(program);
addDemoCommand(program);
addApprovalsCommands(program, { state, editor });
addRecordingsCommands(program, { state, environment: env });
addPolicyCommands(program);

await program.parseAsync();
