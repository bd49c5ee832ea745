/**
 * The gateway without a cluster: the state folder plays the API server. `serve` writes the `Approval` objects, people put
 * decision files beside them, and the operating system says who they are.
 */
import { randomUUID } from 'node:crypto';
import type { Approval } from '../../crds/approval.ts';
import type { Denial } from '../operation.ts';
import { approverOf, type Approver, type ApproverGroups } from './approver.ts';
import type { WrittenDecision } from './decision-file.ts';
import {
  VOID_REASONS,
  type ApprovalGateway,
  type ApprovalOutcome,
  type ApprovalRequest,
  type DecidedBy,
  type PendingApproval,
  type RefusedApproval,
  type VoidReason,
} from './gateway.ts';
import { Inbox, type ApprovalLog, type Take } from './inbox.ts';
import { describePhase, judge, whoIsNeeded, type OwnIdentity } from './judge.ts';
import { type Asker, askerOf, HoldLimits } from './limits.ts';
import { newApprovalName } from './name.ts';
import {
  decided,
  expired,
  newApproval,
  partlyApproved,
  sameOperationKey,
  shortestTimeout,
  shownDigest,
  used,
  voided,
} from './object.ts';
import { Archive } from './archive.ts';
import { ApprovalStore, type Receipt } from './store.ts';

export interface FileApprovalsOptions {
  /** The `--state` folder. */
  readonly state: string;
  /** Further groups by name of the operating system's user: `--approver USER=GROUP,GROUP`. */
  readonly approvers: ApproverGroups;
  readonly log: ApprovalLog;
  /** Id of the operating system's group whose members see approvals and can decide; null for the own user only. */
  readonly group?: number | null;
  /** How long ended approvals are kept, in milliseconds; 7 days when not given. */
  readonly retention?: number;
  /** How many ended approvals are kept; 500 when not given. */
  readonly maxEnded?: number;
}

/** One that can still be decided or used. */
interface Live {
  approval: Approval;
  readonly asker: Asker;
  readonly own: OwnIdentity;
  readonly shown: string;
  readonly timeout: number;
  readonly settle: (outcome: ApprovalOutcome) => void;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
  timer: NodeJS.Timeout | undefined;
}

export class FileApprovals implements ApprovalGateway {
  readonly #store: ApprovalStore;
  readonly #archive: Archive;
  readonly #approvers: ApproverGroups;
  readonly #log: ApprovalLog;
  readonly #limits = new HoldLimits();
  readonly #live = new Map<string, Live>();
  readonly #inbox: Inbox;
  #closed = false;

  /** Throws when the folder cannot be used. What was pending before becomes void: its connections are gone. */
  constructor(options: FileApprovalsOptions) {
    this.#approvers = options.approvers;
    this.#log = options.log;
    this.#store = new ApprovalStore(options.state, options.group ?? null);
    this.#archive = new Archive(this.#store, options);
    this.#inbox = new Inbox(this.#store.decisions, this.#take, options.log);
  }

  request(request: ApprovalRequest, signal: AbortSignal): PendingApproval | RefusedApproval {
    if (this.#closed) return refused(INTERNAL, 'approvals are closed', 'serve is shutting down');
    if (request.requirements.length === 0) return refused(INTERNAL, 'the hold names no rule', '');
    const name = this.#freeName(request.connection.name);
    const made = newApproval(name, randomUUID(), request, Date.now());
    if (made.kind === 'unfit') {
      const hint = 'Make it shorter, or split it.';
      return refused('unsupported', 'this operation cannot be held for an approval', made.why, hint);
    }
    const { approval } = made;
    const asker = askerOf(
      { namespace: request.connection.namespace, ...approval.spec.request },
      request.maxPending,
    );
    const now = performance.now();
    const denial =
      this.#limits.deniedBefore(sameOperationKey(approval), now) ?? this.#limits.begin(asker, now);
    if (denial !== null) {
      this.#log.info({ connection: request.connection.name, session: request.session }, denial.message);
      return { kind: 'refused', denial };
    }
    if (!this.#write(approval)) {
      this.#limits.ended(asker);
      return refused(
        INTERNAL,
        'the approval could not be stored',
        'nothing goes forward that nobody can be asked about',
      );
    }
    return this.#wait(approval, asker, request, signal);
  }

  used(name: string): boolean {
    const live = this.#live.get(name);
    const phase = live?.approval.status?.phase;
    if (live === undefined || (phase !== 'Approved' && phase !== 'Modified')) return false;
    const after = used(live.approval, Date.now());
    // Not on disk as used means that it might seem good for another time: then not even this once.
    const written = this.#write(after);
    this.#end(live, written ? after : voided(live.approval, 'SessionEnded', Date.now()), written);
    return written;
  }

  void(name: string, why: VoidReason): void {
    const live = this.#live.get(name);
    if (live === undefined) return;
    this.#end(live, voided(live.approval, why, Date.now()));
    live.settle({ kind: 'void', why });
  }

  /** Makes void what is not decided and used yet, and stops watching. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const name of [...this.#live.keys()]) this.void(name, 'SessionEnded');
    this.#archive.close();
    await this.#inbox.close();
  }

  #wait(approval: Approval, asker: Asker, request: ApprovalRequest, signal: AbortSignal): PendingApproval {
    const { name } = approval.metadata;
    const { promise, resolve } = Promise.withResolvers<ApprovalOutcome>();
    const timeout = shortestTimeout(request.requirements);
    const live: Live = {
      approval,
      asker,
      own: ownIdentity(request),
      shown: shownDigest(approval.spec.request),
      timeout,
      settle: resolve,
      signal,
      onAbort: () => this.void(name, voidReason(signal.reason)),
      timer: setTimeout(() => this.#expire(name), timeout),
    };
    this.#live.set(name, live);
    this.#log.info(
      { approval: name, session: request.session, expiresAt: approval.spec.request.expiresAt },
      'approval asked for',
    );
    signal.addEventListener('abort', live.onAbort, { once: true });
    if (signal.aborted) live.onAbort();
    return { kind: 'pending', name, expiresAt: approval.spec.request.expiresAt, outcome: promise };
  }

  #expire(name: string): void {
    const live = this.#live.get(name);
    if (live?.approval.status?.phase !== 'Pending') return;
    this.#end(live, expired(live.approval, Date.now()));
    live.settle({ kind: 'expired', after: live.timeout });
  }

  /** It is over: nothing can be decided or used any more, whether or not that could be written. */
  #end(live: Live, approval: Approval, written = false): void {
    const { name } = approval.metadata;
    clearTimeout(live.timer);
    live.signal.removeEventListener('abort', live.onAbort);
    if (live.approval.status?.phase === 'Pending') this.#limits.ended(live.asker);
    live.approval = approval;
    this.#live.delete(name);
    if (!written) this.#write(approval);
    this.#archive.add(name, Date.now());
    this.#log.info({ approval: name, phase: approval.status?.phase }, describePhase(approval));
  }

  readonly #take: Take = async (id, read) => {
    if (read.kind === 'invalid') {
      this.#log.warn({ decision: id, why: read.why }, 'a decision was refused');
      this.#answer(id, { approval: '', accepted: false, message: read.why, phase: '', by: '' });
      return;
    }
    const approver = await approverOf(read.uid, this.#approvers);
    const answer = this.#decide(read.decision, approver);
    const receipt: Receipt = { approval: read.decision.approval, by: approver.username, ...answer };
    const fields = {
      approval: receipt.approval,
      by: receipt.by,
      uid: read.uid,
      verdict: read.decision.verdict,
    };
    if (answer.accepted) this.#log.info(fields, `decision: ${answer.message}`);
    else this.#log.warn(fields, `a decision was refused: ${answer.message}`);
    this.#answer(id, receipt);
  };

  #decide(written: WrittenDecision, approver: Approver): Pick<Receipt, 'accepted' | 'message' | 'phase'> {
    const live = this.#live.get(written.approval);
    const approval = live?.approval ?? this.#store.read(written.approval);
    if (approval === null)
      return { accepted: false, message: `there is no approval ${written.approval}`, phase: '' };
    const { request } = approval.spec;
    const phase = approval.status?.phase ?? '';
    if (written.digest !== request.digest || written.shown !== (live?.shown ?? shownDigest(request))) {
      const message = 'what was shown to you is not what is held: look at it again';
      return { accepted: false, message, phase };
    }
    const own = live?.own ?? { names: [request.identity.username, request.identity.subject], uids: [] };
    const by = { ...approver, uid: String(approver.uid) };
    const now = Date.now();
    const judged = judge(approval, own, by, written, now);
    if (judged.kind !== 'counts')
      return { accepted: judged.kind === 'again', message: judged.message, phase };
    if (live === undefined) return { accepted: false, message: 'too late: it is over', phase };
    const { reason, modified, verdict } = written;
    return this.#apply(live, {
      by,
      verdict,
      reason,
      modified,
      holds: judged.holds,
      awaiting: judged.awaiting,
      at: now,
    });
  }

  #apply(live: Live, given: Parameters<typeof decided>[1]): Pick<Receipt, 'accepted' | 'message' | 'phase'> {
    const partly = given.awaiting.length > 0;
    const after = partly ? partlyApproved(live.approval, given) : decided(live.approval, given);
    if (!this.#write(after))
      return { accepted: false, message: 'the decision could not be stored', phase: 'Pending' };
    const phase = after.status?.phase ?? '';
    if (partly) {
      live.approval = after;
      return { accepted: true, message: `approved; still needed: ${whoIsNeeded(after)}`, phase };
    }
    if (given.verdict === 'Deny') this.#remember(live, given);
    this.#settle(live, after, given);
    return { accepted: true, message: describePhase(after), phase };
  }

  #settle(live: Live, after: Approval, given: Parameters<typeof decided>[1]): void {
    if (given.verdict === 'Deny') this.#end(live, after, true);
    else {
      clearTimeout(live.timer);
      this.#limits.ended(live.asker);
      live.approval = after;
    }
    live.settle(outcomeOf(after, given));
  }

  #remember({ approval }: Live, { by, reason }: Parameters<typeof decided>[1]): void {
    const at = performance.now();
    const { name } = approval.metadata;
    this.#limits.denied(sameOperationKey(approval), { name, by: by.username, reason, at });
  }

  #answer(id: string, receipt: Receipt): void {
    try {
      this.#store.writeReceipt(id, receipt);
    } catch (error) {
      this.#log.error({ err: error, decision: id }, 'a receipt could not be written');
    }
  }

  #write(approval: Approval): boolean {
    try {
      this.#store.write(approval);
      return true;
    } catch (error) {
      this.#log.error({ err: error, approval: approval.metadata.name }, 'an approval could not be written');
      return false;
    }
  }

  #freeName(connection: string): string {
    for (;;) {
      const name = newApprovalName(connection);
      if (!this.#live.has(name) && !this.#archive.has(name)) return name;
    }
  }
}

const INTERNAL: Denial['code'] = 'internal';

function refused(
  code: Denial['code'],
  message: string,
  detail: string,
  hint = 'Tell the platform team.',
): RefusedApproval {
  return { kind: 'refused', denial: { code, message, detail, hint } };
}

function outcomeOf(
  after: Approval,
  { verdict, by, reason, modified }: Parameters<typeof decided>[1],
): ApprovalOutcome {
  const at = after.status?.decidedAt ?? '';
  const decider: DecidedBy = { username: by.username, uid: by.uid };
  switch (verdict) {
    case 'Deny':
      return { kind: 'denied', by: decider, at, reason };
    case 'Modify':
      return { kind: 'modified', text: modified ?? '', by: [decider], at, reason };
    case 'Approve': {
      const others = (after.spec.approvals ?? []).map(({ by: { username, uid = '' } }) => ({
        username,
        uid,
      }));
      return { kind: 'approved', by: [...others, decider], at, reason };
    }
  }
}

function ownIdentity({ identity, clientUid }: ApprovalRequest): OwnIdentity {
  const claimed = Number(identity.claims['uid'] ?? Number.NaN);
  const uids = [clientUid, claimed].filter((uid) => uid !== undefined && Number.isSafeInteger(uid));
  return { names: [identity.username, identity.subject], uids: uids.map(String) };
}

function voidReason(reason: unknown): VoidReason {
  return VOID_REASONS.find((known) => known === reason) ?? 'ClientDisconnected';
}
