/** The catalog under one search_path: how PostgreSQL resolves names that have no schema. */
import { FIRST_USER_OID, truncateName } from './literal.ts';
import type { NamedType } from './names.ts';
import type { CatalogView, FunctionInfo, Relation } from './relation.ts';

/** What has been loaded, whatever the path. `undefined` is not loaded yet; null and [] are known not to exist. */
export interface Loaded {
  readonly version: number;
  /** All relations of this name, in any schema. */
  named(name: string): readonly { readonly oid: number; readonly schema: string }[] | undefined;
  /** Not loaded yet: is remembered, and loaded with the next needs. */
  relation(oid: number): Relation | null | undefined;
  functions(name: string): readonly FunctionInfo[] | undefined;
  types(name: string): readonly NamedType[] | undefined;
  operator(name: string): boolean | undefined;
}

const TEMP = 'pg_temp';
const CATALOG = 'pg_catalog';

/** Schemas in the order in which relations and types are looked for: pg_temp, pg_catalog, the path, unless it names them. */
function searchOrder(path: readonly string[], tempSchema: string | null): readonly string[] {
  const order = path
    .map((schema) => (schema === TEMP ? tempSchema : schema))
    .filter((schema) => schema !== null);
  if (!order.includes(CATALOG)) order.unshift(CATALOG);
  if (tempSchema !== null && !order.includes(tempSchema)) order.unshift(tempSchema);
  return [...new Set(order)];
}

export function catalogView(loaded: Loaded, path: readonly string[], tempSchema: string | null): CatalogView {
  const order = searchOrder(path, tempSchema);
  const schemaOf = (schema: string) => (schema === TEMP ? tempSchema : truncateName(schema));

  function find<T extends { readonly schema: string }>(
    found: readonly T[],
    schema: string | null,
  ): T | undefined {
    if (schema !== null) {
      const named = schemaOf(schema);
      return found.find((entry) => entry.schema === named);
    }
    for (const searched of order) {
      const entry = found.find((candidate) => candidate.schema === searched);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  return {
    get version() {
      return loaded.version;
    },
    relation(schema, name) {
      const candidates = loaded.named(truncateName(name));
      if (candidates === undefined) return undefined;
      const found = find(candidates, schema);
      return found === undefined ? null : loaded.relation(found.oid);
    },
    relationByOid: (oid) => loaded.relation(oid),
    userFunctions(schema, name) {
      const found = loaded.functions(truncateName(name));
      if (found === undefined) return undefined;
      if (schema !== null) return found.filter((entry) => entry.schema === schemaOf(schema));
      // PostgreSQL never looks for functions in pg_temp without its being named.
      return found.filter((entry) => entry.schema !== tempSchema && order.includes(entry.schema));
    },
    hasUserOperator: (name) => loaded.operator(truncateName(name)),
    userType(schema, name) {
      const candidates = loaded.types(truncateName(name));
      if (candidates === undefined) return undefined;
      const found = find(candidates, schema);
      if (found === undefined) return null;
      return found.schema === CATALOG && found.oid < FIRST_USER_OID ? null : found;
    },
  };
}
