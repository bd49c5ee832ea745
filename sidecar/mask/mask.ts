/** What a mask does to a value. `Redact` hides all of it and that it is null. */
export type Mask =
  | { readonly with: 'Redact' }
  | { readonly with: 'Null' }
  /** Keeps that many characters at either end, when the value is at least twice as long as what is kept. */
  | { readonly with: 'Partial'; readonly keepFirst: number; readonly keepLast: number }
  /** Keyed (HMAC-SHA-256); the key is the session's own unless `scope` says otherwise. */
  | { readonly with: 'Hash'; readonly scope: 'Session' | 'Connection' };

/** The kinds of sensitive text that can be found in values by their look. */
export const DETECTORS = [
  'CreditCard',
  'Email',
  'PhoneNumber',
  'IBAN',
  'USSocialSecurityNumber',
  'IPAddress',
  'AWSAccessKey',
  'PrivateKey',
  'JWT',
] as const;
export type Detector = (typeof DETECTORS)[number];

/** A column whose values are protected: `schema.table.column`, exact case, as in the catalog. */
export interface ColumnMask {
  readonly column: string;
  readonly mask: Mask;
}

export interface DetectorMask {
  readonly detector: Detector;
  readonly mask: Mask;
}

/** All masks that apply to one session; the same object for equal policy, so that it can key a cache. */
export interface MaskRules {
  readonly columns: readonly ColumnMask[];
  readonly detectors: readonly DetectorMask[];
}

/** How one field of an answer is masked. */
export type FieldMask =
  | { readonly kind: 'clear' }
  | { readonly kind: 'value'; readonly mask: Mask }
  /** A row value: one entry an attribute, in order. */
  | { readonly kind: 'composite'; readonly fields: readonly FieldMask[] }
  | { readonly kind: 'array'; readonly element: FieldMask };
