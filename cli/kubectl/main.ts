/** `kubectl sidewarden …`: the plugin of people who decide. */
import { Command } from 'commander';
import { displayJson } from '../../sidecar/approval/display.ts';
import { run, screenOf } from '../approvals.ts';
import { showApproval, type Screen } from '../approvals-view.ts';
import type { NewText } from '../approvals-decide.ts';
import { connect, type Cluster, type ClusterOptions } from './cluster.ts';
import { approve, deny, modify, type DecideOptions } from './decide.ts';
import { findApproval } from './find.ts';
import { list, type ListOptions } from './list.ts';
import { sessions, type SessionsOptions } from './sessions.ts';

const { env } = process;
const editor = env['KUBE_EDITOR'] ?? env['VISUAL'] ?? env['EDITOR'] ?? 'vi';

const program = new Command('kubectl sidewarden')
  .description('decides on what AI agents want to do on production')
  .version('0.1.0')
  .showHelpAfterError('(add --help for what is taken)')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .addHelpText(
    'after',
    `
Examples:
  kubectl sidewarden approvals -A                     what waits, in all namespaces
  kubectl sidewarden approvals -n production --watch  as it changes
  kubectl sidewarden show orders-db-7f3k2m            one of them, whole
  kubectl sidewarden approve 7f3k --reason 'agreed'   a name's beginning is enough, or its last part's
  kubectl sidewarden deny 7f3k --reason 'not today'
  kubectl sidewarden modify 7f3k                      another text, in your editor
  kubectl sidewarden sessions -A                      who is connected

Exit codes: 0 done, 1 refused, 2 wrong usage, 4 not found.`,
  );

type Common = ClusterOptions & { readonly json?: boolean };

function command(usage: string, description: string): Command {
  return program
    .command(usage)
    .description(description)
    .option('--kubeconfig <path>', 'the kubeconfig; KUBECONFIG or ~/.kube/config when not given')
    .option('--context <name>', 'the context of the kubeconfig')
    .option('-n, --namespace <name>', "the namespace; the context's when not given")
    .option('--json', 'print JSON')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
}

function everywhere(target: Command): Command {
  return target.option('-A, --all-namespaces', 'all namespaces');
}

function screenFor({ kubeconfig, context, namespace, allNamespaces }: ClusterOptions): Screen {
  const flags = { kubeconfig, context, namespace };
  const options = Object.entries(flags).map(([flag, value]) =>
    value === undefined ? '' : ` --${flag} ${quoted(value)}`,
  );
  const screen = screenOf(options.join(''));
  return { ...screen, program: 'kubectl sidewarden', namespaces: allNamespaces === true };
}

function quoted(value: string): string {
  return /^[\w./@%+=:,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

function within(options: Common, act: (cluster: Cluster) => Promise<void>): Promise<void> {
  return run(() => act(connect(options)));
}

everywhere(command('approvals', 'what waits for a person, the most urgent first'))
  .option('--all', 'ended ones too')
  .option('-w, --watch', 'go on showing what changes')
  .action((options: Common & ListOptions) =>
    within(options, (cluster) => list(cluster, options, () => screenFor(options))),
  );

command('show <name>', 'one approval, whole; a beginning of the name that is unique is enough').action(
  (name: string, options: Common) =>
    within(options, async (cluster) => {
      const approval = await findApproval(cluster, name);
      const text =
        options.json === true ? `${displayJson(approval, 2)}\n` : showApproval(approval, screenFor(options));
      process.stdout.write(text);
    }),
);

command('approve <name>', 'let the operation go forward, once')
  .option('--reason <text>', 'why; recorded')
  .option('--yes', 'do not show it and ask first')
  .action((name: string, options: Common & DecideOptions) =>
    within(options, (cluster) => approve(cluster, name, options, screenFor(options))),
  );

command('deny <name>', 'refuse the operation')
  .option('--reason <text>', 'why; the client is told')
  .action((name: string, options: Common & DecideOptions) =>
    within(options, (cluster) => deny(cluster, name, options)),
  );

command('modify <name>', 'let another text go forward instead, if the policy does not deny it')
  .option('--reason <text>', 'why; recorded')
  .option('--file <path>', 'the new text is in this file')
  .option('--text <text>', 'the new text')
  .action((name: string, options: Common & DecideOptions & NewText) =>
    within(options, (cluster) => modify(cluster, name, options, editor)),
  );

everywhere(command('sessions', 'who is connected to what'))
  .option('--all', 'ended ones too')
  .action((options: Common & SessionsOptions) => within(options, (cluster) => sessions(cluster, options)));

await program.parseAsync();
