/** Approvals of runs, for the broker: asked for, ended, and their outcomes pushed the moment the cache shows a decision. */
import { createHash } from 'node:crypto';
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
import { type ApprovalRun, type Requested, requestedApproval } from './request.ts';
import { ownerReference, sessionOf, type SessionRef } from './session-owner.ts';
import { isOver, settled, withStatusOf } from './settling.ts';
import type { Stamper } from './stamp.ts';

export type OutcomeListener = (approval: string, outcome: ToldOutcome) => void;

export interface Approvals {
  /** Makes the Approval. Rejects never: what cannot be asked is refused. */
  ask(run: ApprovalRun, message: ApprovalMessage): Promise<ApprovalAnswer>;
  /** Idempotent; nothing happens for one of another session. Rejects with a `KubeError` when it cannot be written: say it again. */
  end(run: Pick<ApprovalRun, 'session'>, end: ApprovalEnd): Promise<void>;
  /** Makes void all that the session has asked for so far and not used: its sidecar died. Read live. Rejects like `end`. */
  lost(run: Pick<ApprovalRun, 'session'>): Promise<void>;
  /**
   * Calls the listener with each outcome of the session, once: at first with those that are there already and neither used nor
   * void, so that a sidecar that was connected to nobody misses none. Returns how to stop.
   */
  outcomes(run: Pick<ApprovalRun, 'session'>, listener: OutcomeListener): () => void;
  close(): void;
}

export interface ApprovalsOptions {
  readonly kube: Pick<Kube, 'stores' | 'get' | 'list' | 'create' | 'patch' | 'event'>;
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
  /** Names, by uid of the Session. */
  readonly #names = new Map<string, Set<string>>();
  readonly #stop: () => void;

  constructor({ kube, stamper, log, clock = Date.now }: ApprovalsOptions) {
    this.#kube = kube;
    this.#stamper = stamper;
    this.#log = log;
    this.#clock = clock;
    this.#stop = kube.stores.approvals.watch((_key, object, old) => this.#changed(object, old));
  }

  async ask(run: ApprovalRun, message: ApprovalMessage): Promise<ApprovalAnswer> {
    const again = this.#askedBefore(run, message);
    if (again !== undefined) return pending(again);
    // Caps and rates first: they need nothing of the message, and all else takes time for each of its characters.
    const { session, connection, identity } = run;
    const asker = askerOf(
      { namespace: session.namespace, connection: connection.metadata.name, session: session.name, identity },
      connection.spec.limits.maxPendingApprovals,
    );
    const denial = this.#holds.begin(asker);
    if (denial !== null) return refused(denial);
    let requested: Requested | undefined;
    try {
      requested = this.#requested(run, message, asker);
    } finally {
      if (requested?.kind !== 'approval') this.#holds.failed(asker);
    }
    if (requested.kind === 'refused') return refused(requested.denial);
    return this.#make(requested.approval, { run, message, asker });
  }

  #requested(run: ApprovalRun, message: ApprovalMessage, asker: Asker): Requested {
    const tooMuch = this.#holds.weigh(asker, bytesOf(message));
    if (tooMuch !== null) return { kind: 'refused', denial: tooMuch };
    const requested = requestedApproval(run, message, this.#kube.stores.policies, this.#clock());
    const denial = requested.kind === 'approval' ? this.#holds.deniedBefore(requested.approval) : null;
    return denial === null ? requested : { kind: 'refused', denial };
  }

  end({ session }: Pick<ApprovalRun, 'session'>, { name, how }: ApprovalEnd): Promise<void> {
    return this.#end(session, name, how);
  }

  async #end(session: SessionRef, name: string, how: ApprovalEnd['how']): Promise<void> {
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

  async lost({ session }: Pick<ApprovalRun, 'session'>): Promise<void> {
    for (const object of await this.#kube.list(APPROVALS, session.namespace)) {
      const approval = this.#parsed(object);
      if (approval === undefined || sessionOf(approval)?.uid !== session.uid) continue;
      await this.#end(session, approval.metadata.name, 'ClientDisconnected');
    }
  }

  outcomes({ session }: Pick<ApprovalRun, 'session'>, listener: OutcomeListener): () => void {
    const subscription = { listener, told: new Set<string>() };
    const all = this.#subscriptions.get(session.uid) ?? new Set();
    all.add(subscription);
    this.#subscriptions.set(session.uid, all);
    for (const name of this.#names.get(session.uid) ?? []) {
      const object = this.#kube.stores.approvals.get(session.namespace, name);
      const approval = object === undefined ? undefined : this.#parsed(object);
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

  /** A sidecar that has lost the answer asks again, with the same key. */
  #askedBefore({ session, connection }: ApprovalRun, message: ApprovalMessage): Approval | undefined {
    if (message.key === undefined) return undefined;
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt += 1) {
      const name = nameOf(connection.metadata.name, session, message.key, attempt);
      const object = this.#kube.stores.approvals.get(session.namespace, name);
      const approval = object === undefined ? undefined : this.#parsed(object);
      if (approval === undefined) return undefined;
      if (isSame(approval, session, message)) return approval;
    }
    return undefined;
  }

  async #make(approval: Approval, asked: Asked): Promise<ApprovalAnswer> {
    const { run, asker } = asked;
    let made: Made;
    try {
      made = await this.#create(approval, asked);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      made = { kind: 'failed', why: error.message };
    }
    switch (made.kind) {
      case 'made': {
        this.#holds.made(made.approval.uid, asker);
        const { expiresAt } = approval.spec.request;
        this.#log.info(
          { approval: made.approval.name, session: run.session.name, expiresAt },
          'approval asked for',
        );
        return { kind: 'pending', name: made.approval.name, expiresAt };
      }
      case 'there':
        this.#holds.failed(asker);
        return pending(made.approval);
      case 'failed':
        this.#holds.failed(asker);
        this.#log.warn({ session: run.session.name, why: made.why }, 'an approval could not be made');
        return refused(NOT_STORED);
    }
  }

  async #create(approval: Approval, { run, message }: Asked): Promise<Made> {
    const { session, connection } = run;
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt += 1) {
      const name = nameOf(connection.metadata.name, session, message.key, attempt);
      const made = await this.#kube.create(APPROVALS, this.#objectOf(name, approval, session));
      if (made.kind === 'written') return { kind: 'made', approval: made.object.metadata };
      if (made.kind === 'rejected') return { kind: 'failed', why: made.message };
      if (made.kind === 'not-found') return { kind: 'failed', why: 'its namespace is gone' };
      const object = await this.#kube.get(APPROVALS, session.namespace, name);
      const other = object === undefined ? undefined : this.#parsed(object);
      if (other !== undefined && message.key !== undefined && isSame(other, session, message))
        return { kind: 'there', approval: other };
    }
    return { kind: 'failed', why: 'no name is free' };
  }

  /** As it is sent to the API server. */
  #objectOf(name: string, { apiVersion, kind, metadata, spec }: Approval, session: SessionRef): unknown {
    const request = wellFormed(spec.request);
    const named: Approval = {
      apiVersion,
      kind,
      metadata: { name, namespace: session.namespace },
      spec: { request },
    };
    const stamp = this.#stamper.stamp(named, { kind: 'request', session: session.uid }, 'real');
    const owned = { name, namespace: metadata.namespace, ownerReferences: [ownerReference(session)] };
    return { apiVersion, kind, metadata: owned, spec: { request, stamp } };
  }

  #writeEnd(approval: Approval, how: ApprovalEnd['how']) {
    const now = this.#clock();
    const before = settled(approval, { now, session: 'live', stamper: this.#stamper });
    const after = isOver(before.status?.phase) ? before : ended(before, how, now);
    if (how === 'used' && after.status?.phase !== 'Used') this.#tellUnapproved(approval);
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

  /** An honest sidecar never says so. */
  #tellUnapproved({ metadata: { namespace = '', name } }: Approval): void {
    const object = this.#kube.stores.approvals.get(namespace, name);
    const message = 'its sidecar says that the operation went forward, and no decision lets it';
    this.#log.warn({ approval: `${namespace}/${name}` }, message);
    if (object !== undefined) this.#kube.event(object, 'Warning', 'UsedWithoutDecision', message);
  }

  #tellEnd(object: KubeObject): void {
    const approval = this.#parsed(object);
    const phase = approval?.status?.phase;
    if (approval === undefined || phase === undefined) return;
    this.#kube.event(object, phase === 'Used' ? 'Normal' : 'Warning', phase, describePhase(approval));
  }

  #changed(object: KubeObject | undefined, old: KubeObject | undefined): void {
    if (object === undefined) {
      if (old !== undefined) this.#gone(old);
      return;
    }
    const approval = this.#parsed(object);
    if (approval === undefined) return;
    const session = sessionOf(approval)?.uid ?? '';
    const names = this.#names.get(session) ?? new Set();
    this.#names.set(session, names.add(approval.metadata.name));
    const outcome = outcomeOf(approval, this.#stamper);
    this.#holds.seen(approval, outcome, this.#clock());
    for (const subscription of this.#subscriptions.get(session) ?? [])
      this.#tell(subscription, approval, outcome);
  }

  #gone(old: KubeObject): void {
    this.#holds.gone(old.metadata.uid);
    const approval = this.#parsed(old);
    const session = (approval && sessionOf(approval)?.uid) ?? '';
    const names = this.#names.get(session);
    names?.delete(old.metadata.name);
    if (names?.size === 0) this.#names.delete(session);
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

/** Infinite for one that is nested so deep that it cannot be written down. */
function bytesOf(message: ApprovalMessage): number {
  try {
    return Buffer.byteLength(JSON.stringify(message));
  } catch {
    return Infinity;
  }
}

interface Asked {
  readonly run: ApprovalRun;
  readonly message: ApprovalMessage;
  readonly asker: Asker;
}

type Made =
  | { readonly kind: 'made'; readonly approval: { readonly name: string; readonly uid: string } }
  /** Made by an earlier request with the same key. */
  | { readonly kind: 'there'; readonly approval: Approval }
  | { readonly kind: 'failed'; readonly why: string };

const NOT_STORED = {
  code: 'internal',
  message: 'the approval could not be stored',
  detail: 'Nothing goes forward that nobody can be asked about.',
  hint: 'Try again; tell the platform team when it lasts.',
} as const;

/** Of a request with a key always the same. */
function nameOf(connection: string, session: SessionRef, key: string | undefined, attempt: number): string {
  if (key === undefined) return newApprovalName(connection);
  const bits = createHash('sha256')
    .update(JSON.stringify([session.uid, key, attempt]))
    .digest();
  return newApprovalName(connection, bits);
}

function isSame(approval: Approval, session: SessionRef, { recording, digest }: ApprovalMessage): boolean {
  const { request } = approval.spec;
  return (
    sessionOf(approval)?.uid === session.uid && request.recording === recording && request.digest === digest
  );
}

/** The API server replaces halves of pairs, and the stamp would not be of what it stores. */
function wellFormed(request: Approval['spec']['request']): Approval['spec']['request'] {
  const text = JSON.stringify(request, (_key, value: unknown) =>
    typeof value === 'string' ? value.toWellFormed() : value,
  );
  // The same shape, other characters.
  return JSON.parse(text) as Approval['spec']['request'];
}

function ended(approval: Approval, how: ApprovalEnd['how'], now: number): Approval {
  if (how === 'used') {
    const { phase } = approval.status ?? {};
    const approved = phase === 'Approved' || phase === 'Modified';
    return approved ? used(approval, now) : voided(approval, 'StateChanged', now);
  }
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
