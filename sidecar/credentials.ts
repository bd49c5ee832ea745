/** What a connection signs in to its target with. It lives in memory only, and is in no log, error or recording. */

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface CredentialSource {
  /**
   * `refused` is what this gave before and the target did not take: others come when there are others by now, else the same
   * object again. Rejects with a `CredentialsError`.
   */
  current(refused?: Credentials): Promise<Credentials>;
}

/** They cannot be had now; the message is for people and holds no secret. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
  readonly code = 'credentials';

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** From a Secret that was read with the manifests. Its fields are open, so that a changed Secret shows by comparison. */
export class FixedCredentials implements CredentialSource {
  readonly credentials: Credentials;

  constructor(credentials: Credentials) {
    this.credentials = credentials;
  }

  current(): Promise<Credentials> {
    return Promise.resolve(this.credentials);
  }
}
