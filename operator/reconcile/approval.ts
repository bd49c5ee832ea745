/**
 * Keeps the status of Approvals: what was decided, that time is up, that nobody waits any more. `approval/settling.ts` has the table of
 * phases; the broker writes Used and Void when a sidecar says so.
 *
 * | Approval | what is done |
 * |---|---|
 * | not over | the status is made what it must be; looked at again at `expiresAt`, to the millisecond |
 * | its Session is ended, another one, or gone (asked live) | Void, unless denied |
 * | over, for less than the TTL | looked at again when that has passed |
 * | over, for the TTL; when nobody has said a word on it, for minutes | deleted |
 * | cannot be read | left alone: it counts nowhere |
 */
import type { Logger } from 'pino';
import type { Approval } from '../../crds/approval.ts';
import { describePhase } from '../../sidecar/approval/judge.ts';
import { sessionOf } from '../approval/session-owner.ts';
import { endedAt, isOver, settled } from '../approval/settling.ts';
import type { Stamper } from '../approval/stamp.ts';
import { APPROVALS, SESSIONS, type Key, type Kube, type KubeObject } from '../kube/kube.ts';
import type { Again } from '../kube/queue.ts';
import { readApproval, readSession } from '../kube/read.ts';
import { writeStatus } from './condition.ts';
import { own, type Controller } from './controller.ts';
import { remove } from './remove.ts';

export interface ApprovalControllerOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'patch' | 'delete' | 'event'>;
  readonly stamper: Stamper;
  /** Milliseconds that an Approval is kept after it is over; 24 hours when not given. One that nobody decided: ten minutes at most. */
  readonly ttl?: number;
  readonly log: Pick<Logger, 'warn'>;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

const DAY_MS = 86_400_000;
/** An agent makes as many as it likes of these, up to a megabyte each, and nobody's word is in them: what it asked is in its recording. */
const UNDECIDED_MS = 600_000;

export function approvalController(options: ApprovalControllerOptions): Controller {
  const { approvals, sessions } = options.kube.stores;
  return {
    name: 'approval',
    sources: [
      own(approvals),
      {
        store: sessions,
        keys: (key, object) => (sessionIsOver(object) ? approvalsOf(approvals.list(key.namespace), key) : []),
      },
    ],
    reconcile: (key) => reconcile(options, key),
  };
}

function approvalsOf(approvals: readonly KubeObject[], session: Key): readonly Key[] {
  return approvals.flatMap((object) => {
    const parsed = readApproval(object);
    const mine = parsed.kind === 'parsed' && parsed.value.spec.request.session === session.name;
    return mine ? [{ namespace: object.metadata.namespace, name: object.metadata.name }] : [];
  });
}

async function reconcile(options: ApprovalControllerOptions, key: Key): Promise<Again | undefined> {
  const { kube, stamper, log, clock = Date.now } = options;
  const object = kube.stores.approvals.get(key.namespace, key.name);
  if (object === undefined || object.metadata.deletionTimestamp !== undefined) return undefined;
  const parsed = readApproval(object);
  if (parsed.kind === 'invalid') {
    log.warn({ ...key }, 'an Approval cannot be read and does not count');
    return undefined;
  }
  const before = parsed.value;
  if (isOver(before.status?.phase)) return collect(options, object, before);
  const session = await sessionState(kube, before);
  const after = settled(before, { now: clock(), session, stamper });
  if (after !== before && (await writeStatus(kube, APPROVALS, object, { ...after.status })))
    tell(kube, object, before, after);
  if (after.status?.phase !== 'Pending') return undefined;
  // Its time may have come since it was judged: then it is judged again at once.
  const left = Date.parse(before.spec.request.expiresAt) - clock();
  return { after: Math.max(left, 1) };
}

/** The cache may not have a new Session yet: that one is gone is asked live. */
async function sessionState(
  kube: ApprovalControllerOptions['kube'],
  approval: Approval,
): Promise<'live' | 'over'> {
  const session = sessionOf(approval);
  if (session === undefined) return 'over';
  const cached = kube.stores.sessions.get(session.namespace, session.name);
  const object =
    cached?.metadata.uid === session.uid ? cached : await kube.get(SESSIONS, session.namespace, session.name);
  return object?.metadata.uid !== session.uid || sessionIsOver(object) ? 'over' : 'live';
}

function sessionIsOver(object: KubeObject | undefined): boolean {
  if (object === undefined || object.metadata.deletionTimestamp !== undefined) return true;
  const parsed = readSession(object);
  // One that cannot be read is not known to have ended: its approvals expire.
  const phase = parsed.kind === 'parsed' ? parsed.value.status?.phase : undefined;
  return phase === 'Ending' || phase === 'Ended';
}

async function collect(
  { kube, ttl = DAY_MS, clock = Date.now }: ApprovalControllerOptions,
  object: KubeObject,
  approval: Approval,
): Promise<Again | undefined> {
  const { decision, approvals = [] } = approval.spec;
  const undecided = decision === undefined && approvals.length === 0;
  const left = endedAt(approval) + (undecided ? Math.min(ttl, UNDECIDED_MS) : ttl) - clock();
  if (left > 0) return { after: left };
  await remove(kube, APPROVALS, object);
  return undefined;
}

function tell(
  kube: ApprovalControllerOptions['kube'],
  object: KubeObject,
  before: Approval,
  after: Approval,
): void {
  const phase = after.status?.phase ?? 'Pending';
  const decided = reasonOf(after);
  if (decided === 'DecisionNotStamped' && reasonOf(before) !== decided) {
    kube.event(object, 'Warning', decided, 'a decision was written past admission: it does not count');
  }
  if (phase === 'Pending' || phase === before.status?.phase) return;
  const type = phase === 'Expired' || phase === 'Void' ? 'Warning' : 'Normal';
  kube.event(object, type, phase, describePhase(after));
}

function reasonOf({ status }: Approval): string | undefined {
  return status?.conditions?.find(({ type }) => type === 'Decided')?.reason;
}
