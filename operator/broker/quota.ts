/** How much one pod may ask for: a bucket of requests that fills steadily, and so many at a time. */
import { BrokerFailure } from './broker-failure.ts';

/** Requests at once, and a second. */
const BURST = 400;
const RATE = 100;
const CONCURRENT = 32;

interface Account {
  left: number;
  /** `performance.now()` */
  at: number;
  running: number;
}

export class Quota {
  readonly #accounts = new Map<string, Account>();

  /** Returns how to say that the request is done. Throws `unavailable` when it is too much. */
  enter(podUid: string): () => void {
    const now = performance.now();
    const account = this.#accounts.get(podUid) ?? { left: BURST, at: now, running: 0 };
    account.left = Math.min(BURST, account.left + ((now - account.at) / 1000) * RATE);
    account.at = now;
    this.#accounts.set(podUid, account);
    if (account.left < 1 || account.running >= CONCURRENT)
      throw new BrokerFailure('unavailable', 'this pod asks for too much; try again');
    account.left -= 1;
    account.running += 1;
    this.#forget(now);
    return () => {
      account.running -= 1;
    };
  }

  /** Those that have long been full again. */
  #forget(now: number): void {
    if (this.#accounts.size < 8192) return;
    for (const [uid, { running, at }] of this.#accounts)
      if (running === 0 && now - at > (BURST / RATE) * 1000) this.#accounts.delete(uid);
  }
}
