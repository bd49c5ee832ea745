/** Refusals as PostgreSQL's own errors, and the server's errors with the data taken out of them. */
import type { Denial } from '../operation.ts';
import type { ErrorFields } from './wire/backend.ts';

const SQLSTATE: Record<Denial['code'], string> = {
  denied: '42501', // insufficient_privilege
  'approval-denied': '42501',
  'approval-expired': '42501',
  'approval-void': '42501',
  cancelled: '57014', // query_canceled
  mask: '42501',
  unparseable: '42601', // syntax_error
  unsupported: '0A000', // feature_not_supported
  recording: '58030', // io_error
  'policy-stale': '42501',
  internal: 'XX000', // internal_error
};

export function denialFields(denial: Denial, position = 0): ErrorFields {
  const fields = errorFields('ERROR', SQLSTATE[denial.code], denial.message, denial.detail, denial.hint);
  if (position > 0) fields.set('P', String(position));
  return fields;
}

export function errorFields(
  severity: 'ERROR' | 'FATAL' | 'NOTICE' | 'WARNING',
  sqlstate: string,
  message: string,
  detail = '',
  hint = '',
): Map<string, string> {
  const fields = new Map([
    ['S', severity],
    ['V', severity],
    ['C', sqlstate],
    ['M', message],
  ]);
  if (detail !== '') fields.set('D', detail);
  if (hint !== '') fields.set('H', hint);
  return fields;
}

/**
 * Classes whose messages are made from the statement's text and from names, never from rows
 * (PostgreSQL documentation, "PostgreSQL Error Codes").
 */
const TEXT_ONLY = new Set([
  '03',
  '08',
  '0A',
  '25',
  '26',
  '28',
  '2F',
  '34',
  '3B',
  '3D',
  '3F',
  '40',
  '42',
  '53',
  '54',
  '55',
  '57',
]);

/** What is said in place of a message that could carry a value, by its class. */
const GENERIC: ReadonlyMap<string, string> = new Map([
  ['00', 'the server sent a notice'],
  ['01', 'the server sent a warning'],
  ['22', 'a value is not valid for its type or for what is done with it'],
  ['23', 'a constraint is violated'],
  ['44', 'a view refuses the row'],
  ['P0', 'a function raised an error'],
]);

/** Notices are of class 00 whoever sends them, a function's RAISE too: these are the server's own, and only name things. */
const NAMING_NOTICE =
  /^(?:[a-z ]+ "[^"]*"(?: of relation "[^"]*"| for relation "[^"]*")? does not exist, skipping|drop cascades to .*|truncate cascades to table "[^"]*"|merging (?:column|multiple inherited definitions of column) "[^"]*".*)$/;

function isHarmless(sqlstate: string, message: string): boolean {
  return TEXT_ONLY.has(sqlstate.slice(0, 2)) || (sqlstate === '00000' && NAMING_NOTICE.test(message));
}

/** Fields that name things, and so cannot carry a value: severity, code, position, schema, table, column, type, constraint. */
const NAMES = ['S', 'V', 'C', 'P', 's', 't', 'c', 'd', 'n'];

/**
 * The server's error or notice without anything that could hold a protected value: its class decides whether the message
 * stays; detail, context, internal query and hint always go.
 */
export function withoutValues(fields: ErrorFields): ErrorFields {
  const kept = new Map<string, string>();
  for (const name of NAMES) {
    const value = fields.get(name);
    if (value !== undefined) kept.set(name, value);
  }
  const sqlstate = fields.get('C') ?? 'XX000';
  const said = fields.get('M') ?? '';
  const message = isHarmless(sqlstate, said) ? said : undefined;
  kept.set('M', message ?? GENERIC.get(sqlstate.slice(0, 2)) ?? 'the server reported an error');
  if (message === undefined)
    kept.set('D', 'The message is withheld, since this connection masks data that it could show.');
  return kept;
}

/** A text that no PostgreSQL takes: sent in place of a refused message, so that the server itself fails the batch and the transaction. */
export const POISON = 'SIDEWARDEN REFUSED THIS STATEMENT';
