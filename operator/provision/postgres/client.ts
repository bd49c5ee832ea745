/** How an administrator's connection is made: addresses, TLS and passwords are treated as the sidecar treats them (`sidecar/postgres/server.ts`). */
import { Socket, isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { Client, type ClientConfig } from 'pg';
import { targetPort } from '../../../crds/connection.ts';
import type { Target } from '../provisioner.ts';

/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000;
const STATEMENT_TIMEOUT = 30_000;

const asksInClear = 'the server asks for the password in clear; that needs tls.mode verify-ca or verify-full';

/** Sends the password in clear to servers that have proven who they are, and to no others. */
export class AdministratorClient extends Client {
  readonly #verified: boolean;

  constructor(config?: ClientConfig) {
    super(config);
    const ssl = config?.ssl;
    this.#verified = typeof ssl === 'object' && ssl.rejectUnauthorized !== false;
  }

  /** The library's own handler for AuthenticationCleartextPassword; called by that name. */
  protected _handleAuthCleartextPassword(): void {
    const connection: unknown = Reflect.get(this, 'connection');
    if (typeof connection !== 'object' || connection === null) return;
    if (!this.#verified) {
      Reflect.apply(member(connection, 'emit'), connection, ['error', new Error(asksInClear)]);
      return;
    }
    Reflect.apply(member(connection, 'password'), connection, [this.password]);
  }
}

function member(of: object, name: string): (...args: readonly unknown[]) => unknown {
  const found: unknown = Reflect.get(of, name);
  if (typeof found !== 'function') throw new TypeError(`the PostgreSQL library has no ${name}`);
  // A function, as was just checked; what it takes is the library's matter.
  return found as (...args: readonly unknown[]) => unknown;
}

export function clientConfig({ connection, administrator }: Target, database: string): ClientConfig {
  const { target } = connection.spec;
  const port = targetPort(connection.spec);
  const name = target.tls.serverName ?? target.host;
  return {
    // The library takes the host for the name in the certificate, so that goes there, and the socket knows where to connect to.
    host: name,
    port,
    stream: () => socketTo(target.host, port),
    database,
    user: administrator.username,
    password: administrator.password,
    ssl: tlsOptions(target.tls.mode, name, administrator.ca),
    application_name: 'sidewarden-operator',
    options: '',
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    query_timeout: STATEMENT_TIMEOUT,
    keepAlive: true,
  };
}

function socketTo(host: string, port: number): Socket {
  const socket = new Socket();
  const connect = socket.connect.bind(socket);
  return Object.assign(socket, { connect: () => connect(port, host) });
}

type TlsMode = Target['connection']['spec']['target']['tls']['mode'];

function tlsOptions(mode: TlsMode, name: string, ca: string | undefined): ConnectionOptions | false {
  const common: ConnectionOptions = {
    ...(ca === undefined ? {} : { ca }),
    // An IP address is no server name (RFC 6066).
    ...(isIP(name) === 0 ? { servername: name } : {}),
    minVersion: 'TLSv1.2',
  };
  switch (mode) {
    case 'disable':
      return false;
    case 'require':
      return { ...common, rejectUnauthorized: false };
    case 'verify-ca':
      return { ...common, checkServerIdentity: () => undefined };
    case 'verify-full':
      return {
        ...common,
        checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      };
  }
}
