/** Health and metrics, for kubelet and Prometheus: plain HTTP, nothing secret. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpSources {
  readonly ready: () => boolean;
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `/healthz`, `/readyz`, `/metrics`. Rejects when it cannot listen. */
export async function startHttp(address: string, port: number, sources: HttpSources): Promise<HttpServer> {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
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
  server.maxConnections = 64;
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
