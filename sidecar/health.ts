/** What the kubelet and Prometheus ask of a sidecar. The agent shares the pod's network: nothing here is worth hiding from it. */
import { type Server, type ServerResponse, createServer } from 'node:http';

export interface HealthSource {
  readonly ready: boolean;
  /** In the Prometheus exposition format. */
  metrics(): Promise<string>;
  readonly metricsType: string;
}

export class HealthServer {
  readonly #server: Server;

  constructor(source: HealthSource) {
    this.#server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
      response.setHeader('connection', 'close');
      if (request.method !== 'GET') end(response, 405, 'only GET is answered\n');
      else if (request.url === '/readyz' || request.url === '/ready')
        end(response, source.ready ? 200 : 503, source.ready ? 'ready\n' : 'not ready\n');
      else if (request.url === '/metrics') void tell(response, source);
      else end(response, 404, 'there is /readyz and /metrics\n');
    });
    this.#server.maxConnections = 64;
  }

  /** Resolves with the port. Rejects when the address cannot be had. */
  listen({ address, port }: { readonly address: string; readonly port: number }): Promise<number> {
    return new Promise((done, fail) => {
      this.#server.once('error', fail);
      this.#server.listen(port, address, () => {
        this.#server.off('error', fail);
        const bound = this.#server.address();
        done(bound !== null && typeof bound === 'object' ? bound.port : port);
      });
    });
  }

  close(): Promise<void> {
    return new Promise((done) => {
      this.#server.close(() => done());
      this.#server.closeAllConnections();
    });
  }
}

async function tell(response: ServerResponse, source: HealthSource): Promise<void> {
  try {
    const text = await source.metrics();
    response.setHeader('content-type', source.metricsType);
    end(response, 200, text);
  } catch {
    end(response, 500, 'the metrics cannot be read\n');
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(text);
}
