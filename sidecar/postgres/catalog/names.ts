/** What names stand for: relations, functions, types and operators of all schemas, in one query. */
import { type Hash, createHash } from 'node:crypto';
import type { Volatility } from '../../operation.ts';
import { CatalogError } from './catalog-error.ts';
import { FIRST_USER_OID, nameArray } from './literal.ts';
import type { FunctionInfo } from './relation.ts';
import { COMPUTES, MADE_BY_CODE } from './type-code.ts';

type TypeKind = 'base' | 'composite' | 'domain' | 'enum' | 'range' | 'multirange' | 'pseudo';

export interface NamedType {
  readonly oid: number;
  readonly schema: string;
  readonly kind: TypeKind;
  /** Making a value of it may run functions that are not PostgreSQL's own. */
  readonly runsCode?: boolean;
}

/** The names asked for, by what they may name. */
export interface Names {
  readonly relations: ReadonlySet<string>;
  readonly functions: ReadonlySet<string>;
  readonly types: ReadonlySet<string>;
  readonly operators: ReadonlySet<string>;
}

/** One entry for each name that was asked for, empty when nothing has it. */
export interface NameAnswers {
  readonly relations: Map<string, readonly { readonly oid: number; readonly schema: string }[]>;
  readonly functions: Map<string, readonly FunctionInfo[]>;
  readonly types: Map<string, readonly NamedType[]>;
  /** Whether an operator of that name runs code that is not PostgreSQL's. */
  readonly operators: Map<string, boolean>;
  /** The connection's own search_path, as its setting says. */
  readonly searchPath: string;
  /** By kind and name, absent when nothing has it: equal as long as nothing about the name has changed. */
  readonly versions: ReadonlyMap<string, string>;
}

type Row = readonly (string | null)[];

const MAX_ROWS = 100_000;

/** Oid of pg_proc itself, fixed by PostgreSQL's bootstrap. */
const PROC = 1255;

/**
 * Rows `kind, name, schema, oid, x, y, z, version`. Schema-qualified to the last operator and cast: no search_path, not
 * even one the agent has set on its own connection, can give it another meaning.
 *
 * Operators are left out whose function an extension brought, in C and not volatile (citext, pg_trgm, …): only a superuser
 * can make such functions, and they only compute. An operator over a function of PostgreSQL's own is not left out:
 * anyone can make one, and give a function with effects another name.
 */
export function namesQuery(names: Names): string {
  const parts = [
    `SELECT 'path', NULL, NULL, NULL, pg_catalog.current_setting('search_path'), NULL, NULL, NULL`,
  ];
  if (names.relations.size > 0) {
    parts.push(`SELECT 'relation', c.relname::pg_catalog.text, n.nspname::pg_catalog.text, c.oid::pg_catalog.text, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relname OPERATOR(pg_catalog.=) ANY (${nameArray(names.relations)})`);
  }
  if (names.functions.size > 0) {
    parts.push(`SELECT 'function', p.proname::pg_catalog.text, n.nspname::pg_catalog.text, p.oid::pg_catalog.text,
  CASE WHEN ${COMPUTES} THEN pg_catalog.concat('computing ', p.prokind) ELSE p.prokind::pg_catalog.text END, p.provolatile::pg_catalog.text, l.lanname::pg_catalog.text, p.xmin::pg_catalog.text
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
WHERE p.proname OPERATOR(pg_catalog.=) ANY (${nameArray(names.functions)})
AND (n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name OR p.oid OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::pg_catalog.oid)`);
  }
  if (names.types.size > 0) {
    parts.push(`SELECT 'type', t.typname::pg_catalog.text, n.nspname::pg_catalog.text, t.oid::pg_catalog.text,
  t.typtype::pg_catalog.text, CASE WHEN ${MADE_BY_CODE} THEN 'code' END, NULL, t.xmin::pg_catalog.text
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
WHERE t.typname OPERATOR(pg_catalog.=) ANY (${nameArray(names.types)})`);
  }
  if (names.operators.size > 0) {
    parts.push(`SELECT 'operator', o.oprname::pg_catalog.text, n.nspname::pg_catalog.text, o.oid::pg_catalog.text, NULL, NULL, NULL, o.xmin::pg_catalog.text
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
LEFT JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) o.oprcode::pg_catalog.oid
LEFT JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
WHERE o.oprname OPERATOR(pg_catalog.=) ANY (${nameArray(names.operators)})
AND (n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name OR o.oid OPERATOR(pg_catalog.>=) ${FIRST_USER_OID}::pg_catalog.oid)
AND (l.lanname IS NULL
  OR l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal']::pg_catalog.name[])
  OR p.provolatile OPERATOR(pg_catalog.=) 'v'::pg_catalog."char"
  OR p.oid OPERATOR(pg_catalog.<) ${FIRST_USER_OID}::pg_catalog.oid
  OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid OPERATOR(pg_catalog.=) ${PROC}::pg_catalog.oid AND d.objid OPERATOR(pg_catalog.=) p.oid
    AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"))`);
  }
  return `${parts.join('\nUNION ALL\n')}\nORDER BY 1, 2, 3, 4, 5, 6, 7, 8`;
}

const FUNCTION_KINDS: Readonly<Record<string, FunctionInfo['kind']>> = {
  f: 'function',
  p: 'procedure',
  a: 'aggregate',
  w: 'window',
};
const VOLATILITIES: Readonly<Record<string, Volatility>> = { i: 'immutable', s: 'stable', v: 'volatile' };
const TYPE_KINDS: Readonly<Record<string, TypeKind>> = {
  b: 'base',
  c: 'composite',
  d: 'domain',
  e: 'enum',
  r: 'range',
  m: 'multirange',
  p: 'pseudo',
};

function append<T>(map: Map<string, T[]>, name: string, entry: T): void {
  const entries = map.get(name);
  if (entries === undefined) throw unexpected('a name that was not asked for');
  entries.push(entry);
}

function unexpected(what: string): CatalogError {
  return new CatalogError('unexpected-answer', `the catalog answered with ${what}`);
}

/** Throws `unexpected-answer` or `too-many`. */
export function readNames(names: Names, rows: readonly Row[]): NameAnswers {
  if (rows.length > MAX_ROWS) throw new CatalogError('too-many', 'too many objects share the names');
  const empty = <T>(asked: ReadonlySet<string>) =>
    new Map<string, T[]>(Array.from(asked, (name) => [name, []]));
  const answers = {
    relations: empty<{ readonly oid: number; readonly schema: string }>(names.relations),
    functions: empty<FunctionInfo>(names.functions),
    types: empty<NamedType>(names.types),
    operators: new Map(Array.from(names.operators, (name) => [name, false])),
  };
  let searchPath: string | undefined;
  for (const [kind, name, schema, oidText, x, y, z] of rows) {
    if (kind === 'path') {
      searchPath = x ?? undefined;
      continue;
    }
    const oid = Number(oidText);
    if (typeof name !== 'string' || typeof schema !== 'string' || !Number.isInteger(oid)) {
      throw unexpected('a row of another shape');
    }
    if (kind === 'relation') append(answers.relations, name, { oid, schema });
    else if (kind === 'type')
      append(answers.types, name, {
        oid,
        schema,
        kind: TYPE_KINDS[x ?? ''] ?? 'pseudo',
        runsCode: y !== null,
      });
    else if (kind === 'operator') answers.operators.set(name, true);
    else if (kind === 'function') {
      append(answers.functions, name, {
        oid,
        schema,
        name,
        kind: FUNCTION_KINDS[x?.at(-1) ?? ''] ?? 'procedure',
        computes: x?.startsWith('computing ') === true,
        volatility: VOLATILITIES[y ?? ''] ?? 'unknown',
        language: z ?? '',
      });
    } else throw unexpected('a row of another kind');
  }
  if (searchPath === undefined) throw unexpected('no search_path');
  return { ...answers, searchPath, versions: versionsOf(rows) };
}

/** The path is left out: another role or setting of the connection changes no object. */
function versionsOf(rows: readonly Row[]): ReadonlyMap<string, string> {
  const hashes = new Map<string, Hash>();
  for (const row of rows) {
    if (row[0] === 'path') continue;
    const key = `${row[0] ?? ''} ${row[1] ?? ''}`;
    const hash = hashes.get(key) ?? createHash('sha256');
    hashes.set(key, hash.update(JSON.stringify(row)));
  }
  return new Map(Array.from(hashes, ([key, hash]) => [key, hash.digest('base64')]));
}
