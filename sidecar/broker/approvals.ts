/**
 * Approvals by the operator: asked for by a request, decided by an event of the stream. Whether one may still be used is known here
 * and nowhere else: the broker is told behind it.
 */
import type { Logger } from 'pino';
import {
  type ApprovalGateway,
  type ApprovalOutcome,
  type ApprovalRequest,
  type PendingApproval,
  type RefusedApproval,
  type VoidReason,
} from '../approval/gateway.ts';
import { shortestTimeout } from '../approval/object.ts';
import { UNREADABLE, failureDenial, goneDenial, voidReason } from './approval-denial.ts';
import { connectionOf, messageOf } from './approval-message.ts';
import { BrokerRequestError, brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import type { DecisionEvent } from './event.ts';
import {
  type ApprovalAnswer,
  type ApprovalEnd,
  type ApprovalsLost,
  parseApprovalAnswer,
} from './protocol.ts';
import type { Reports } from './reports.ts';

export interface BrokerApprovalsParts {
  readonly client: BrokerClient;
  readonly reports: Reports;
  readonly log: Logger;
  /** A broker is heard now: its word on an approval that is due is waited for a moment longer. */
  readonly connected: () => boolean;
  /** Connections on which this sidecar may have asked before it was started again: that is void before anything new is asked. */
  readonly earlier: readonly string[];
}

interface Live {
  readonly connection: string;
  readonly timeout: number;
  readonly settle: (outcome: ApprovalOutcome) => void;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
  timer: NodeJS.Timeout | undefined;
  /** A person has approved, or written another text. */
  granted: boolean;
}

/** One try to ask, and all tries together; a hold with a shorter timeout does not wait so long. Milliseconds. */
const TRY = 5_000;
const TRIES = 15_000;
const LAST_WORD = 1_000;
const MAX_REMEMBERED = 1_000;

export class BrokerApprovals implements ApprovalGateway {
  readonly #parts: BrokerApprovalsParts;
  readonly #live = new Map<string, Live>();
  /** Over by our own word: what the stream repeats of them is no news. */
  readonly #ended = new Set<string>();
  /** Decisions on what may yet turn out to be asked by a request that is under way. */
  readonly #early = new Map<string, DecisionEvent>();
  #asking = 0;
  /** By connection; never rejects. */
  readonly #lost: ReadonlyMap<string, Promise<void>>;

  constructor(parts: BrokerApprovalsParts) {
    this.#parts = parts;
    this.#lost = new Map(
      parts.earlier.map((connection) => [
        connection,
        parts.reports.send('/v1/approvals/lost', { connection } satisfies ApprovalsLost),
      ]),
    );
  }

  async request(request: ApprovalRequest, signal: AbortSignal): Promise<PendingApproval | RefusedApproval> {
    const due = performance.now() + shortestTimeout(request.requirements);
    this.#asking += 1;
    const asking = this.#ask(request, Math.min(due, performance.now() + TRIES));
    const gone = aborted(signal);
    const first = await Promise.race([asking, gone.promise]);
    gone.forget();
    if (first === undefined) {
      const why = voidReason(signal.reason);
      void asking.then((late) => {
        if (late.kind === 'answered' && late.answer.name !== undefined)
          this.#report(late.answer.name, connectionOf(request), why);
        this.#asked();
      });
      return { kind: 'refused', denial: goneDenial(why) };
    }
    const result =
      first.kind === 'failed'
        ? { kind: 'refused' as const, denial: failureDenial(first.error) }
        : this.#answered(first.answer, request, signal, due);
    this.#asked();
    return result;
  }

  used(name: string): boolean {
    const live = this.#live.get(name);
    if (!live?.granted) return false;
    this.#end(name, live, 'used');
    return true;
  }

  void(name: string, why: VoidReason): void {
    const live = this.#live.get(name);
    if (live === undefined) return;
    this.#end(name, live, why);
    live.settle({ kind: 'void', why });
  }

  /** From the stream, where the same may come again. */
  decided(event: DecisionEvent): void {
    const { approval: name, outcome } = event;
    const live = this.#live.get(name);
    if (live === undefined) {
      if (!this.#ended.has(name) && this.#early.size < MAX_REMEMBERED) this.#early.set(name, event);
      if (this.#asking === 0) this.#disown();
      return;
    }
    if (live.granted) return;
    this.#parts.log.info({ approval: name, outcome: outcome.kind }, 'approval decided');
    if (outcome.kind === 'approved' || outcome.kind === 'modified') {
      clearTimeout(live.timer);
      live.granted = true;
    } else {
      this.#forget(name, live);
    }
    live.settle(outcome);
  }

  /** Makes void what is not decided and used. */
  close(): void {
    for (const name of [...this.#live.keys()]) this.void(name, 'SessionEnded');
  }

  async #ask(request: ApprovalRequest, until: number): Promise<Asked> {
    try {
      await this.#untilLost(connectionOf(request), until);
      const asking = { timeout: TRY, until };
      const message = messageOf(request);
      const answer = await this.#parts.client.post('/v1/approvals', message, parseApprovalAnswer, asking);
      return { kind: 'answered', answer };
    } catch (error) {
      const failure = brokerErrorOf(error);
      this.#parts.log.warn({ code: failure.code }, `an approval could not be asked for: ${failure.message}`);
      return { kind: 'failed', error: failure };
    }
  }

  /** What an earlier start asked for must be void first: the new request would be made void with it. */
  async #untilLost(connection: string, until: number): Promise<void> {
    const lost = this.#lost.get(connection);
    if (lost === undefined) return;
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), Math.max(0, until - performance.now()));
    const outcome = await Promise.race([lost, late.promise]);
    clearTimeout(timer);
    if (outcome === 'late')
      throw new BrokerRequestError(
        'unavailable',
        'the operator was not told yet that the sidecar began anew',
      );
  }

  #answered(
    answer: ApprovalAnswer,
    request: ApprovalRequest,
    signal: AbortSignal,
    due: number,
  ): PendingApproval | RefusedApproval {
    const { kind, name, expiresAt, denial } = answer;
    if (kind === 'refused' && denial) return { kind, denial };
    if (kind === 'refused' || name === undefined || expiresAt === undefined || this.#live.has(name))
      return { kind: 'refused', denial: UNREADABLE };
    const { promise, resolve } = Promise.withResolvers<ApprovalOutcome>();
    const live: Live = {
      connection: connectionOf(request),
      timeout: shortestTimeout(request.requirements),
      settle: resolve,
      signal,
      onAbort: () => this.void(name, voidReason(signal.reason)),
      timer: setTimeout(() => this.#due(name), Math.max(0, due - performance.now())),
      granted: false,
    };
    this.#live.set(name, live);
    this.#parts.log.info({ approval: name, session: request.session, expiresAt }, 'approval asked for');
    signal.addEventListener('abort', live.onAbort, { once: true });
    if (signal.aborted) live.onAbort();
    const early = this.#early.get(name);
    this.#early.delete(name);
    if (early) this.decided(early);
    return { kind: 'pending', name, expiresAt, outcome: promise };
  }

  /** Time is up by our own clock. A broker that is there has the last word; without one the operation is refused now. */
  #due(name: string): void {
    const live = this.#live.get(name);
    if (live === undefined || live.granted) return;
    if (this.#parts.connected()) live.timer = setTimeout(() => this.#expire(name), LAST_WORD);
    else this.#expire(name);
  }

  #expire(name: string): void {
    const live = this.#live.get(name);
    if (live === undefined || live.granted) return;
    this.#forget(name, live);
    live.settle({ kind: 'expired', after: live.timeout });
  }

  #asked(): void {
    this.#asking -= 1;
    if (this.#asking === 0) this.#disown();
  }

  /** Nobody here waits for these: they were asked before a restart, or decided too late. What was granted is never used. */
  #disown(): void {
    for (const { approval, connection, outcome } of this.#early.values()) {
      if (connection !== undefined && (outcome.kind === 'approved' || outcome.kind === 'modified'))
        this.#report(approval, connection, 'SessionEnded');
    }
    this.#early.clear();
  }

  #end(name: string, live: Live, how: ApprovalEnd['how']): void {
    this.#forget(name, live);
    this.#report(name, live.connection, how);
  }

  #report(name: string, connection: string, how: ApprovalEnd['how']): void {
    if (this.#ended.size >= MAX_REMEMBERED)
      for (const oldest of [...this.#ended].slice(0, 1)) this.#ended.delete(oldest);
    this.#ended.add(name);
    const end: ApprovalEnd = { connection, name, how };
    void this.#parts.reports.send('/v1/approvals/end', end);
  }

  #forget(name: string, live: Live): void {
    clearTimeout(live.timer);
    live.signal.removeEventListener('abort', live.onAbort);
    this.#live.delete(name);
  }
}

type Asked =
  | { readonly kind: 'answered'; readonly answer: ApprovalAnswer }
  | { readonly kind: 'failed'; readonly error: BrokerRequestError };

/** Resolves when the signal is aborted; to be forgotten otherwise. */
function aborted(signal: AbortSignal): { readonly promise: Promise<undefined>; readonly forget: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const onAbort = () => resolve(undefined);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return { promise, forget: () => signal.removeEventListener('abort', onAbort) };
}
