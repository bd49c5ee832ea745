/** How much one pod may ask for: a bucket of requests that fills steadily, so many at a time; and a bucket of bytes. */
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

/** Bytes of messages at once, and a second: to go through them takes the thread that all pods share. */
const BYTES_BURST = 16 * 1024 * 1024;
const BYTES_RATE = 1024 * 1024;

export class ByteQuota {
  readonly #accounts = new Map<string, { left: number; at: number }>();

  /** `now`: milliseconds of a clock that never jumps. Throws `unavailable` when it is too much. */
  spend(podUid: string, bytes: number, now: number): void {
    const account = this.#accounts.get(podUid) ?? { left: BYTES_BURST, at: now };
    account.left = Math.min(BYTES_BURST, account.left + ((now - account.at) / 1000) * BYTES_RATE);
    account.at = now;
    this.#accounts.set(podUid, account);
    if (account.left < bytes) throw new BrokerFailure('unavailable', 'this pod sends too much; try again');
    account.left -= bytes;
    this.#forget(now);
  }

  #forget(now: number): void {
    if (this.#accounts.size < 8192) return;
    for (const [uid, { at }] of this.#accounts)
      if (now - at > (BYTES_BURST / BYTES_RATE) * 1000) this.#accounts.delete(uid);
  }
}
