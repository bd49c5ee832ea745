/** Names of types: what casting to one may run, and its oid where it is one of PostgreSQL's own. */
import type { TypeName } from '@pgsql/types';
import { builtinType } from './builtin-types.ts';
import { qualifiedName } from './node.ts';
import type { Walk } from './walk.ts';

/** Oid of a type of pg_catalog that is no array, else 0. A type whose input may run user code makes the statement opaque. */
export function castType(walk: Walk, typeName: TypeName): number {
  walk.seen.add(typeName);
  if (typeName.names === undefined) return 0;
  const { schema, name } = qualifiedName(typeName.names);
  if (schema === null || schema === 'pg_catalog') {
    const oid = builtinType(name) ?? (name.startsWith('_') ? builtinType(name.slice(1)) && 0 : undefined);
    if (oid !== undefined) return typeName.arrayBounds !== undefined || typeName.setof === true ? 0 : oid;
    if (schema !== null || walk.definition) return 0;
  }
  if (walk.changed.everything || walk.changed.names.has(name) || (schema === null && walk.changed.path)) {
    walk.opaque(`the type ${name}`);
    return 0;
  }
  const type = walk.catalog.userType(schema, name);
  if (type === undefined) walk.need({ kind: 'type', schema, name });
  else if (type?.runsCode === true && !walk.declaring)
    walk.opaque(`checks or casts of the type ${type.schema}.${name}`);
  // Checks of domains with built-in code alone count as harmless, and as able to fail.
  else if (
    (type?.kind === 'base' && type.runsCode !== false) ||
    type?.kind === 'range' ||
    type?.kind === 'multirange'
  ) {
    if (type.schema !== 'pg_catalog') walk.opaque(`the type ${type.schema}.${name}`);
  }
  return 0;
}
