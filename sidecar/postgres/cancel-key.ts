/** What a client must show to have a session's statement cancelled. */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

export class CancelKey {
  readonly processId = randomInt(1, 0x7fffffff);
  readonly secret: Buffer;

  /** `minor` is the protocol's version 3.`minor`: from 2 on, secrets are longer. */
  constructor(minor: number) {
    this.secret = randomBytes(minor >= 2 ? 32 : 4);
  }

  /** Wrong ones take as long as right ones. */
  opens(processId: number, secret: Buffer): boolean {
    if (this.processId !== processId || this.secret.length !== secret.length) return false;
    return timingSafeEqual(this.secret, secret);
  }
}
