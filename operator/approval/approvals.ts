/** Approvals of runs, for the broker: asked for, ended, and their outcomes pushed the moment the cache shows a decision. */
import type { Logger } from 'pino';
import type { Approval } from '../../crds/approval.ts';
import type { VoidReason } from '../../sidecar/approval/gateway.ts';
import { describePhase } from '../../sidecar/approval/judge.ts';
import { askerOf, type Asker } from '../../sidecar/approval/limits.ts';
import { newApprovalName } from '../../sidecar/approval/name.ts';
import { used, voided } from '../../sidecar/approval/object.ts';
import type { ApprovalAnswer, ApprovalEnd, ApprovalMessage } from '../../sidecar/broker/protocol.ts';
import { APPROVALS, KubeError, type Kube, type KubeObject } from '../kube/kube.ts';
import { readApproval } from '../kube/read.ts';
import { outcomeOf, type ToldOutcome } from './outcome.ts';
import { PendingHolds } from './pending-holds.ts';
import { type ApprovalRun, requestedApproval } from './request.ts';
import { ownerReference, sessionOf, type SessionRef } from './session-owner.ts';
import { isOver, settled, withStatusOf } from './settling.ts';
import type { Stamper } from './stamp.ts';

export type OutcomeListener = (approval: string, outcome: ToldOutcome) => void;

export interface Approvals {
  /** Makes the Approval. Rejects never: what cannot be asked is refused. */
  ask(run: ApprovalRun, message: ApprovalMessage): Promise<ApprovalAnswer>;
  /** Idempotent; nothing happens for one of another session. Rejects with a `KubeError` when it cannot be written: say it again. */
  end(run: Pick<ApprovalRun, 'session'>, end: ApprovalEnd): Promise<void>;
  /**
   * Calls the listener with each outcome of the session, once: at first with those that are there already and neither used nor
   * void, so that a sidecar that was connected to nobody misses none. Returns how to stop.
   */
  outcomes(run: Pick<ApprovalRun, 'session'>, listener: OutcomeListener): () => void;
  close(): void;
}

export interface ApprovalsOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'create' | 'patch' | 'event'>;
  readonly stamper: Stamper;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

interface Subscription {
  readonly listener: OutcomeListener;
  readonly told: Set<string>;
}

export function createApprovals(options: ApprovalsOptions): Approvals {
  return new ClusterApprovals(options);
}

const NAME_ATTEMPTS = 4;
const WRITE_ATTEMPTS = 5;

class ClusterApprovals implements Approvals {
  readonly #kube: ApprovalsOptions['kube'];
  readonly #stamper: Stamper;
  readonly #log: ApprovalsOptions['log'];
  readonly #clock: () => number;
  readonly #holds = new PendingHolds();
  /** By uid of the Session. */
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  readonly #stop: () => void;

  constructor({ kube, stamper, log, clock = Date.now }: ApprovalsOptions) {
    this.#kube = kube;
    this.#stamper = stamper;
    this.#log = log;
    this.#clock = clock;
    this.#stop = kube.stores.approvals.watch((_key, object, old) => this.#changed(object, old));
  }

  async ask(run: ApprovalRun, message: ApprovalMessage): Promise<ApprovalAnswer> {
    const again = this.#sameAsked(run.session, message);
    if (again !== undefined) return pending(again);
    const requested = requestedApproval(run, message, this.#kube.stores.policies, this.#clock());
    if (requested.kind === 'refused') return refused(requested.denial);
    const asker = askerOf(requested.approval, run.connection.spec.limits.maxPendingApprovals);
    const denial = this.#holds.begin(asker);
    if (denial !== null) return refused(denial);
    return this.#make(requested.approval, run.session, asker);
  }

  async end({ session }: Pick<ApprovalRun, 'session'>, { name, how }: ApprovalEnd): Promise<void> {
    for (let attempt = 0; attempt < WRITE_ATTEMPTS; attempt += 1) {
      const object = await this.#kube.get(APPROVALS, session.namespace, name);
      const approval = object === undefined ? undefined : this.#parsed(object);
      if (approval === undefined || sessionOf(approval)?.uid !== session.uid) return;
      if (isOver(approval.status?.phase)) return;
      const written = await this.#writeEnd(approval, how);
      if (written.kind === 'written') this.#tellEnd(written.object);
      if (written.kind === 'written' || written.kind === 'not-found') return;
      if (written.kind === 'rejected') throw new KubeError(written.message, undefined);
    }
    throw new KubeError(`approval ${name} is changed too often to be ended`, undefined);
  }

  outcomes({ session }: Pick<ApprovalRun, 'session'>, listener: OutcomeListener): () => void {
    const subscription = { listener, told: new Set<string>() };
    const all = this.#subscriptions.get(session.uid) ?? new Set();
    all.add(subscription);
    this.#subscriptions.set(session.uid, all);
    for (const object of this.#kube.stores.approvals.list(session.namespace)) {
      const approval = this.#parsed(object);
      if (approval === undefined || sessionOf(approval)?.uid !== session.uid) continue;
      this.#tell(subscription, approval, outcomeOf(approval, this.#stamper));
    }
    return () => {
      all.delete(subscription);
      if (all.size === 0 && this.#subscriptions.get(session.uid) === all)
        this.#subscriptions.delete(session.uid);
    };
  }

  close(): void {
    this.#stop();
    this.#subscriptions.clear();
  }

  /** A sidecar that has lost the answer asks again. Only one that nobody has decided: what was approved once must not run twice. */
  #sameAsked(session: SessionRef, message: ApprovalMessage): Approval | undefined {
    for (const object of this.#kube.stores.approvals.list(session.namespace)) {
      const approval = this.#parsed(object);
      if (approval === undefined || sessionOf(approval)?.uid !== session.uid) continue;
      const { request, decision } = approval.spec;
      if (request.recording !== message.recording || request.digest !== message.digest) continue;
      const phase = approval.status?.phase ?? 'Pending';
      const open = this.#clock() < Date.parse(request.expiresAt);
      if (decision === undefined && phase === 'Pending' && open) return approval;
    }
    return undefined;
  }

  async #make(approval: Approval, session: SessionRef, asker: Asker): Promise<ApprovalAnswer> {
    let why = 'no name is free';
    try {
      for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt += 1) {
        const made = await this.#kube.create(APPROVALS, objectOf(approval, session));
        if (made.kind === 'written') {
          const { uid, name } = made.object.metadata;
          this.#holds.made(uid, asker);
          const { expiresAt } = approval.spec.request;
          this.#log.info({ approval: name, session: session.name, expiresAt }, 'approval asked for');
          return { kind: 'pending', name, expiresAt };
        }
        if (made.kind !== 'conflict') {
          why = made.kind === 'rejected' ? made.message : 'its namespace is gone';
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      why = error.message;
    }
    this.#holds.failed(asker);
    this.#log.warn({ session: session.name, why }, 'an approval could not be made');
    return refused({
      code: 'internal',
      message: 'the approval could not be stored',
      detail: 'Nothing goes forward that nobody can be asked about.',
      hint: 'Try again; tell the platform team when it lasts.',
    });
  }

  #writeEnd(approval: Approval, how: ApprovalEnd['how']) {
    const now = this.#clock();
    const before = settled(approval, { now, session: 'live', stamper: this.#stamper });
    const after = isOver(before.status?.phase) ? before : ended(before, how, now);
    const { name, namespace = '', uid, resourceVersion } = approval.metadata;
    const { status } = withStatusOf(approval, after);
    return this.#kube.patch(
      APPROVALS,
      namespace,
      name,
      { metadata: { uid, resourceVersion }, status },
      'status',
    );
  }

  #tellEnd(object: KubeObject): void {
    const approval = this.#parsed(object);
    const phase = approval?.status?.phase;
    if (approval === undefined || phase === undefined) return;
    this.#kube.event(object, phase === 'Used' ? 'Normal' : 'Warning', phase, describePhase(approval));
  }

  #changed(object: KubeObject | undefined, old: KubeObject | undefined): void {
    if (object === undefined) {
      if (old !== undefined) this.#holds.gone(old.metadata.uid);
      return;
    }
    const approval = this.#parsed(object);
    if (approval === undefined) return;
    const outcome = outcomeOf(approval, this.#stamper);
    this.#holds.seen(approval, outcome, this.#clock());
    for (const subscription of this.#subscriptions.get(sessionOf(approval)?.uid ?? '') ?? [])
      this.#tell(subscription, approval, outcome);
  }

  #tell({ listener, told }: Subscription, { metadata }: Approval, outcome: ToldOutcome | undefined): void {
    if (outcome === undefined || told.has(metadata.name)) return;
    told.add(metadata.name);
    listener(metadata.name, outcome);
  }

  #parsed(object: KubeObject): Approval | undefined {
    const parsed = readApproval(object);
    if (parsed.kind === 'parsed') return parsed.value;
    const { namespace, name } = object.metadata;
    this.#log.warn({ approval: `${namespace}/${name}` }, 'an approval cannot be read and does not count');
    return undefined;
  }
}

/** As it is sent to the API server. */
function objectOf({ apiVersion, kind, metadata, spec }: Approval, session: SessionRef): unknown {
  const { namespace } = metadata;
  const name = newApprovalName(spec.request.connection);
  const owned = { name, namespace, ownerReferences: [ownerReference(session)] };
  return { apiVersion, kind, metadata: owned, spec: { request: spec.request } };
}

function ended(approval: Approval, how: ApprovalEnd['how'], now: number): Approval {
  if (how === 'used') return used(approval, now);
  const why: VoidReason = how;
  return voided(approval, why, now);
}

function pending({ metadata, spec }: Approval): ApprovalAnswer {
  return { kind: 'pending', name: metadata.name, expiresAt: spec.request.expiresAt };
}

function refused(denial: {
  readonly code: string;
  readonly message: string;
  readonly detail: string;
  readonly hint: string;
}): ApprovalAnswer {
  return { kind: 'refused', denial: { ...denial, code: codeOf(denial.code) } };
}

type Code = NonNullable<ApprovalAnswer['denial']>['code'];

function codeOf(code: string): Code {
  const known: readonly Code[] = ['denied', 'approval-denied', 'unsupported', 'internal'];
  return known.find((one) => one === code) ?? 'internal';
}
