/** What the driver suite runs, and against what. */

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface Target {
  readonly main: Endpoint;
  /** An empty second database, for what is restored. */
  readonly copy: Endpoint;
}

/** One assertion on a client; throws when it does not hold. */
export interface Check {
  readonly name: string;
  /** Why it is not run through Sidewarden, which refuses what it needs by design. */
  readonly refused?: string;
  run(target: Target): Promise<void>;
}

/** A program that prints `ok NAME` or `not ok NAME: why` a check. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Why a client cannot be run on this machine. */
export interface Missing {
  readonly missing: string;
}

export interface Client {
  readonly name: string;
  /** `tools`: a server that this machine's `pg_dump` can read, which may be older than the current one. */
  readonly server: 'current' | 'tools';
  /** Sets the client up; cached outside of the sources. */
  prepare(): Promise<readonly Check[] | Program | Missing>;
}

/** libpq's own environment variables, which every driver but JDBC reads too. */
export function libpqEnvironment(endpoint: Endpoint): Readonly<Record<string, string>> {
  return {
    PGHOST: endpoint.host,
    PGPORT: String(endpoint.port),
    PGUSER: endpoint.user,
    PGPASSWORD: endpoint.password,
    PGDATABASE: endpoint.database,
    PGSSLMODE: 'disable',
    PGAPPNAME: 'clients',
  };
}
