/**
 * One connection's session as the target sees it: the broker is asked when the first client comes, which begins the session, and
 * again whenever the credentials have changed. What it answers stays in memory.
 */
import { type CredentialSource, type Credentials, CredentialsError } from '../credentials.ts';
import { type BrokerRequestError, brokerErrorOf } from './broker-error.ts';
import type { BrokerClient } from './client.ts';
import { parseSessionAnswer } from './protocol.ts';

/** The operator may have to make a role first. Milliseconds. */
const TIMEOUT = 20_000;
const TRIES = 10_000;
/** A refusal answers whoever comes within so many milliseconds: clients that come again at once ask the broker no faster. */
const REFUSAL_KEPT = 500;

export class SessionCredentials implements CredentialSource {
  readonly #connection: string;
  readonly #client: BrokerClient;
  readonly #begun: () => void;
  #version: string | undefined;
  #asked: Promise<Credentials> | undefined;
  #known: Credentials | undefined;

  /** `begun` is called when the broker has begun the session, or said again that it has. */
  constructor(connection: string, client: BrokerClient, begun: () => void) {
    this.#connection = connection;
    this.#client = client;
    this.#begun = begun;
  }

  /** As the configuration has it; others than before are asked for when they are next needed. */
  version(version: string | undefined): void {
    if (version !== this.#version) this.forget();
    this.#version = version;
  }

  forget(): void {
    this.#asked = undefined;
    this.#known = undefined;
  }

  async current(refused?: Credentials): Promise<Credentials> {
    if (refused === undefined || refused !== this.#known) return this.#ask();
    this.forget();
    const others = await this.#ask();
    if (others.user !== refused.user || others.password !== refused.password) return others;
    // The same again: whoever asked sees that by the object.
    this.#known = refused;
    this.#asked = Promise.resolve(refused);
    return refused;
  }

  #ask(): Promise<Credentials> {
    if (this.#asked) return this.#asked;
    const asked = this.#request();
    this.#asked = asked;
    asked.then(
      (known) => {
        if (this.#asked === asked) this.#known = known;
      },
      () => {
        setTimeout(() => {
          if (this.#asked === asked) this.forget();
        }, REFUSAL_KEPT).unref();
      },
    );
    return asked;
  }

  async #request(): Promise<Credentials> {
    const body = { connection: this.#connection };
    const asking = { timeout: TIMEOUT, until: performance.now() + TRIES };
    try {
      const answer = await this.#client.post('/v1/sessions', body, parseSessionAnswer, asking);
      this.#begun();
      return { user: answer.username, password: answer.password };
    } catch (error) {
      throw explained(brokerErrorOf(error));
    }
  }
}

function explained(error: BrokerRequestError): CredentialsError {
  switch (error.code) {
    case 'unavailable':
      return new CredentialsError(`the operator cannot begin a session now: ${error.message}`, error);
    case 'ended':
      return new CredentialsError(`the session of this run has ended: ${error.message}`, error);
    case 'forbidden':
    case 'not-found':
    case 'invalid':
    case 'unauthenticated':
    case 'protocol':
      return new CredentialsError(`the operator did not begin a session: ${error.message}`, error);
  }
}
