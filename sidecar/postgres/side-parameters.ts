/** Start-up parameters of our own connections to the target. */
import { EVIDENCE_SETTINGS } from './evidence.ts';

/** Internal queries are short, wait for no lock, and look names up nowhere but where they say. */
export const SIDE_PARAMETERS = new Map([
  ['application_name', 'sidewarden'],
  ['client_encoding', 'UTF8'],
  ['standard_conforming_strings', 'on'],
  ['statement_timeout', '5000'],
  ['lock_timeout', '1000'],
  ['search_path', 'pg_catalog'],
  ['default_transaction_read_only', 'on'],
]);

export const EVIDENCE_PARAMETERS = new Map([...EVIDENCE_SETTINGS, ['application_name', 'sidewarden']]);
