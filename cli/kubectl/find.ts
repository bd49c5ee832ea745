/** Approvals of a cluster, read as what they are. */
import { parseApproval, type Approval } from '../../crds/approval.ts';
import { escapeLine } from '../../sidecar/approval/display.ts';
import { matchingNames } from '../../sidecar/approval/name.ts';
import { CommandError } from '../approvals-folder.ts';
import type { Cluster } from './cluster.ts';

/** One that cannot be read is told, not passed over in silence. */
export function readAll(items: readonly unknown[]): readonly Approval[] {
  return items.flatMap((item) => readOne(item) ?? []);
}

export function readOne(item: unknown): Approval | undefined {
  const parsed = parseApproval(item);
  if (parsed.kind === 'parsed') return parsed.value;
  process.stderr.write(
    `${escapeLine(nameOf(item))} cannot be read: is this plugin older than the cluster's Sidewarden?\n`,
  );
  return undefined;
}

function nameOf(item: unknown): string {
  // Only to be shown: whatever is there.
  const { metadata } = item as { readonly metadata?: { readonly name?: unknown } };
  return typeof metadata?.name === 'string' ? metadata.name : 'an approval';
}

/** The one that is meant by what was typed: a whole name, or a beginning that only one has, of the pending ones first. */
export async function findApproval(cluster: Cluster, typed: string): Promise<Approval> {
  if (cluster.namespace === undefined) throw new CommandError(2, 'name a namespace: -n, and not -A');
  const all = readAll((await cluster.list('approvals')).items);
  const names = matchingNames(
    typed,
    all.map(({ metadata }) => metadata.name),
  );
  const matching = all.filter(({ metadata }) => names.includes(metadata.name));
  const open = matching.filter(({ status }) => (status?.phase ?? 'Pending') === 'Pending');
  const [only, ...more] = matching.length > 1 ? open : matching;
  if (only !== undefined && more.length === 0) return only;
  if (matching.length === 0)
    throw new CommandError(4, `there is no approval ${typed} in namespace ${cluster.namespace}`);
  throw new CommandError(2, `${typed} can mean ${names.slice(0, 10).join(', ')}`);
}
