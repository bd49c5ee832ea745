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

/** The end of what `pg_get_viewdef` gives of a view over one table. */
const ONLY_TABLE = /\n\s*FROM ("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\.("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*);\s*$/;

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/**
 * A masked view stands for its table: the operator made it of that table alone, column for column, with the masks in it. So rules
 * see the table's own name, and its protected columns are protected as ever. Anything that is not such a view is what it is.
 */
function standsFor(view: Relation, namesakes: readonly { readonly oid: number; readonly schema: string }[]) {
  const [, schema, name] = ONLY_TABLE.exec(view.definition ?? '') ?? [];
  if (view.kind !== 'view' || schema === undefined || name === undefined) return undefined;
  if (unquoted(name) !== view.name) return undefined;
  return namesakes.find((other) => other.schema === unquoted(schema))?.oid;
}

export function catalogView(
  loaded: Loaded,
  path: readonly string[],
  tempSchema: string | null,
  maskedSchema: string | null = null,
): CatalogView {
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
      if (found === undefined) return null;
      const relation = loaded.relation(found.oid);
      if (found.schema !== maskedSchema || !relation) return relation;
      const table = standsFor(relation, candidates);
      return table === undefined ? relation : loaded.relation(table);
    },
    relationByOid: (oid) => loaded.relation(oid),
    shadowed(name) {
      const candidates = loaded.named(truncateName(name));
      const found = candidates && find(candidates, null);
      if (!candidates || !found) return candidates && [];
      if (found.schema === CATALOG || found.schema === tempSchema) return [];
      const meant = this.relation(null, name);
      const relations: Relation[] = [];
      for (const schema of order.slice(order.indexOf(found.schema) + 1)) {
        const other = candidates.find((candidate) => candidate.schema === schema);
        const relation = other && loaded.relation(other.oid);
        if (other && relation === undefined) return undefined;
        if (relation && relation.oid !== meant?.oid) relations.push(relation);
      }
      return relations;
    },
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
