/** CREATE VIEW as the catalog would have it: its query's text, and the columns it gives. */
import type { Node, SelectStmt } from '@pgsql/types';
import type { Column, Relation } from '../sidecar/postgres/catalog/relation.ts';
import { TEXT_OID } from './ddl-type.ts';
import { strings } from './ddl-name.ts';

/** The text after the first AS that is no name. */
export function queryText(statement: string): string | undefined {
  for (const match of statement.matchAll(/"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\bAS\b/giu)) {
    if (match[0].length === 2 && match[0] !== '""' && match[0] !== '--') {
      return statement.slice(match.index + 2).trim();
    }
  }
  return undefined;
}

/** Columns of a query, or what can't be told of them. `sources` are the relations that it names. */
export function viewColumns(
  query: SelectStmt | undefined,
  aliases: readonly string[],
  sources: readonly Relation[],
): readonly Column[] | string {
  const left = leftmost(query);
  const columns: Column[] = [];
  for (const [index, target] of (left?.targetList ?? []).entries()) {
    if (!('ResTarget' in target)) continue;
    const { name, val } = target.ResTarget;
    const reference = columnReference(val);
    if (reference === '*') return 'a view with * is not understood: name its columns';
    const named = aliases[index] ?? name ?? reference;
    if (named === undefined) return 'a view column without a name: add AS name';
    columns.push({ number: index + 1, name: named, type: typeOf(reference, sources), generatedFrom: [] });
  }
  return columns;
}

/** Set operations take the names of their leftmost query. */
function leftmost(query: SelectStmt | undefined): SelectStmt | undefined {
  return query?.larg === undefined ? query : leftmost(query.larg);
}

function columnReference(value: Node | undefined): string | undefined {
  if (value === undefined || !('ColumnRef' in value)) return undefined;
  const fields = value.ColumnRef.fields ?? [];
  return fields.some((field) => 'A_Star' in field) ? '*' : strings(fields).at(-1);
}

function typeOf(reference: string | undefined, sources: readonly Relation[]): number {
  const found = sources.flatMap((source) => source.columns.filter((column) => column.name === reference));
  return found[0]?.type ?? TEXT_OID;
}

/** Names of all relations in a tree. */
export function relationsIn(
  tree: unknown,
): readonly { readonly schema: string | undefined; readonly name: string }[] {
  if (typeof tree !== 'object' || tree === null) return [];
  const own: unknown = Reflect.get(tree, 'RangeVar');
  const found = typeof own === 'object' && own !== null ? [rangeName(own)] : [];
  return [...found, ...Object.values(tree).flatMap(relationsIn)];
}

function rangeName(range: object): { readonly schema: string | undefined; readonly name: string } {
  const schema: unknown = Reflect.get(range, 'schemaname');
  const name: unknown = Reflect.get(range, 'relname');
  return {
    schema: typeof schema === 'string' ? schema : undefined,
    name: typeof name === 'string' ? name : '',
  };
}
