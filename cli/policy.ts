/** `sidewarden policy …`: policies checked, tested, and tried on what has happened. */
import type { Command } from 'commander';
import { registerPolicyCheck } from './policy-check.ts';
import { registerPolicyReplay } from './policy-replay.ts';
import { registerPolicyTest } from './policy-test.ts';

export function addPolicyCommands(program: Command): void {
  const policy = program.command('policy').description('check, test and replay policies');
  registerPolicyCheck(policy);
  registerPolicyTest(policy);
  registerPolicyReplay(policy);
}
