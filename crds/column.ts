/** Column names in masks, by PostgreSQL's rules for identifiers. */

const IDENTIFIER = '("([^"\\x00]|""){1,126}"|([A-Za-z_]|[^\\x00-\\x7F])([A-Za-z0-9_$]|[^\\x00-\\x7F]){0,62})';
export const COLUMN_PATTERN = `^${IDENTIFIER}\\.${IDENTIFIER}\\.${IDENTIFIER}$`;

/** PostgreSQL cuts longer identifiers silently (NAMEDATALEN - 1): such a mask would match nothing. */
const MAX_IDENTIFIER_BYTES = 63;

/** A column by the names that the catalog has. */
export interface ColumnName {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
}

/** Quoted names as written, others in lower case; null when it is no `schema.table.column`. */
export function parseColumnName(text: string): ColumnName | null {
  if (!new RegExp(COLUMN_PATTERN, 'u').test(text)) return null;
  const parts = Array.from(text.matchAll(/"((?:[^"]|"")*)"|[^."]+/gu), identifier);
  const [schema, table, column] = parts;
  if (schema === undefined || table === undefined || column === undefined || parts.length !== 3) return null;
  if (parts.some((part) => Buffer.byteLength(part) > MAX_IDENTIFIER_BYTES)) return null;
  return { schema, table, column };
}

/** The complaint about a column name that fits the pattern and is still none, or null. */
export function checkColumnName(text: string): string | null {
  return parseColumnName(text) === null
    ? `names longer than ${MAX_IDENTIFIER_BYTES} bytes exist in no catalog`
    : null;
}

/** Folds as PostgreSQL does in UTF-8: only ASCII letters. */
function identifier([whole, quoted]: RegExpMatchArray): string {
  if (quoted !== undefined) return quoted.replaceAll('""', '"');
  return whole.replace(/[A-Z]/gu, (letter) => letter.toLowerCase());
}
