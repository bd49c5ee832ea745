/** An HTTPS server of the operator's: its certificate can be replaced while it serves, and it ends without cutting what is under way. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Certificates } from './admission/certificate-source.ts';
import { CHECKING_INTERVAL, limitConnections } from './connections.ts';
import type { ShareLimits } from './shares.ts';

export interface HttpsOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** All addresses when not given. */
  readonly address?: string;
  readonly certificates: Certificates;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Time-outs and caps of node's own. */
  readonly limits: Omit<ServerOptions, 'key' | 'cert' | 'minVersion' | 'connectionsCheckingInterval'>;
  readonly connections: ShareLimits;
  /** Milliseconds that requests under way have at the end. */
  readonly patience: number;
  readonly serve: (request: IncomingMessage, response: ServerResponse) => void;
}

export interface HttpsServer {
  readonly port: number;
  /**
   * Each answer is the last on its connection from now on: who has more to ask comes by another one, elsewhere. Without it a client that
   * writes its next request in the moment of `close` loses it, and an API server does not ask a webhook twice.
   */
  drain(): void;
  /** Lets requests that are there be answered, then ends all connections. */
  close(): Promise<void>;
}

/** Rejects when it cannot listen. */
export async function startHttps(options: HttpsOptions): Promise<HttpsServer> {
  const { certificates, minVersion, limits, patience } = options;
  const secure = () => {
    const { certificate, key } = certificates.current();
    return { cert: certificate, key, minVersion };
  };
  const server = createServer({
    ...limits,
    connectionsCheckingInterval: CHECKING_INTERVAL,
    ALPNCallback: chooseProtocol,
    ...secure(),
  });
  limitConnections(server, options.connections);
  server.on('tlsClientError', () => undefined);
  let draining = false;
  server.on('request', (request, response) => {
    if (draining) response.setHeader('connection', 'close');
    options.serve(request, response);
  });
  const stopWatching = certificates.watch(() => server.setSecureContext(secure()));
  try {
    await listen(server, options);
  } catch (error) {
    stopWatching();
    throw error;
  }
  // A server that listens on a port has an AddressInfo, says Node's documentation.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    drain: () => {
      draining = true;
    },
    close: () => {
      stopWatching();
      return close(server, patience);
    },
  };
}

/**
 * As node itself would choose. Given as a list instead, each connection would have a copy of it, and with it keep whatever block of
 * node's buffer pool that is in: 50 KB for ten bytes.
 */
function chooseProtocol({ protocols }: { readonly protocols: readonly string[] }): string | undefined {
  return protocols.find((protocol) => protocol === 'http/1.1');
}

function listen(server: Server, { port, address }: HttpsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(address === undefined ? {} : { host: address }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server, patience: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), patience);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
