/** Runs through a statement that defines, changes or drops something. */
import type { AlterTableStmt, CreateTableAsStmt, Node, TruncateStmt, ViewStmt } from '@pgsql/types';
import { inside, visit } from './inside.ts';
import { DEFINITIONS, type Fields, listedRelations } from './definition.ts';
import { definitionUnderMasks } from './definition-masks.ts';
import { conditions, unknown } from './expression.ts';
import type { Meaning } from './meaning.ts';
import { tagOf } from './node.ts';
import { changeRelation } from './oracle.ts';
import { resolveRelation, shadowedBy, touchRelation, useRelation } from './relation-use.ts';
import { type Scope, childScope } from './scope.ts';
import { subquery } from './select.ts';
import { asPrepared } from './session-statement.ts';
import { firstFlow } from './value.ts';
import type { Walk } from './walk.ts';

/** Null when the node is none of these. */
export function definition(walk: Walk, node: Node): Meaning | null {
  const tag = tagOf(node);
  const known = DEFINITIONS.get(tag);
  if (known === undefined) return null;
  for (const effect of known.effects) walk.effect(effect);
  // The only field of a node is its kind's.
  const fields = (node as unknown as Record<string, Fields>)[tag] ?? {};
  const verb = typeof known.verb === 'string' ? known.verb : known.verb(fields);
  if (walk.masked && known.masks === 'untraceable') {
    walk.lost(
      `${verb} could make protected data come out by another way`,
      'have it done outside of this session',
    );
  }
  for (const { schema, name } of listedRelations(node)) dropped(walk, schema, name);
  walk.seen.add(fields);
  if ('AlterTableStmt' in node && changesRights(node.AlterTableStmt)) walk.effect('privilege');
  walk.declaring = true;
  walk.defining =
    'LockStmt' in node
      ? 'read'
      : known.effects.includes('ddl') || !known.effects.includes('privilege')
        ? 'ddl'
        : 'privilege';
  const scope = definitionScope(walk, fields);
  // Of roles, settings and the like nothing is computed; names in lists are no expressions.
  for (const [key, value] of Object.entries(fields)) visit(walk, key, value, scope, verb);
  walk.declaring = false;
  if (walk.masked) definitionUnderMasks(walk, node);
  const ddl = known.effects.includes('ddl') || known.effects.includes('opaque');
  return {
    verb,
    changesCatalog: ddl || known.effects.includes('privilege'),
    ...(known.effects.includes('opaque') && { changesSettings: true }),
  };
}

function changesRights({ cmds = [] }: AlterTableStmt): boolean {
  return cmds.some((item) => {
    const type = 'AlterTableCmd' in item ? (item.AlterTableCmd.subtype ?? '') : '';
    return type === 'AT_ChangeOwner' || type.endsWith('RowSecurity');
  });
}

function dropped(walk: Walk, schema: string | null, name: string): void {
  const relation = resolveRelation(walk, schema, name);
  if (relation === null) walk.table(`?.${name}`, 'ddl', false);
  else touchRelation(walk, relation, 'ddl', false, schema === null ? shadowedBy(walk, name) : []);
}

/** Expressions in a definition refer to the columns of the relation that is defined or changed. */
function definitionScope(walk: Walk, fields: Fields): Scope {
  const scope = childScope(null, null);
  const variable = fields['relation'];
  const named = typeof variable === 'object' && variable !== null && 'relname' in variable;
  // An object with that field is a relation's name.
  const used = named ? useRelation(walk, variable as { relname: string }, walk.defining) : null;
  const relation = used?.relation ?? null;
  scope.entries = [
    {
      name: relation?.name ?? '',
      schema: relation?.schema ?? null,
      columns: used?.columns ?? [],
      open: true,
      relation,
    },
  ];
  return scope;
}

const LAUNDERED = 'protected data may not be copied to where it could be read without a mask';

export function createTableAs(walk: Walk, node: CreateTableAsStmt): Meaning {
  walk.effect('ddl');
  const verb =
    node.objtype === 'OBJECT_MATVIEW'
      ? 'CREATE MATERIALIZED VIEW'
      : node.is_select_into === true
        ? 'SELECT INTO'
        : 'CREATE TABLE AS';
  if (node.query !== undefined) copied(walk, node.query, verb);
  if (node.into) created(walk, node.into, verb);
  return { verb, changesCatalog: true };
}

export function created(walk: Walk, into: object, verb: string): void {
  walk.declaring = true;
  inside(walk, into, childScope(null, null), verb);
  walk.declaring = false;
}

function copied(walk: Walk, query: Node, verb: string): void {
  if ('ExecuteStmt' in query) {
    conditions(walk, query.ExecuteStmt.params, childScope(null, null), verb);
    const statement = walk.names.preparedStatement(query.ExecuteStmt.name ?? '');
    if (statement === undefined) walk.opaque(`the prepared statement ${query.ExecuteStmt.name ?? ''}`);
    else {
      asPrepared(walk, statement);
      if (statement.masks.kind !== 'clear') walk.refuse(`${verb} of protected columns`, LAUNDERED);
    }
    return;
  }
  const flow = firstFlow(subquery(walk, query, childScope(null, null)).columns);
  if (flow) walk.refuse(`${verb} would copy the protected column ${flow.column}`, LAUNDERED);
}

export function createView(walk: Walk, node: ViewStmt): Meaning {
  walk.effect('ddl');
  if (node.view) useRelation(walk, node.view, 'ddl');
  if (node.query) {
    const flow = firstFlow(subquery(walk, node.query, childScope(null, null)).columns);
    if (flow) walk.refuse(`CREATE VIEW over the protected column ${flow.column}`, 'leave that column out');
  }
  conditions(walk, [], childScope(null, null), 'CREATE VIEW');
  return { verb: 'CREATE VIEW', changesCatalog: true };
}

export function truncate(walk: Walk, node: TruncateStmt): Meaning {
  walk.effect('delete');
  for (const object of node.relations ?? []) {
    if (!('RangeVar' in object)) {
      unknown(walk, tagOf(object));
      continue;
    }
    const { relation } = useRelation(walk, object.RangeVar, 'delete');
    if (relation && node.behavior === 'DROP_CASCADE') changeRelation(walk, relation, 'truncate', new Set());
  }
  return { verb: 'TRUNCATE TABLE' };
}
