/** The Kubernetes API over plain HTTPS: any verb, path, content type and body, which kubectl would not send. */
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** `{}` of what is no JSON object. */
  readonly json: Readonly<Record<string, unknown>>;
}

interface Kubeconfig {
  readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
  readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
}

interface Credentials {
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

export class Client {
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #agent: Agent;

  private constructor(url: string, ca: string, { token, ...pair }: Credentials) {
    this.#url = url;
    this.#token = token;
    this.#agent = new Agent({ ca, ...pair, keepAlive: true, maxSockets: 8, timeout: 30_000 });
  }

  static async of(kubeconfig: string): Promise<Client> {
    // As `kubeconfigText` wrote it.
    const config = JSON.parse(await readFile(kubeconfig, 'utf8')) as Kubeconfig;
    const [{ cluster }] = config.clusters;
    const [{ user }] = config.users;
    const plain = (text: unknown) => Buffer.from(String(text), 'base64').toString();
    return new Client(cluster['server'] ?? '', plain(cluster['certificate-authority-data']), {
      cert: plain(user['client-certificate-data']),
      key: plain(user['client-key-data']),
    });
  }

  static bearing(url: string, ca: string, token: string): Client {
    return new Client(url, ca, { token });
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path);
  }

  delete(path: string, body?: object): Promise<Answer> {
    return this.send('DELETE', path, body);
  }

  post(path: string, body: object): Promise<Answer> {
    return this.send('POST', path, body);
  }

  put(path: string, body: object): Promise<Answer> {
    return this.send('PUT', path, body);
  }

  merge(path: string, body: object): Promise<Answer> {
    return this.send('PATCH', path, body, 'application/merge-patch+json');
  }

  send(
    method: string,
    path: string,
    body?: object,
    type = 'application/json',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, this.#url),
        {
          method,
          agent: this.#agent,
          headers: {
            'content-type': type,
            accept: 'application/json',
            ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
            ...headers,
          },
        },
        (response) => {
          void response.toArray().then((parts: readonly Buffer[]) => {
            const text = Buffer.concat(parts).toString();
            resolve({ status: response.statusCode ?? 0, text, json: objectOf(text) });
          }, reject);
        },
      );
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The object in this field; `{}` when there is none. */
export function inside(object: Readonly<Record<string, unknown>>, field: string): Answer['json'] {
  return objectOf(JSON.stringify(object[field] ?? {}));
}

/** The object without these fields. */
export function without(object: object, ...fields: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !fields.includes(key)));
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    // Of an object any field may be asked for.
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
