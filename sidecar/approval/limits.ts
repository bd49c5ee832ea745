/** What keeps approvers from being worn out (THREATS.md, class 39): caps, rates, and a memory of what was just denied. */
import type { Approval } from '../../crds/approval.ts';
import type { Denial } from '../operation.ts';

/** So much at once, then one more in so many milliseconds. */
interface Rate {
  readonly burst: number;
  readonly every: number;
}

/** Holds of one identity. */
const HOLDS: Rate = { burst: 30, every: 2_000 };
/** Holds of one session: runs of one service account share its identity, and one of them must not take what the others have. */
const SESSION_HOLDS: Rate = { burst: 10, every: 6_000 };
/** Bytes of one identity's requests: each is stored until its time has come, also when it is cancelled at once. A MiB a minute. */
const BYTES: Rate = { burst: 8 * 1024 * 1024, every: 60_000 / (1024 * 1024) };
/** Pending approvals of one identity, in sessions' caps: opening more sessions does not help. */
const SESSIONS_WORTH = 4;
const DENIED_FOR_MS = 60_000;
const MAX_REMEMBERED = 10_000;

export interface Asker {
  readonly session: string;
  /** Stands for one identity on one connection. */
  readonly identity: string;
  readonly maxPending: number;
}

type Request = Approval['spec']['request'];

/** Known before anything else of a request is looked at. */
export interface Asking {
  readonly namespace: string;
  readonly connection: string;
  readonly session: string;
  readonly identity: Pick<Request['identity'], 'issuer' | 'subject'>;
}

export function askerOf({ namespace, connection, session, identity }: Asking, maxPending: number): Asker {
  const { issuer, subject } = identity;
  return { session, identity: JSON.stringify([namespace, connection, issuer, subject]), maxPending };
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
  readonly #holds = new Buckets(HOLDS);
  readonly #sessionHolds = new Buckets(SESSION_HOLDS);
  readonly #bytes = new Buckets(BYTES);
  readonly #denied = new Map<string, PastDenial>();

  /** Why this hold is refused at once; null when it may be asked, and then it is counted until `ended`. */
  begin(asker: Asker, now: number): Denial | null {
    const denial = this.#tooMany(asker) ?? this.#tooFast(asker, now);
    if (denial === null) this.#count(asker, 1);
    return denial;
  }

  /** Why so many bytes are not taken now; null when they are. */
  weigh({ identity }: Asker, bytes: number, now: number): Denial | null {
    if (this.#bytes.left(identity, now) < bytes) return TOO_MUCH;
    this.#bytes.spend(identity, bytes, now);
    return null;
  }

  /** Counts one that was asked for elsewhere, until `ended`. */
  adopt(asker: Asker): void {
    this.#count(asker, 1);
  }

  ended(asker: Asker): void {
    this.#count(asker, -1);
  }

  /** `operation`: its `sameOperationKey`. */
  denied(operation: string, denial: PastDenial): void {
    prune(this.#denied, (past) => denial.at - past.at >= DENIED_FOR_MS);
    this.#denied.set(operation, denial);
  }

  /** Why the same operation is not asked about again so soon. */
  deniedBefore(operation: string, now: number): Denial | null {
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

  /** A session that is over its share takes nothing of its identity's. */
  #tooFast({ session, identity }: Asker, now: number): Denial | null {
    if (this.#sessionHolds.left(session, now) < 1) return tooFast('session', SESSION_HOLDS);
    if (this.#holds.left(identity, now) < 1) return tooFast('identity', HOLDS);
    this.#sessionHolds.spend(session, 1, now);
    this.#holds.spend(identity, 1, now);
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

/** Each key's own bucket, full at first. */
class Buckets {
  readonly #rate: Rate;
  readonly #buckets = new Map<string, { readonly left: number; readonly at: number }>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  left(key: string, now: number): number {
    const { burst, every } = this.#rate;
    const { left, at } = this.#buckets.get(key) ?? { left: burst, at: now };
    return Math.min(burst, left + Math.max(0, now - at) / every);
  }

  spend(key: string, amount: number, now: number): void {
    const { burst, every } = this.#rate;
    const left = this.left(key, now) - amount;
    prune(this.#buckets, ({ at }) => now - at >= burst * every);
    this.#buckets.set(key, { left, at: now });
  }
}

function tooFast(whose: 'session' | 'identity', { burst, every }: Rate): Denial {
  return {
    code: 'denied',
    message: 'approvals are asked for too fast',
    detail: `One ${whose} may ask ${burst} times at once, then once in ${every / 1000}s.`,
    hint: 'Slow down, and put related changes into one operation.',
  };
}

const TOO_MUCH: Denial = {
  code: 'denied',
  message: 'approvals of too long operations are asked for too fast',
  detail: `One identity may ask for ${BYTES.burst / 1024 / 1024} MiB at once, then for a MiB a minute.`,
  hint: 'Slow down, and make the operations shorter.',
};

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
