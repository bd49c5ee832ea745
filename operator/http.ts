/** Health and metrics, for kubelet and Prometheus: plain HTTP, nothing secret. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CHECKING_INTERVAL, limitConnections } from './connections.ts';

export interface HttpSources {
  readonly ready: () => boolean;
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Of one address a few: the kubelet must get in whoever else is there, or it restarts the operator. */
const CONNECTIONS = { whole: 1024, each: 16 };
/** Milliseconds. */
const REQUEST_DEADLINE = 5_000;

/** `/healthz`, `/readyz`, `/metrics`. Rejects when it cannot listen. */
export async function startHttp(address: string, port: number, sources: HttpSources): Promise<HttpServer> {
  const limits = {
    headersTimeout: REQUEST_DEADLINE,
    requestTimeout: REQUEST_DEADLINE,
    connectionsCheckingInterval: CHECKING_INTERVAL,
  };
  const server = createServer(limits, (request, response) => {
    const say = (status: number, text: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
      response.end(text);
    };
    const path = request.method === 'GET' ? request.url : undefined;
    switch (path) {
      case '/healthz':
        say(200, 'ok\n');
        return;
      case '/readyz':
        say(sources.ready() ? 200 : 503, sources.ready() ? 'ready\n' : 'not ready\n');
        return;
      case '/metrics':
        sources.metrics().then(
          (text) => say(200, text, sources.metricsType),
          () => say(500, 'metrics cannot be had\n'),
        );
        return;
      default:
        say(404, 'not found\n');
    }
  });
  limitConnections(server, CONNECTIONS);
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(port, address, () => {
      server.off('error', failed);
      done();
    });
  });
  // A TCP server's address is an object.
  const { port: taken } = server.address() as AddressInfo;
  return {
    port: taken,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
