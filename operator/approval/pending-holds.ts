/** How much a run has asked for, counted over all replicas: what this one is asked for, and what the cache shows of the others'. */
import type { Approval } from '../../crds/approval.ts';
import { type Asker, askerOf, HoldLimits } from '../../sidecar/approval/limits.ts';
import { sameOperationKey } from '../../sidecar/approval/object.ts';
import type { Denial } from '../../sidecar/operation.ts';
import type { ToldOutcome } from './outcome.ts';

export class PendingHolds {
  readonly #limits = new HoldLimits();
  /** By uid of the Approval. */
  readonly #counted = new Map<string, Asker>();
  readonly #denied = new Set<string>();

  /** Why it is refused at once; else it is counted until `failed`, or until `seen` says that it is over. */
  begin(asker: Asker): Denial | null {
    return this.#limits.begin(asker, performance.now());
  }

  /** Why a request of so many bytes is refused, before it is gone through. */
  weigh(asker: Asker, bytes: number): Denial | null {
    return this.#limits.weigh(asker, bytes, performance.now());
  }

  deniedBefore(approval: Approval): Denial | null {
    return this.#limits.deniedBefore(sameOperationKey(approval), performance.now());
  }

  failed(asker: Asker): void {
    this.#limits.ended(asker);
  }

  made(uid: string, asker: Asker): void {
    // The cache was faster, and it is counted already.
    if (this.#counted.has(uid)) this.#limits.ended(asker);
    else this.#counted.set(uid, asker);
  }

  /** What the cache shows of one, with its outcome if there is one; `now` in milliseconds since the epoch. */
  seen(approval: Approval, outcome: ToldOutcome | undefined, now: number): void {
    const uid = approval.metadata.uid ?? '';
    const phase = approval.status?.phase ?? 'Pending';
    if (outcome === undefined && phase === 'Pending') {
      if (this.#counted.has(uid)) return;
      const { metadata, spec } = approval;
      const asker = askerOf({ namespace: metadata.namespace ?? '', ...spec.request }, 0);
      this.#limits.adopt(asker);
      this.#counted.set(uid, asker);
      return;
    }
    if (outcome?.kind === 'denied' && !this.#denied.has(uid)) this.#remember(approval, outcome, now);
    this.#over(uid);
  }

  gone(uid: string): void {
    this.#over(uid);
    this.#denied.delete(uid);
  }

  #over(uid: string): void {
    const asker = this.#counted.get(uid);
    if (asker === undefined) return;
    this.#counted.delete(uid);
    this.#limits.ended(asker);
  }

  #remember(
    approval: Approval,
    { by, at, reason }: ToldOutcome & { readonly kind: 'denied' },
    now: number,
  ): void {
    this.#denied.add(approval.metadata.uid ?? '');
    const age = Math.max(0, now - Date.parse(at));
    const denial = { name: approval.metadata.name, by: by.username, reason, at: performance.now() - age };
    this.#limits.denied(sameOperationKey(approval), denial);
  }
}
