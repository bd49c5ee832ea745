/** Calls of the API server that must go well, on connections that are kept. */
import type { Call, Transport } from '../../operator/kube/transport.ts';

const MERGE_PATCH = 'application/merge-patch+json';

/** The answer's object; throws what the API server says no with. */
export async function answered(api: Transport, call: Call): Promise<unknown> {
  const { status, body } = await api.call(call);
  if (status < 300) return body;
  throw new Error(`${call.method} ${call.path}: ${status} ${JSON.stringify(body).slice(0, 1000)}`);
}

export async function patch(api: Transport, path: string, body: object): Promise<unknown> {
  return answered(api, { method: 'PATCH', path, body, contentType: MERGE_PATCH });
}

/** Text at a path of an answer; throws when there is none. */
export function textAt(object: unknown, ...path: readonly string[]): string {
  let value = object;
  for (const name of path) {
    if (typeof value !== 'object' || value === null) break;
    // An object's property by name: unknown until looked at.
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  if (typeof value !== 'string') throw new Error(`the answer has no ${path.join('.')}`);
  return value;
}
