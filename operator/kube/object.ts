/** From what the API server answers to a `KubeObject`: the metadata checked, `managedFields` dropped. */
import { KubeError, type KubeMetadata, type KubeObject, type Resource } from './kube.ts';

export type Json = Readonly<Record<string, unknown>>;

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Items of a list have no `apiVersion` and `kind` of their own: they come from the resource. Throws a `KubeError`. */
export function readObject(resource: Resource, value: unknown): KubeObject {
  if (!isJson(value) || !isJson(value['metadata'])) throw unexpected(resource, 'an object without metadata');
  const complete: Json = {
    ...value['metadata'],
    namespace: value['metadata']['namespace'] ?? '',
    managedFields: undefined,
  };
  if (!isMetadata(complete)) throw unexpected(resource, 'metadata that is not complete');
  return { ...value, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: complete };
}

export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

/** The collection's path, or an object's, or its subresource's. */
export function pathOf(resource: Resource, namespace: string, name?: string, subresource?: string): string {
  const root = resource.group === '' ? ['api'] : ['apis', resource.group];
  const place = resource.namespaced && namespace !== '' ? ['namespaces', namespace] : [];
  const rest = [name, subresource].filter((each) => each !== undefined);
  const parts = [...root, resource.version, ...place, resource.plural, ...rest];
  return `/${parts.map(segment).join('/')}`;
}

function segment(text: string): string {
  // The API server would take these for another path, or another object.
  if (text === '' || text === '.' || text === '..') throw new KubeError('a name that is none', undefined);
  return encodeURIComponent(text);
}

function isMetadata(value: Json): value is Json & KubeMetadata {
  return (
    isText(value['name']) &&
    typeof value['namespace'] === 'string' &&
    isText(value['uid']) &&
    isText(value['resourceVersion']) &&
    isText(value['creationTimestamp']) &&
    (value['generation'] === undefined || typeof value['generation'] === 'number') &&
    (value['deletionTimestamp'] === undefined || isText(value['deletionTimestamp'])) &&
    (value['labels'] === undefined || isTexts(value['labels'])) &&
    (value['annotations'] === undefined || isTexts(value['annotations'])) &&
    (value['finalizers'] === undefined || isList(value['finalizers']))
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isTexts(value: unknown): boolean {
  return isJson(value) && Object.values(value).every((each) => typeof each === 'string');
}

function isList(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function unexpected(resource: Resource, what: string): KubeError {
  return new KubeError(`the API server answered ${what} for ${resource.plural}`, undefined);
}
