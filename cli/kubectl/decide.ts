/** `kubectl sidewarden approve | deny | modify`: a patch of spec.decision, bound to what was shown. */
import { isDeepStrictEqual } from 'node:util';
import type { Approval } from '../../crds/approval.ts';
import { escapeLine } from '../../sidecar/approval/display.ts';
import type { Verdict } from '../../sidecar/approval/decision-file.ts';
import { describePhase, whoIsNeeded } from '../../sidecar/approval/judge.ts';
import { confirm, reasonFrom, replacement, type NewText } from '../approvals-decide.ts';
import { CommandError } from '../approvals-folder.ts';
import { showApproval, type Screen } from '../approvals-view.ts';
import type { Cluster } from './cluster.ts';
import { findApproval, readOne } from './find.ts';

export interface DecideOptions {
  readonly reason?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export async function approve(
  cluster: Cluster,
  typed: string,
  options: DecideOptions,
  screen: Screen,
): Promise<void> {
  const approval = await findApproval(cluster, typed);
  const asks = process.stdin.isTTY && process.stdout.isTTY && options.yes !== true && options.json !== true;
  if (asks && isOpen(approval)) {
    process.stdout.write(`${showApproval(approval, screen)}\n`);
    const who = await cluster.whoAmI();
    await confirm(`Approve ${approval.metadata.name}${who === undefined ? '' : ` as ${escapeLine(who)}`}?`);
  }
  await decide(cluster, approval, { verdict: 'Approve', modified: null }, options);
}

export async function deny(cluster: Cluster, typed: string, options: DecideOptions): Promise<void> {
  await decide(cluster, await findApproval(cluster, typed), { verdict: 'Deny', modified: null }, options);
}

export async function modify(
  cluster: Cluster,
  typed: string,
  options: DecideOptions & NewText,
  editor: string,
): Promise<void> {
  const approval = await findApproval(cluster, typed);
  const modified = await replacement(approval, options, editor);
  await decide(cluster, approval, { verdict: 'Modify', modified }, options);
}

interface Said {
  readonly verdict: Verdict;
  readonly modified: string | null;
}

const ATTEMPTS = 5;

async function decide(cluster: Cluster, shown: Approval, said: Said, options: DecideOptions): Promise<void> {
  const reason = reasonFrom(options);
  const decision = {
    verdict: said.verdict,
    ...(reason === '' ? {} : { reason }),
    ...(said.modified === null ? {} : { modified: said.modified }),
  };
  let approval = shown;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (!isOpen(approval))
      throw new CommandError(1, `${approval.metadata.name}: too late: ${describePhase(approval)}`);
    const { name, namespace = '', uid, resourceVersion } = approval.metadata;
    const body = { metadata: { uid, resourceVersion }, spec: { decision } };
    const answer = await cluster.patch('approvals', namespace, name, body);
    if (answer.kind === 'patched') return tell(answer.object, name, options);
    approval = await readAgain(cluster, shown);
  }
  throw new CommandError(1, `${shown.metadata.name} is changed too often: try again`);
}

function isOpen({ spec, status }: Approval): boolean {
  return spec.decision === undefined && (status?.phase ?? 'Pending') === 'Pending';
}

/** Its status may change while a person reads; what they were shown may not. */
async function readAgain(cluster: Cluster, shown: Approval): Promise<Approval> {
  const { namespace = '', name, uid } = shown.metadata;
  const now = readOne(await cluster.get('approvals', namespace, name));
  const same = now?.metadata.uid === uid && isDeepStrictEqual(now?.spec.request, shown.spec.request);
  if (now !== undefined && same) return now;
  throw new CommandError(1, `${name} is another approval by now: look at it again`);
}

const DONE = { Approve: 'approved', Deny: 'denied', Modify: 'modified' } as const;

function tell(object: unknown, name: string, { json }: DecideOptions): void {
  const after = readOne(object);
  if (after === undefined) throw new CommandError(1, `${name}: decided, but the answer cannot be read`);
  const { decision, approvals = [] } = after.spec;
  const by = decision?.decidedBy?.username ?? '';
  const needed = decision === undefined ? whoIsNeeded(after) : '';
  if (json === true) {
    const verdict = decision?.verdict ?? null;
    const given = approvals.map((one) => one.by.username);
    process.stdout.write(
      `${JSON.stringify({ approval: name, decided: decision !== undefined, verdict, by, given, needed })}\n`,
    );
    return;
  }
  const said =
    decision === undefined ? `approved; still needed: ${needed}` : `${DONE[decision.verdict]} by ${by}`;
  process.stdout.write(`${name}: ${escapeLine(said)}\n`);
}
