/** What a type's values are made of, as far as masks must know: plain data, from PostgreSQL's own list or the catalog. */

export type TypeShape =
  /** Any text; in binary the same bytes. `padded`: blanks at its end say nothing (char(n)). */
  | { readonly kind: 'text'; readonly padded: boolean }
  /** `version`: jsonb, in binary a byte 1 before the text. */
  | { readonly kind: 'json'; readonly version: boolean }
  /** Cannot carry what a detector looks for: dates, booleans, small numbers, identifiers. */
  | { readonly kind: 'plain' }
  /** Text within a syntax of its own, in binary readable in part: what is found in it hides the whole value. */
  | { readonly kind: 'carrier' }
  | { readonly kind: 'bytea' }
  | { readonly kind: 'number'; readonly of: 'int8' | 'float8' | 'numeric' }
  | { readonly kind: 'inet' }
  | { readonly kind: 'array'; readonly element: number; readonly delimiter: string }
  /** A row type: types of its attributes in order, dropped ones left out. */
  | { readonly kind: 'composite'; readonly attributes: readonly number[] }
  /** A row whose type has no name: binary says what it is made of, text does not. */
  | { readonly kind: 'record' }
  | { readonly kind: 'range'; readonly subtype: number }
  | { readonly kind: 'multirange'; readonly subtype: number }
  | { readonly kind: 'domain'; readonly base: number }
  /** Not known, but the answer is for people and files and has no types: COPY in text and csv. Any text may stand in it. */
  | { readonly kind: 'untyped' }
  /** Not known: may be anything. */
  | { readonly kind: 'opaque' };

/** Undefined for a type that was not loaded; it is then `opaque`. */
export type TypeLookup = (oid: number) => TypeShape | undefined;

const OPAQUE: TypeShape = { kind: 'opaque' };
const DEEPEST_DOMAIN = 32;

/** The shape behind all domains. */
export function shapeOf(oid: number, types: TypeLookup): TypeShape {
  let shape = types(oid);
  for (let depth = 0; shape?.kind === 'domain' && depth < DEEPEST_DOMAIN; depth++) shape = types(shape.base);
  return shape === undefined || shape.kind === 'domain' ? OPAQUE : shape;
}
