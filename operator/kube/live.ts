/** Live reads and writes of any resource, and the API server's word on tokens and rights. */
import { KubeError } from './kube.ts';
import type { AccessQuestion, Kube, KubeObject, Resource, UserInfo, Written } from './kube.ts';
import { listPages } from './list.ts';
import { type Json, isJson, pathOf, readObject } from './object.ts';
import { type Answer, type Call, type Transport, messageOf, refusal } from './transport.ts';

const MERGE_PATCH = 'application/merge-patch+json';
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const ACCESS_REVIEWS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

type Live = Pick<Kube, 'get' | 'list' | 'create' | 'patch' | 'delete' | 'tokenReview' | 'mayAccess'>;

export function live(transport: Transport): Live {
  return {
    get: async (resource, namespace, name) => {
      const call: Call = { method: 'GET', path: pathOf(resource, namespace, name) };
      const answer = await transport.call(call);
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refusal(call, answer);
      return readObject(resource, answer.body);
    },
    list: async (resource, namespace, labelSelector) =>
      listAll(transport, resource, namespace, labelSelector),
    create: async (resource, object) => {
      const call: Call = { method: 'POST', path: pathOf(resource, namespaceOf(object)), body: object };
      return written(resource, call, await transport.call(call));
    },
    patch: async (resource, namespace, name, body, subresource) => {
      const path = pathOf(resource, namespace, name, subresource);
      const call: Call = { method: 'PATCH', path, body, contentType: MERGE_PATCH };
      return written(resource, call, await transport.call(call));
    },
    delete: async (resource, namespace, name, uid) => {
      const body = uid === undefined ? undefined : { preconditions: { uid } };
      const call: Call = { method: 'DELETE', path: pathOf(resource, namespace, name), body };
      return deleted(resource, call, await transport.call(call));
    },
    tokenReview: (token, audience) => reviewToken(transport, token, audience),
    mayAccess: (question) => reviewAccess(transport, question),
  };
}

async function listAll(
  transport: Transport,
  resource: Resource,
  namespace?: string,
  labelSelector?: string,
): Promise<readonly KubeObject[]> {
  for (let attempt = 0; ; attempt += 1) {
    const objects: KubeObject[] = [];
    try {
      await listPages(transport, resource, { namespace, labelSelector }, (object) => objects.push(object));
      return objects;
    } catch (error) {
      // The version that the pages are of was compacted meanwhile.
      if (attempt > 0 || !(error instanceof KubeError) || error.status !== 410) throw error;
    }
  }
}

function namespaceOf(object: unknown): string {
  const metadata = isJson(object) ? object['metadata'] : undefined;
  const namespace = isJson(metadata) ? metadata['namespace'] : undefined;
  return typeof namespace === 'string' ? namespace : '';
}

function written(resource: Resource, call: Call, answer: Answer): Written {
  switch (answer.status) {
    case 200:
    case 201:
      return { kind: 'written', object: readObject(resource, answer.body) };
    case 404:
      return { kind: 'not-found' };
    case 409:
      return { kind: 'conflict' };
    case 400:
    case 403:
    case 413:
    case 422:
      // That we ourselves lack a right is a fault of the installation, not of the object.
      if (/ User "[^"]*" cannot /u.test(messageOf(answer.body))) throw refusal(call, answer);
      if (isOtherUid(answer.body)) return { kind: 'conflict' };
      return { kind: 'rejected', message: messageOf(answer.body) };
    default:
      throw refusal(call, answer);
  }
}

/** In a patch, a uid that is not the object's counts as a forbidden change of the field. */
function isOtherUid(body: unknown): boolean {
  const details = isJson(body) ? body['details'] : undefined;
  const causes = isJson(details) ? details['causes'] : undefined;
  return Array.isArray(causes) && causes.some((cause) => isJson(cause) && cause['field'] === 'metadata.uid');
}

function deleted(resource: Resource, call: Call, answer: Answer): Written | { readonly kind: 'deleted' } {
  if (answer.status !== 200 && answer.status !== 202) return written(resource, call, answer);
  if (!isJson(answer.body) || answer.body['kind'] === 'Status') return { kind: 'deleted' };
  const object = readObject(resource, answer.body);
  // With finalizers, or a grace period, it is still there.
  return object.metadata.deletionTimestamp === undefined ? { kind: 'deleted' } : { kind: 'written', object };
}

async function reviewToken(
  transport: Transport,
  token: string,
  audience: string,
): Promise<UserInfo | undefined> {
  const spec = { token, audiences: [audience] };
  const status = await review(transport, TOKEN_REVIEWS, 'authentication.k8s.io/v1', 'TokenReview', spec);
  if (status['authenticated'] !== true) return undefined;
  // An API server that knows nothing of audiences names none.
  const audiences = status['audiences'];
  if (!Array.isArray(audiences) || !audiences.includes(audience)) return undefined;
  return readUser(status['user']);
}

async function reviewAccess(transport: Transport, question: AccessQuestion): Promise<boolean> {
  const { user, verb, group, resource, subresource, namespace, name } = question;
  const place = { verb, group, resource, namespace, name };
  const spec = {
    user: user.username,
    uid: user.uid,
    groups: user.groups,
    extra: user.extra,
    resourceAttributes: subresource === undefined ? place : { ...place, subresource },
  };
  const status = await review(
    transport,
    ACCESS_REVIEWS,
    'authorization.k8s.io/v1',
    'SubjectAccessReview',
    spec,
  );
  return status['allowed'] === true && status['denied'] !== true;
}

async function review(
  transport: Transport,
  path: string,
  apiVersion: string,
  kind: string,
  spec: Json,
): Promise<Json> {
  const call: Call = { method: 'POST', path, body: { apiVersion, kind, spec } };
  const { status, body } = await transport.call(call);
  // The answer repeats what was asked, a token too: nothing of it goes into the error.
  if (status !== 200 && status !== 201) throw refusal(call, { status, body: undefined });
  const answered = isJson(body) ? body['status'] : undefined;
  if (!isJson(answered)) throw new KubeError(`POST ${path}: an answer without status`, undefined);
  return answered;
}

function readUser(value: unknown): UserInfo | undefined {
  if (!isJson(value) || typeof value['username'] !== 'string' || value['username'] === '') return undefined;
  const extra = isJson(value['extra']) ? Object.entries(value['extra']) : [];
  return {
    username: value['username'],
    uid: typeof value['uid'] === 'string' ? value['uid'] : '',
    groups: texts(value['groups']),
    extra: Object.fromEntries(extra.map(([key, values]) => [key, texts(values)])),
  };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
