/** Lists of any length, page by page, so that no answer is large. */
import { APPROVALS, KubeError, type KubeObject, type Resource } from './kube.ts';
import { isJson, pathOf, readObject } from './object.ts';
import { type Call, type Transport, refusal } from './transport.ts';

const PAGE = 200;
/** Approvals may hold texts of a megabyte, and an agent chooses them. */
const APPROVALS_PAGE = 20;

export interface Selection {
  /** All namespaces when not given. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly stop?: AbortSignal;
}

/** The newest state, never from the API server's cache alone. Resolves to the version that the list is of. */
export async function listPages(
  transport: Pick<Transport, 'call'>,
  resource: Resource,
  { namespace = '', labelSelector, stop }: Selection,
  take: (object: KubeObject) => void,
): Promise<string> {
  let next: string | undefined;
  for (;;) {
    const query = {
      limit: String(resource.plural === APPROVALS.plural ? APPROVALS_PAGE : PAGE),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(next === undefined ? {} : { continue: next }),
    };
    const call: Call = { method: 'GET', path: pathOf(resource, namespace), query, stop };
    const answer = await transport.call(call);
    if (answer.status !== 200) throw refusal(call, answer);
    const page = readPage(call, answer.body);
    for (const item of page.items) take(readObject(resource, item));
    if (page.next === undefined) return page.version;
    next = page.next;
  }
}

interface Page {
  readonly items: readonly unknown[];
  readonly version: string;
  readonly next: string | undefined;
}

function readPage(call: Call, body: unknown): Page {
  const metadata = isJson(body) ? body['metadata'] : undefined;
  const items = isJson(body) ? (body['items'] ?? []) : undefined;
  if (!isJson(metadata) || !Array.isArray(items) || typeof metadata['resourceVersion'] !== 'string')
    throw new KubeError(`${call.path}: the answer is no list`, undefined);
  const next = metadata['continue'];
  return {
    items,
    version: metadata['resourceVersion'],
    next: typeof next === 'string' && next !== '' ? next : undefined,
  };
}
