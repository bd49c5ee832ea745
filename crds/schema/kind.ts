/** One custom resource: its names, its schemas, and what `kubectl get` shows of it. */
import {
  choice,
  free,
  integer,
  list,
  map,
  object,
  optional,
  required,
  text,
  type Node,
  type Schema,
  type Static,
} from './schema.ts';
import { namespaceName, objectName } from './reference.ts';

export const GROUP = 'sidewarden.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}` as const;

const annotation = text('An annotation.', { maxLength: 262_144 });
const plain = (description: string) => text(description, { maxLength: 1024 });
const count = integer('Set by the API server.', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const many = { maxItems: 1024 } as const;

/** What our programs read of an object's metadata; the API server has its own, fuller check. */
export const metadataSchema = object('Standard object metadata.', {
  name: required(objectName('Name, unique for its kind in the namespace.')),
  namespace: optional(namespaceName('Namespace.')),
  labels: optional(map('Labels.', text('A label.', { maxLength: 63 }), { maxProperties: 1024 })),
  annotations: optional(map('Annotations.', annotation, { maxProperties: 1024 })),
  uid: optional(plain('Set by the API server.')),
  resourceVersion: optional(plain('Set by the API server.')),
  generation: optional(count),
  creationTimestamp: optional(plain('Set by the API server.')),
  deletionTimestamp: optional(plain('Set by the API server.')),
  deletionGracePeriodSeconds: optional(count),
  generateName: optional(plain('A prefix for a generated name.')),
  selfLink: optional(plain('Deprecated.')),
  finalizers: optional(list('Finalizers.', plain('A finalizer.'), many)),
  ownerReferences: optional(list('Owners.', free('An owner.'), many)),
  managedFields: optional(list('Who manages which field.', free('A manager.'), many)),
});

export type Metadata = Static<typeof metadataSchema>;

/** A column of `kubectl get`; `priority` 1 shows only with `-o wide`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date' | 'boolean';
  readonly jsonPath: string;
  readonly description: string;
  readonly priority?: 0 | 1;
}

export interface KindNames {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

/** An object of one of our kinds, as parsed: defaults applied. */
interface Resource<K extends string, Spec, Status> {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: K;
  readonly metadata: Metadata;
  readonly spec: Spec;
  readonly status?: Status;
}

export interface Kind<K extends string = string, Spec = unknown, Status = unknown> {
  readonly names: KindNames & { readonly kind: K };
  readonly description: string;
  readonly spec: Node;
  readonly status: Node;
  readonly columns: readonly PrinterColumn[];
  /** The whole object, as the parser reads it. */
  readonly schema: Schema<Resource<K, Spec, Status>>;
}

export function defineKind<const K extends string, Spec, Status>(definition: {
  readonly names: KindNames & { readonly kind: K };
  readonly description: string;
  readonly spec: Schema<Spec>;
  readonly status: Schema<Status>;
  readonly columns: readonly PrinterColumn[];
}): Kind<K, Spec, Status> {
  const { names, description, spec, status } = definition;
  const schema: Schema<Resource<K, Spec, Status>> = object(description, {
    apiVersion: required(choice('Group and version.', [API_VERSION])),
    kind: required(choice('The kind.', [names.kind])),
    metadata: required(metadataSchema),
    spec: required(spec),
    status: optional(status),
  });
  return { ...definition, schema };
}
