/** The `sidewarden` command. */
import { Command } from 'commander';
import { addServeCommand } from './serve.ts';

const program = new Command('sidewarden')
  .description('keeps a team in command of what AI coding agents do on production')
  .version('0.1.0')
  .showHelpAfterError('(add --help for what is taken)')
  .exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : 2);
  });

addServeCommand(program);

await program.parseAsync();
