/**
 * AdmissionReview v1: the API server's question parsed strictly, and our answer to it. Fields of the envelope that we do not know
 * are left alone (v1 may grow); what we use must be there and have its type.
 */
import type { UserInfo } from '../kube/kube.ts';
import type { Json } from './json.ts';
import { isJson } from './json.ts';
import { jsonPatch } from './json-patch.ts';

const API_VERSION = 'admission.k8s.io/v1';
const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] as const;
type Operation = (typeof OPERATIONS)[number];

export interface AdmissionRequest {
  /** Names this question; repeated in the answer. */
  readonly uid: string;
  /** Of `object`: after conversion to what our rule matched. */
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly resource: { readonly group: string; readonly version: string; readonly resource: string };
  /** Empty for the resource itself. */
  readonly subresource: string;
  /** Empty when the API server has yet to make the name. */
  readonly name: string;
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly operation: Operation;
  /** Who asks the API server, by its own word. */
  readonly user: UserInfo;
  /** As it is to be; undefined for DELETE. For CONNECT the options, for example a PodExecOptions. */
  readonly object: Json | undefined;
  /** As it is; for UPDATE and DELETE. */
  readonly oldObject: Json | undefined;
  /** For example CreateOptions. */
  readonly options: Json | undefined;
  readonly dryRun: boolean;
}

export type AdmissionAnswer =
  /** `object`: what the request's object becomes; the same as it was when not given. Only mutating paths may give it. */
  | { readonly kind: 'allowed'; readonly warnings?: readonly string[]; readonly object?: Json }
  /** 403 forbidden, 422 not valid; the message is shown to the user and holds no secret. */
  | { readonly kind: 'refused'; readonly code: 403 | 422; readonly message: string };

/** Undefined when it is not an AdmissionReview v1 with all that we use. */
export function parseReview(input: unknown): AdmissionRequest | undefined {
  if (!isJson(input) || input['apiVersion'] !== API_VERSION || input['kind'] !== 'AdmissionReview')
    return undefined;
  const { request } = input;
  if (!isJson(request)) return undefined;
  const uid = text(request['uid']);
  const kind = names(request['kind'], 'kind');
  const resource = names(request['resource'], 'resource');
  const operation = OPERATIONS.find((known) => known === request['operation']);
  const user = userInfo(request['userInfo']);
  const rest = [request['subResource'], request['name'], request['namespace']].map(optionalText);
  const [subresource, name, namespace] = rest;
  const objects = [request['object'], request['oldObject'], request['options']].map(optionalJson);
  const dryRun = request['dryRun'] ?? false;
  if (uid === undefined || uid === '' || kind === undefined || resource === undefined) return undefined;
  if (operation === undefined || user === undefined || typeof dryRun !== 'boolean') return undefined;
  if (subresource === undefined || name === undefined || namespace === undefined) return undefined;
  if (objects.includes('invalid')) return undefined;
  const [object, oldObject, options] = objects.map((value) => (value === 'invalid' ? undefined : value));
  return {
    ...{ uid, operation, user, subresource, name, namespace, object, oldObject, options, dryRun },
    kind: { group: kind.group, version: kind.version, kind: kind.last },
    resource: { group: resource.group, version: resource.version, resource: resource.last },
  };
}

/** The AdmissionReview that answers `request`. */
export function answerReview(request: AdmissionRequest, answer: AdmissionAnswer): unknown {
  return { apiVersion: API_VERSION, kind: 'AdmissionReview', response: response(request, answer) };
}

function response(request: AdmissionRequest, answer: AdmissionAnswer): unknown {
  const { uid } = request;
  switch (answer.kind) {
    case 'refused': {
      const reason = answer.code === 422 ? 'Invalid' : 'Forbidden';
      const status = { code: answer.code, reason, message: escaped(answer.message), status: 'Failure' };
      return { uid, allowed: false, status };
    }
    case 'allowed': {
      const warnings = answer.warnings?.map(escaped) ?? [];
      const patch = answer.object === undefined ? [] : jsonPatch(request.object, answer.object);
      return {
        ...{ uid, allowed: true },
        ...(warnings.length === 0 ? {} : { warnings }),
        ...(patch.length === 0
          ? {}
          : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
      };
    }
  }
}

/** Messages quote what users wrote and end up on terminals and in HTTP headers. */
function escaped(message: string): string {
  return message.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

function names(
  input: unknown,
  lastField: 'kind' | 'resource',
): { readonly group: string; readonly version: string; readonly last: string } | undefined {
  if (!isJson(input)) return undefined;
  const group = optionalText(input['group']);
  const version = text(input['version']);
  const last = text(input[lastField]);
  if (group === undefined || version === undefined || last === undefined) return undefined;
  return { group, version, last };
}

function userInfo(input: unknown): UserInfo | undefined {
  if (!isJson(input)) return undefined;
  const username = optionalText(input['username']);
  const uid = optionalText(input['uid']);
  const groups = texts(input['groups'] ?? []);
  const extraInput = input['extra'] ?? {};
  if (username === undefined || uid === undefined || groups === undefined || !isJson(extraInput))
    return undefined;
  const extra: [string, readonly string[]][] = [];
  for (const [key, value] of Object.entries(extraInput)) {
    const list = texts(value);
    if (list === undefined) return undefined;
    extra.push([key, list]);
  }
  return { username, uid, groups, extra: Object.fromEntries(extra) };
}

function texts(input: unknown): readonly string[] | undefined {
  if (!Array.isArray(input)) return undefined;
  const list = input.filter((item): item is string => typeof item === 'string');
  return list.length === input.length ? list : undefined;
}

function text(input: unknown): string | undefined {
  return typeof input === 'string' ? input : undefined;
}

function optionalText(input: unknown): string | undefined {
  return input === undefined || input === null ? '' : text(input);
}

function optionalJson(input: unknown): Json | 'invalid' | undefined {
  if (input === undefined || input === null) return undefined;
  return isJson(input) ? input : 'invalid';
}
