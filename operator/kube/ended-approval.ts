/** What is kept in the cache of an Approval that is over. */
import { text } from './field.ts';
import type { KubeObject } from './kube.ts';
import { type Json, isJson } from './object.ts';

/** Not `Denied`: its stamps are verified, and what was denied is remembered, from the whole request. */
const OVER: ReadonlySet<string | undefined> = new Set(['Used', 'Expired', 'Void']);

/**
 * Without the operation's texts, evidence and warnings, whose length an agent chooses: of one that was used, is expired or void, no
 * stamp is verified any more. People read it live, whole.
 */
export function trimApproval(approval: KubeObject): KubeObject {
  if (!OVER.has(text(approval, ['status', 'phase']))) return approval;
  const { spec } = approval;
  const request = json(json(spec)['request']);
  const operation = { ...json(request['operation']), text: '', parameters: [], tables: [] };
  return {
    ...approval,
    spec: { ...json(spec), request: { ...request, operation, evidence: {}, warnings: [] } },
  };
}

function json(value: unknown): Json {
  return isJson(value) ? value : {};
}
