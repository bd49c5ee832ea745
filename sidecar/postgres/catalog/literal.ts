/** Values inside the catalog's own SQL texts. Names are untrusted: they come from an agent's statements. */
import { CatalogError } from './catalog-error.ts';

/** Oids from here on were given out after initdb: what has one is no part of PostgreSQL itself. */
export const FIRST_USER_OID = 16384;

/** PostgreSQL's NAMEDATALEN, less its closing NUL: longer names are cut there, whoever writes them. */
const NAME_BYTES = 63;

/** A name as PostgreSQL cuts it: at most 63 bytes of UTF-8, never through a character. */
export function truncateName(name: string): string {
  if (name.length * 3 <= NAME_BYTES) return name;
  const bytes = Buffer.from(name, 'utf8');
  if (bytes.length <= NAME_BYTES) return name;
  let end = NAME_BYTES;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

/**
 * A string literal that means the same whatever `standard_conforming_strings` says.
 * Throws `bad-name` for NUL and for lone surrogates, which no text of PostgreSQL can hold.
 */
export function textLiteral(value: string): string {
  if (value.includes('\0') || !value.isWellFormed()) {
    throw new CatalogError('bad-name', 'a name holds a character that PostgreSQL has none for');
  }
  return `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

export function nameArray(names: Iterable<string>): string {
  return `ARRAY[${Array.from(names, textLiteral).join(',')}]::pg_catalog.name[]`;
}

/** Throws `bad-name` for what is no oid. */
export function oidArray(oids: Iterable<number>): string {
  const checked = Array.from(oids, (oid) => {
    if (!Number.isInteger(oid) || oid < 0 || oid > 0xffffffff) throw new CatalogError('bad-name', 'no oid');
    return oid;
  });
  return `'{${checked.join(',')}}'::pg_catalog.oid[]`;
}
