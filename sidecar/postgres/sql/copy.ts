/** COPY, which is a query, a bulk load, or a way to the server's files and programs. */
import type { CopyStmt } from '@pgsql/types';
import { condition } from './expression.ts';
import type { Meaning } from './meaning.ts';
import { isModification, dataModification } from './modify.ts';
import { optionIsOn, optionText, options, strings } from './node.ts';
import { changeRelation } from './oracle.ts';
import { type Used, useRelation } from './relation-use.ts';
import { type Scope, type ScopeColumn, childScope } from './scope.ts';
import { type Result, subquery } from './select.ts';
import type { CopyOptions } from './statement.ts';
import { firstFlow } from './value.ts';
import { type Walk, relationName } from './walk.ts';

export function copy(walk: Walk, node: CopyStmt): Meaning {
  const toServer = node.filename !== undefined || node.is_program === true;
  if (toServer) {
    walk.effect('administer');
    walk.opaque("a server's file or program");
  }
  return node.is_from === true ? copyIn(walk, node, toServer) : copyOut(walk, node, toServer);
}

function copyIn(walk: Walk, node: CopyStmt, toServer: boolean): Meaning {
  walk.effect('write');
  const used = useRelation(walk, node.relation ?? {}, 'write');
  const named = strings(node.attlist);
  const assigned = named.length > 0 ? named : used.columns.map(({ name }) => name);
  if (used.relation) {
    for (const name of assigned) walk.column(relationName(used.relation), name, 'write');
    changeRelation(walk, used.relation, 'insert', new Set(assigned));
  }
  // Its columns are those of the client's data.
  const scope = childScope(null, null);
  const columns = used.columns.map((column) => ({ ...column, flow: null }));
  scope.entries = [
    { name: node.relation?.relname ?? '', schema: null, columns, open: used.open, relation: used.relation },
  ];
  condition(walk, node.whereClause, scope, 'WHERE of COPY');
  return { verb: 'COPY', ...(!toServer && { session: { kind: 'copy-in' as const } }) };
}

function copyOut(walk: Walk, node: CopyStmt, toServer: boolean): Meaning {
  walk.effect('read');
  const result = node.query ? copyQuery(walk, node, childScope(null, null)) : copyTable(walk, node);
  const flow = firstFlow(result.columns);
  if (flow && toServer) walk.refuseFlow(flow, 'COPY to a file');
  const copyOptions = readOptions(walk, node);
  // Those of a query's columns are only guessed at.
  const types = !node.query && !result.open && { types: result.columns.map(({ type }) => type) };
  return {
    verb: 'COPY',
    ...(!toServer && { result, session: { kind: 'copy-out' as const, options: copyOptions, ...types } }),
  };
}

function copyQuery(walk: Walk, { query }: CopyStmt, scope: Scope): Result {
  if (query === undefined) return { columns: [], open: true };
  return isModification(query) ? dataModification(walk, query, scope) : subquery(walk, query, scope);
}

function copyTable(walk: Walk, node: CopyStmt): Result {
  const used = useRelation(walk, node.relation ?? {}, 'read');
  const named = strings(node.attlist);
  const columns = named.length > 0 ? pick(used, named) : withoutGenerated(walk, used);
  if (used.relation) for (const { name } of columns) walk.column(relationName(used.relation), name, 'read');
  return { columns, open: used.open };
}

function pick(used: Used, names: readonly string[]): readonly ScopeColumn[] {
  return names.flatMap((name) => used.columns.filter((column) => column.name === name));
}

/** Generated columns are left out; where it is not known which ones are, the answer could not be masked. */
function withoutGenerated(walk: Walk, { relation, columns }: Used): readonly ScopeColumn[] {
  if (relation === null) return columns;
  const flow = firstFlow(columns);
  if (flow && relation.columns.some(({ generated }) => generated === undefined)) {
    walk.refuse(
      `which columns COPY gives of ${relationName(relation)} is not known, and ${flow.column} is protected`,
      'name the columns: COPY table (column, …) TO STDOUT',
    );
  }
  return columns.filter((_, index) => relation.columns[index]?.generated !== true);
}

function readOptions(walk: Walk, node: CopyStmt): CopyOptions {
  let format: CopyOptions['format'] = 'text';
  const given = new Map<string, string>();
  let header = false;
  for (const element of options(node.options)) {
    const name = element.defname ?? '';
    const text = optionText(element) ?? '';
    given.set(name, text);
    if (name === 'format') format = text === 'csv' || text === 'binary' ? text : 'text';
    else if (name === 'header') header = optionIsOn(element);
    else if (name === 'encoding' && walk.masked && !/^utf-?8$/i.test(text)) {
      walk.refuse(
        'COPY in another encoding could not be masked',
        "leave out ENCODING, or say ENCODING 'UTF8'",
      );
    }
  }
  const csv = format === 'csv';
  const quote = given.get('quote') ?? '"';
  return {
    format,
    delimiter: given.get('delimiter') ?? (csv ? ',' : '\t'),
    null: given.get('null') ?? (csv ? '' : '\\N'),
    quote,
    escape: given.get('escape') ?? quote,
    header,
  };
}
