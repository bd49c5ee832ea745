/** What keeps approvers from being worn out (THREATS.md, class 39): caps, a rate, and a memory of what was just denied. */
import type { Approval } from '../../crds/approval.ts';
import type { Denial } from '../operation.ts';
import { sameOperationKey } from './object.ts';

/** Holds of one identity: so many at once, then one more every few seconds. */
const BURST = 30;
const REFILL_MS = 2_000;
/** Pending approvals of one identity, in sessions' caps: opening more sessions does not help. */
const SESSIONS_WORTH = 4;
const DENIED_FOR_MS = 60_000;
const MAX_REMEMBERED = 10_000;

export interface Asker {
  readonly session: string;
  /** Stands for one identity on one connection. */
  readonly identity: string;
  readonly operation: string;
  readonly maxPending: number;
}

export function askerOf(approval: Approval, maxPending: number): Asker {
  const { session, connection, identity } = approval.spec.request;
  return {
    session,
    identity: JSON.stringify([approval.metadata.namespace, connection, identity.issuer, identity.subject]),
    operation: sameOperationKey(approval),
    maxPending,
  };
}

interface Bucket {
  tokens: number;
  at: number;
}

interface PastDenial {
  readonly name: string;
  readonly by: string;
  readonly reason: string;
  readonly at: number;
}

/** Times are in milliseconds of a clock that never jumps, lest a clock that is set back bars everybody for long. */
export class HoldLimits {
  readonly #pending = new Map<string, number>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #denied = new Map<string, PastDenial>();

  /** Why this hold is refused at once; null when it may be asked, and then it is counted until `ended`. */
  begin(asker: Asker, now: number): Denial | null {
    const denial =
      this.#denialBefore(asker.operation, now) ?? this.#tooMany(asker) ?? this.#tooFast(asker, now);
    if (denial === null) this.#count(asker, 1);
    return denial;
  }

  /** Counts one that was asked for elsewhere, until `ended`. */
  adopt(asker: Asker): void {
    this.#count(asker, 1);
  }

  ended(asker: Asker): void {
    this.#count(asker, -1);
  }

  denied(asker: Asker, denial: PastDenial): void {
    prune(this.#denied, (past) => denial.at - past.at >= DENIED_FOR_MS);
    this.#denied.set(asker.operation, denial);
  }

  #denialBefore(operation: string, now: number): Denial | null {
    const past = this.#denied.get(operation);
    if (past === undefined || now - past.at >= DENIED_FOR_MS) return null;
    return {
      code: 'approval-denied',
      message: `the same operation was denied ${Math.max(0, Math.round((now - past.at) / 1000))}s ago by ${past.by}`,
      detail: `Approval ${past.name} was denied${past.reason === '' ? '' : `: ${past.reason}`}. Nobody is asked again within a minute.`,
      hint: 'Do not repeat it; change the operation or talk to the approver.',
    };
  }

  #tooMany({ session, identity, maxPending }: Asker): Denial | null {
    const inSession = this.#pending.get(sessionKey(session)) ?? 0;
    const ofIdentity = this.#pending.get(identityKey(identity)) ?? 0;
    if (inSession < maxPending && ofIdentity < maxPending * SESSIONS_WORTH) return null;
    const whose =
      inSession >= maxPending ? `this session has ${inSession}` : `this identity has ${ofIdentity}`;
    return {
      code: 'denied',
      message: `too many approvals are pending: ${whose}`,
      detail: `The connection allows ${maxPending} a session (maxPendingApprovals).`,
      hint: 'Wait until some are decided.',
    };
  }

  #tooFast({ identity }: Asker, now: number): Denial | null {
    const bucket = this.#buckets.get(identity) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, bucket.tokens + Math.max(0, now - bucket.at) / REFILL_MS);
    if (tokens < 1) {
      return {
        code: 'denied',
        message: 'approvals are asked for too fast',
        detail: `One identity may ask ${BURST} times at once, then once in ${REFILL_MS / 1000}s.`,
        hint: 'Slow down, and put related changes into one operation.',
      };
    }
    prune(this.#buckets, ({ at }) => now - at >= BURST * REFILL_MS);
    this.#buckets.set(identity, { tokens: tokens - 1, at: now });
    return null;
  }

  #count({ session, identity }: Asker, change: 1 | -1): void {
    for (const key of [sessionKey(session), identityKey(identity)]) {
      const count = (this.#pending.get(key) ?? 0) + change;
      if (count > 0) this.#pending.set(key, count);
      else this.#pending.delete(key);
    }
  }
}

const sessionKey = (session: string) => `session ${session}`;
const identityKey = (identity: string) => `identity ${identity}`;

/** Keeps a map from growing for ever: drops what is stale, and the oldest when that is not enough. */
function prune<V>(map: Map<string, V>, stale: (value: V) => boolean): void {
  if (map.size < MAX_REMEMBERED) return;
  for (const [key, value] of map) {
    if (stale(value)) map.delete(key);
  }
  for (const key of map.keys()) {
    if (map.size < MAX_REMEMBERED) break;
    map.delete(key);
  }
}
