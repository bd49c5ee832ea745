/** All policies in force; from them, what holds for one session. */
import type { ConnectionFacts, Identity } from '../operation.ts';
import type { CompiledPolicy } from './compile.ts';
import { SessionPolicy } from './session-policy.ts';
import { isFor } from './subject.ts';

export class PolicySet {
  readonly #policies: readonly CompiledPolicy[];

  constructor(policies: readonly CompiledPolicy[]) {
    this.#policies = policies;
  }

  /** Number of policies. */
  get size(): number {
    return this.#policies.length;
  }

  /** Chooses the policies for who asks and on what, once a session. */
  forSession(identity: Identity, connection: ConnectionFacts): SessionPolicy {
    const chosen = this.#policies.filter((policy) => isFor(policy, identity, connection));
    return new SessionPolicy(chosen, identity, connection);
  }
}
