/** `approvals list`: what waits for a person, once or as it changes. */
import { watch } from 'node:fs';
import type { Approval } from '../crds/approval.ts';
import { displayJson, escapeLine } from '../sidecar/approval/display.ts';
import { approvalsFolder, readApprovals } from './approvals-folder.ts';
import { listApprovals, type Screen } from './approvals-view.ts';

export interface ListOptions {
  readonly state: string;
  readonly all?: boolean;
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Ends with the program when it watches. */
export async function list(options: ListOptions, screen: () => Screen): Promise<void> {
  const first = await selected(options);
  if (options.watch !== true) {
    process.stdout.write(
      options.json === true ? `${displayJson(first, 2)}\n` : listApprovals(first, screen()),
    );
    return;
  }
  const show = options.json === true ? changes() : table(screen);
  show(first);
  await keepShowing(options, show);
}

async function selected({ state, all }: ListOptions): Promise<readonly Approval[]> {
  const { approvals, unreadable } = await readApprovals(state);
  for (const name of unreadable) process.stderr.write(`${escapeLine(name)} cannot be read\n`);
  return byUrgency(approvals, all === true);
}

export function byUrgency(approvals: readonly Approval[], all: boolean): readonly Approval[] {
  const chosen = approvals.filter(({ status }) => all || (status?.phase ?? 'Pending') === 'Pending');
  return chosen.toSorted(
    (one, other) => rank(one) - rank(other) || one.metadata.name.localeCompare(other.metadata.name),
  );
}

/** Pending ones first, the most urgent on top; then the newest of the others. */
function rank({ status, spec }: Approval): number {
  const { expiresAt, createdAt } = spec.request;
  return (status?.phase ?? 'Pending') === 'Pending' ? Date.parse(expiresAt) - 1e15 : -Date.parse(createdAt);
}

type Show = (approvals: readonly Approval[]) => void;

export function table(screen: () => Screen): Show {
  let last = '';
  return (approvals) => {
    const text = listApprovals(approvals, screen());
    if (process.stdout.isTTY) process.stdout.write(`\x1b[H\x1b[2J${text}`);
    else if (text !== last) process.stdout.write(`${text}\n`);
    last = text;
  };
}

/** One line of JSON for each approval that is new or has changed. */
export function changes(): Show {
  const seen = new Map<string, string>();
  return (approvals) => {
    for (const approval of approvals) {
      const line = displayJson(approval);
      const key = `${approval.metadata.namespace ?? ''}/${approval.metadata.name}`;
      if (seen.get(key) === line) continue;
      seen.set(key, line);
      process.stdout.write(`${line}\n`);
    }
  };
}

async function keepShowing(options: ListOptions, show: Show): Promise<never> {
  let wake: () => void = () => undefined;
  const watcher = watch(approvalsFolder(options.state), () => wake());
  watcher.on('error', () => undefined);
  for (;;) {
    // The time that is left changes each second on a terminal; elsewhere this is for events that get lost.
    await new Promise<void>((done) => {
      const timer = setTimeout(done, process.stdout.isTTY ? 1_000 : 2_000);
      wake = () => {
        clearTimeout(timer);
        done();
      };
    });
    show(await selected(options));
  }
}
