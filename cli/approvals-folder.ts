/** The state folder as the commands see it: they read approvals and put decisions there, `serve` does the rest. */
import { randomUUID } from 'node:crypto';
import { chmod, lstat, open, readdir, readFile, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Approval } from '../crds/approval.ts';
import { isMissing, type WrittenDecision } from '../sidecar/approval/decision-file.ts';
import { isApprovalName, matchingNames } from '../sidecar/approval/name.ts';
import { APPROVALS, DECISIONS, RECEIPTS, readApproval, type Receipt } from '../sidecar/approval/store.ts';

/** Why a command ends without having done what it was to do. */
export class CommandError extends Error {
  /** 1 refused by serve, 2 wrong usage, 4 not found. */
  readonly exitCode: 1 | 2 | 4;

  constructor(exitCode: 1 | 2 | 4, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

const ANSWER_MS = 5_000;
const LOOK_EVERY_MS = 15;

export function approvalsFolder(state: string): string {
  return join(state, APPROVALS);
}

/** All that can be read; names of those that cannot, to be told and not passed over in silence. */
export async function readApprovals(
  state: string,
): Promise<{ readonly approvals: readonly Approval[]; readonly unreadable: readonly string[] }> {
  const approvals: Approval[] = [];
  const unreadable: string[] = [];
  for (const name of await names(state)) {
    try {
      approvals.push(readApproval(join(state, APPROVALS, `${name}.json`)));
    } catch (error) {
      // One that was collected since is simply gone.
      if (!isMissing(error)) unreadable.push(name);
    }
  }
  return { approvals, unreadable };
}

async function names(state: string): Promise<readonly string[]> {
  try {
    const files = await readdir(join(state, APPROVALS));
    return files
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -5))
      .filter(isApprovalName);
  } catch (error) {
    if (isMissing(error)) {
      throw new CommandError(
        2,
        `no approvals in ${state}: name the folder of \`sidewarden serve\` with --state`,
      );
    }
    throw new CommandError(2, `${join(state, APPROVALS)} cannot be read: ${reasonOf(error)}`);
  }
}

/** The one that is meant by what was typed: a whole name, or a beginning that only one has, of the pending ones first. */
export async function findApproval(state: string, typed: string): Promise<Approval> {
  const all = await names(state);
  const matching = matchingNames(typed, all);
  const [only] = matching;
  if (only === undefined) throw new CommandError(4, `there is no approval ${typed}`);
  const found =
    matching.length === 1 ? [readOne(state, only)] : pendingOf(matching.map((name) => readOne(state, name)));
  const [approval] = found;
  if (approval === undefined || found.length > 1) {
    const some = (found.length > 1 ? found.map(({ metadata }) => metadata.name) : matching).slice(0, 10);
    throw new CommandError(2, `${typed} can mean ${some.join(', ')}`);
  }
  return approval;
}

function pendingOf(approvals: readonly Approval[]): readonly Approval[] {
  return approvals.filter(({ status }) => status?.phase === 'Pending');
}

function readOne(state: string, name: string): Approval {
  try {
    return readApproval(join(state, APPROVALS, `${name}.json`));
  } catch (error) {
    if (isMissing(error)) throw new CommandError(4, `there is no approval ${name}`);
    throw new CommandError(2, `approval ${name} cannot be read: ${reasonOf(error)}`);
  }
}

/** Puts the decision there as a whole and waits for what `serve` makes of it. Takes it back when there is no answer. */
export async function submitDecision(state: string, decision: WrittenDecision): Promise<Receipt> {
  const id = randomUUID();
  const path = join(state, DECISIONS, `${id}.json`);
  await put(join(state, DECISIONS, `.${id}.tmp`), path, decision);
  const receipt = await answer(state, id);
  if (receipt !== null) return receipt;
  try {
    await unlink(path);
  } catch (error) {
    if (!isMissing(error))
      throw new CommandError(1, `no answer, and the decision cannot be taken back: ${reasonOf(error)}`);
    // Taken by serve at the last moment: then the answer is near.
    const late = await answer(state, id);
    if (late !== null) return late;
    throw new CommandError(1, 'serve took the decision but has not answered: look with `approvals show`');
  }
  throw new CommandError(
    1,
    `no answer within 5s, the decision was taken back: is \`sidewarden serve --state ${state}\` running?`,
  );
}

async function put(temporary: string, path: string, decision: WrittenDecision): Promise<void> {
  const { reason, modified, ...rest } = decision;
  const content = {
    ...rest,
    ...(reason === '' ? {} : { reason }),
    ...(modified === null ? {} : { modified }),
  };
  try {
    const file = await open(temporary, 'wx', 0o640);
    try {
      await file.writeFile(JSON.stringify(content));
    } finally {
      await file.close();
    }
    // Whatever the umask: serve may be another user, who reads it by the folder's group.
    await chmod(temporary, 0o640);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new CommandError(1, `the decision cannot be written: ${reasonOf(error)}`);
  }
}

async function answer(state: string, id: string): Promise<Receipt | null> {
  const path = join(state, RECEIPTS, `${id}.json`);
  const end = Date.now() + ANSWER_MS;
  while (Date.now() < end) {
    try {
      await lstat(path);
      // Only serve writes there, and exactly this.
      return JSON.parse(await readFile(path, 'utf8')) as Receipt;
    } catch (error) {
      if (!isMissing(error)) throw new CommandError(1, `the answer cannot be read: ${reasonOf(error)}`);
    }
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
  return null;
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
