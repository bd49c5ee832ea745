/**
 * Schema as code: one value from which come the static type (`Static`), the OpenAPI v3 structural schema that
 * kube-apiserver checks (`openapi.ts`) and the strict parser from `unknown` (`parse.ts`).
 */

/** A check in CEL over `self` (and `oldSelf`: then it is a transition rule, checked on updates only). */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** Name of the child field that the error is about, when it is not this value as a whole. */
  readonly field?: string;
}

interface Common {
  readonly description: string;
  readonly rules?: readonly Rule[];
  readonly nullable?: boolean;
}

export interface StringNode extends Common {
  readonly kind: 'string';
  readonly minLength?: number;
  /** In Unicode code points, as kube-apiserver counts. */
  readonly maxLength?: number;
  /** Within what both RE2 and JavaScript (`u` flag) read the same way; anchored by the author. */
  readonly pattern?: string;
  /** Says in words what the pattern wants. */
  readonly patternMessage?: string;
  readonly format?: 'date-time';
  readonly values?: readonly string[];
  /** What neither pattern nor CEL can say; returns the complaint, or null. Only our parser checks it. */
  readonly refine?: (value: string) => string | null;
}

export interface IntegerNode extends Common {
  readonly kind: 'integer';
  readonly minimum: number;
  readonly maximum: number;
}

export interface BooleanNode extends Common {
  readonly kind: 'boolean';
}

export interface ListNode extends Common {
  readonly kind: 'list';
  readonly items: Node;
  readonly minItems?: number;
  readonly maxItems: number;
  /** `set`: no value twice. A field's name: no two items with the same value of that field. */
  readonly unique?: 'set' | { readonly key: string };
}

/** An object with free keys and values of one kind. */
export interface MapNode extends Common {
  readonly kind: 'map';
  readonly values: Node;
  readonly maxProperties: number;
  /** Only our parser checks it: structural schemas cannot say it. */
  readonly keys?: { readonly pattern: string; readonly message: string };
}

/** An object with free content; nothing in it is checked but its depth. */
export interface FreeNode extends Common {
  readonly kind: 'free';
  readonly minProperties?: number;
}

export interface ObjectNode extends Common {
  readonly kind: 'object';
  readonly fields: Readonly<Record<string, FieldNode>>;
}

export type Node = StringNode | IntegerNode | BooleanNode | ListNode | MapNode | FreeNode | ObjectNode;

type Presence = 'required' | 'optional' | 'default';

export interface FieldNode {
  readonly presence: Presence;
  readonly schema: Node;
  /** As written in a manifest; the defaults of what is inside it are applied too. */
  readonly value?: unknown;
}

/** Exists in types only: carries what a schema's parsed value is. */
declare const parsed: unique symbol;

export type Schema<T> = Node & { readonly [parsed]?: T };
export type Field<T, P extends Presence> = FieldNode & { readonly presence: P; readonly [parsed]?: T };

/** The type of what a schema parses to. */
export type Static<S> = S extends { readonly [parsed]?: infer T } ? T : never;

type Flat<T> = { readonly [K in keyof T]: T[K] };
type OptionalKeys<F> = {
  [K in keyof F]: F[K] extends { readonly presence: 'optional' } ? K : never;
}[keyof F];
type ObjectOf<F> = Flat<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Static<F[K]> } & {
    readonly [K in OptionalKeys<F>]?: Static<F[K]>;
  }
>;

export function required<T>(schema: Schema<T>): Field<T, 'required'> {
  return { presence: 'required', schema };
}

export function optional<T>(schema: Schema<T>): Field<T, 'optional'> {
  return { presence: 'optional', schema };
}

/** `value` is what an absent field is read as. */
export function defaulted<T>(schema: Schema<T>, value: unknown): Field<T, 'default'> {
  return { presence: 'default', schema, value };
}

type StringOptions = Omit<StringNode, 'kind' | 'description' | 'values'> & { readonly maxLength: number };

export function text(description: string, options: StringOptions): Schema<string> {
  return { kind: 'string', description, ...options };
}

export function choice<const V extends string>(description: string, values: readonly V[]): Schema<V> {
  return { kind: 'string', description, values };
}

export function timestamp(description: string): Schema<string> {
  return { kind: 'string', description, format: 'date-time', maxLength: 64 };
}

export function integer(
  description: string,
  bounds: { readonly minimum: number; readonly maximum: number },
): Schema<number> {
  return { kind: 'integer', description, ...bounds };
}

export function boolean(description: string, rules?: readonly Rule[]): Schema<boolean> {
  return { kind: 'boolean', description, ...(rules === undefined ? {} : { rules }) };
}

type ListOptions = Omit<ListNode, 'kind' | 'description' | 'items'>;

export function list<T>(description: string, items: Schema<T>, options: ListOptions): Schema<readonly T[]> {
  return { kind: 'list', description, items, ...options };
}

export function map<T>(
  description: string,
  values: Schema<T>,
  options: Pick<MapNode, 'maxProperties' | 'keys'>,
): Schema<Readonly<Record<string, T>>> {
  return { kind: 'map', description, values, ...options };
}

export function free(
  description: string,
  options: Pick<FreeNode, 'minProperties'> = {},
): Schema<Readonly<Record<string, unknown>>> {
  return { kind: 'free', description, ...options };
}

export function object<const F extends Readonly<Record<string, FieldNode>>>(
  description: string,
  fields: F,
  rules?: readonly Rule[],
): Schema<ObjectOf<F>> {
  return { kind: 'object', description, fields, ...(rules === undefined ? {} : { rules }) };
}

export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return { ...schema, nullable: true };
}
