/** `kubectl sidewarden approvals`: what waits for a person, once or as it changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Approval } from '../../crds/approval.ts';
import { displayJson } from '../../sidecar/approval/display.ts';
import { byUrgency, changes, table } from '../approvals-list.ts';
import { CommandError } from '../approvals-folder.ts';
import { listApprovals, type Screen } from '../approvals-view.ts';
import type { Changed, Cluster } from './cluster.ts';
import { readAll, readOne } from './find.ts';

export interface ListOptions {
  readonly all?: boolean;
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Ends with the program when it watches. */
export async function list(cluster: Cluster, options: ListOptions, screen: () => Screen): Promise<void> {
  if (options.watch === true) return keepShowing(cluster, options, screen);
  const { items } = await cluster.list('approvals');
  const chosen = byUrgency(readAll(items), options.all === true);
  process.stdout.write(
    options.json === true ? `${displayJson(chosen, 2)}\n` : listApprovals(chosen, screen()),
  );
}

const AGAIN_MS = 1_000;

async function keepShowing(cluster: Cluster, options: ListOptions, screen: () => Screen): Promise<never> {
  const show = options.json === true ? changes() : table(screen);
  const known = new Map<string, Approval>();
  const render = () => show(byUrgency([...known.values()], options.all === true || options.json === true));
  // The time that is left changes each second.
  if (process.stdout.isTTY && options.json !== true) setInterval(render, AGAIN_MS).unref();
  let first = true;
  for (;;) {
    try {
      await follow(cluster, known, render);
    } catch (error) {
      if (first || !(error instanceof CommandError)) throw error;
      process.stderr.write(`${error.message}\n`);
    }
    first = false;
    await sleep(AGAIN_MS);
  }
}

/** Until the API server ends it, or the version is too old. */
async function follow(cluster: Cluster, known: Map<string, Approval>, render: () => void): Promise<void> {
  const { items, resourceVersion } = await cluster.list('approvals');
  known.clear();
  for (const approval of readAll(items)) known.set(keyOf(approval), approval);
  render();
  await cluster.watch('approvals', resourceVersion, (changed) => {
    if (apply(known, changed)) render();
  });
}

function apply(known: Map<string, Approval>, { type, object }: Changed): boolean {
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') return false;
  const approval = readOne(object);
  if (approval === undefined) return false;
  if (type === 'DELETED') known.delete(keyOf(approval));
  else known.set(keyOf(approval), approval);
  return true;
}

function keyOf({ metadata }: Approval): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
