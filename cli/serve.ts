/** `sidewarden serve`: enforcement from YAML files, without a cluster. */
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import pino, { type Logger } from 'pino';
import { FileApprovals } from '../sidecar/approval/files.ts';
import { type Configuration, configure } from '../sidecar/configuration.ts';
import { Enforcement, type Listening, recordInto } from '../sidecar/enforcement.ts';
import { type ManifestError, formatManifestErrors } from '../sidecar/manifests/location.ts';
import { type LoadResult, loadManifests } from '../sidecar/manifests/manifests.ts';
import { watchManifests } from '../sidecar/manifests/watch.ts';
import { loadParser } from '../sidecar/postgres/sql/parser.ts';
import { readPolicyFiles } from './policy-source.ts';
import { DirectoryStore } from '../sidecar/record/directory-store.ts';
import { recoverRecordings } from '../sidecar/record/recover.ts';
import { loadSigner } from '../sidecar/record/signer.ts';
import { UnknownGroup, groupId } from './system-group.ts';
import { StateInUse, type StateLock, lockState } from './state-lock.ts';

const EXAMPLES = `
Examples:
  $ sidewarden serve --manifests ./manifests --state ./.sidewarden
  $ sidewarden serve --manifests ./manifests --state ./.sidewarden --approver alice=dba,platform
  $ sidewarden serve --manifests ./manifests --state /var/lib/sidewarden --approver-group dba

The folder holds ProtectedConnections and AccessPolicies, and the Secrets and ConfigMaps that they name. It is watched: a
changed policy applies to the next operation of open sessions; one with errors is refused, and the old one stays.
One line is printed for each connection when clients can connect, and then "ready".

Exit codes: 0 ended by a signal; 1 it could not start; 2 the manifests are wrong (all errors, with file, line and path).
`;

interface ServeOptions {
  readonly manifests: string;
  readonly state: string;
  readonly approver: ReadonlyMap<string, readonly string[]>;
  readonly approverGroup?: string;
  readonly logLevel: string;
}

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('enforce policies on connections described by YAML files, without a cluster')
    .requiredOption('--manifests <dir>', 'folder with the manifests')
    .option('--state <dir>', 'folder for recordings, approvals and keys', './.sidewarden')
    .option(
      '--approver <user=groups>',
      'give a user of this system further groups as an approver; may be repeated',
      addApprover,
      new Map(),
    )
    .option(
      '--approver-group <group>',
      'group of this system whose members see approvals and can decide, by their own accounts; else only the user that serve runs as',
    )
    .option('--log-level <level>', 'fatal, error, warn, info, debug or silent', 'info')
    .addHelpText('after', EXAMPLES)
    .action(serve);
}

function addApprover(
  text: string,
  known: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, readonly string[]> {
  const [user, groups, more] = text.split('=');
  if (!user || !groups || more !== undefined)
    throw new InvalidArgumentError('Write USER=GROUP or USER=GROUP,GROUP.');
  return new Map([...known, [user, groups.split(',').filter((group) => group !== '')]]);
}

async function serve(options: ServeOptions): Promise<void> {
  const log = pino(
    { level: options.logLevel, base: null, redact: ['password', '*.password'] },
    pino.destination({ dest: 2, sync: true }),
  );
  const loading = loadParser();
  const loaded = await loadManifests(options.manifests);
  const first = read(loaded);
  if (first.kind === 'invalid') {
    // Expressions of policies that are well-formed otherwise are checked too: all errors at once.
    complain(loaded.kind === 'invalid' ? (await readPolicyFiles(options.manifests)).errors : first.errors);
    process.exitCode = 2;
    return;
  }
  for (const warning of first.configuration.warnings) log.warn(warning);
  const started = await start(options, first.configuration, log, loading);
  if (!started) {
    process.exitCode = 1;
    return;
  }
  const { enforcement, approvals, lock, listening } = started;
  const watcher = watchManifests(options.manifests, (result) => change(enforcement, result, log), {
    since: loaded.digest,
    references: 'checked',
  });
  const stop = async (signal: string): Promise<void> => {
    log.info({ signal }, 'stopping');
    await watcher.close();
    await enforcement.close('serve was stopped');
    await approvals.close();
    lock.release();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop(signal));
  announce(listening);
  process.stdout.write('ready\n');
}

interface Started {
  readonly enforcement: Enforcement;
  readonly approvals: FileApprovals;
  readonly lock: StateLock;
  readonly listening: readonly Listening[];
}

/** Undefined, with the reason in the log, when it could not start. */
async function start(
  options: ServeOptions,
  configuration: Configuration,
  log: Logger,
  parser: Promise<void>,
): Promise<Started | undefined> {
  let approvals: FileApprovals | undefined;
  let lock: StateLock | undefined;
  try {
    const state = resolve(options.state);
    await mkdir(state, { recursive: true, mode: 0o700 });
    const group = options.approverGroup === undefined ? null : await groupId(options.approverGroup);
    lock = await lockState(state);
    // Members go through the folder to approvals; they can list nothing in it.
    if (group !== null) await shareFolder(state, group);
    const signer = await loadSigner(state);
    const store = new DirectoryStore(join(state, 'recordings'));
    for (const recovery of await recoverRecordings(store, signer))
      log.warn({ recovery }, 'a recording of an interrupted session');
    approvals = new FileApprovals({ state, approvers: options.approver, group, log });
    await parser;
    const enforcement = new Enforcement(
      { log, approvals, openRecording: recordInto(store, signer) },
      configuration,
    );
    return { enforcement, approvals, lock, listening: await enforcement.start() };
  } catch (error) {
    if (error instanceof StateInUse || error instanceof UnknownGroup) log.fatal(error.message);
    else log.fatal({ err: error }, 'serve could not start');
    await approvals?.close();
    lock?.release();
    return undefined;
  }
}

async function shareFolder(state: string, group: number): Promise<void> {
  await chown(state, -1, group);
  await chmod(state, 0o710);
}

function announce(listening: readonly Listening[]): void {
  for (const { name, address, port } of listening) process.stdout.write(`ready ${name} ${address}:${port}\n`);
}

type Read =
  | { readonly kind: 'configured'; readonly configuration: Configuration }
  | { readonly kind: 'invalid'; readonly errors: readonly ManifestError[] };

function read(loaded: LoadResult): Read {
  return loaded.kind === 'invalid' ? loaded : configure(loaded.manifests);
}

async function change(enforcement: Enforcement, result: LoadResult, log: Logger): Promise<void> {
  const changed = read(result);
  if (changed.kind === 'invalid') {
    const errors = formatManifestErrors(changed.errors);
    log.error(
      { errors: changed.errors.length },
      `the changed manifests are refused, and the old ones stay in force:\n${errors}`,
    );
    enforcement.keepOld(
      `refused: ${createHash('sha256').update(errors).digest('hex').slice(0, 12)}, ${changed.errors.length} errors`,
    );
    return;
  }
  for (const warning of changed.configuration.warnings) log.warn(warning);
  announce(await enforcement.apply(changed.configuration));
  log.info({ policies: changed.configuration.digests }, 'the changed manifests are in force');
}

function complain(errors: readonly ManifestError[]): void {
  process.stderr.write(
    `${formatManifestErrors(errors)}\n${errors.length} ${errors.length === 1 ? 'error' : 'errors'} in the manifests\n`,
  );
}
