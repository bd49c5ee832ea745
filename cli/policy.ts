/** `sidewarden policy …`: policies checked, tested and tried on what has happened. */
import type { Command } from 'commander';
import { registerPolicyCheck } from './policy-check.ts';

export function addPolicyCommands(program: Command): void {
  const policy = program.command('policy').description('check, test and replay policies');
  registerPolicyCheck(policy);
}
