/** What a definition would do to masks: shake them off, or tell values by its errors. */
import type { AlterTableCmd, AlterTableStmt, Constraint, Node, RangeVar } from '@pgsql/types';
import type { Relation } from '../catalog/relation.ts';
import { strings } from './node.ts';
import { resolveRelation } from './relation-use.ts';
import { type Walk, relationName } from './walk.ts';

const HINT = 'changes to protected columns are made outside of sessions with masks';

export function definitionUnderMasks(walk: Walk, node: Node): void {
  if ('AlterTableStmt' in node) alterTable(walk, node.AlterTableStmt);
  else if ('RenameStmt' in node) {
    const { renameType, relation, subname = '', newname = '', object } = node.RenameStmt;
    if (renameType === 'OBJECT_SCHEMA') {
      if (walk.protection.inSchema(subname))
        walk.refuse(`renaming the schema ${subname}, which holds protected columns`, HINT);
    } else if (relation) renamed(walk, relation, renameType, subname, newname);
    else if (object) walk.step();
  } else if ('AlterObjectSchemaStmt' in node) {
    if (node.AlterObjectSchemaStmt.relation) whole(walk, node.AlterObjectSchemaStmt.relation, 'moving');
    else if (node.AlterObjectSchemaStmt.objectType === 'OBJECT_EXTENSION') walk.lost('moving an extension');
  } else if ('IndexStmt' in node) {
    const { relation, indexParams = [], indexIncludingParams = [] } = node.IndexStmt;
    const names = [...indexParams, ...indexIncludingParams].flatMap((item) =>
      'IndexElem' in item ? [item.IndexElem.name ?? ''] : [],
    );
    columns(walk, relation, names, 'an index');
    // Its columns are protected by what they are selected from, not by name.
    if (find(walk, relation)?.kind === 'materialized-view') walk.lost('an index of a materialized view');
  } else if ('CreateStatsStmt' in node) {
    const names = (node.CreateStatsStmt.exprs ?? []).flatMap((item) =>
      'StatsElem' in item ? [item.StatsElem.name ?? ''] : [],
    );
    const computed = (node.CreateStatsStmt.exprs ?? []).some(
      (item) => 'StatsElem' in item && item.StatsElem.expr,
    );
    for (const item of node.CreateStatsStmt.relations ?? []) {
      if (!('RangeVar' in item)) continue;
      columns(walk, item.RangeVar, names, 'statistics');
      if (computed) whole(walk, item.RangeVar, 'statistics of expressions on');
    }
  } else if ('ClusterStmt' in node) {
    // Rows come out in the order in which they lie.
    const { relation } = node.ClusterStmt;
    if (relation) whole(walk, relation, 'sorting');
    else walk.lost('CLUSTER of all tables');
  } else if ('CreateStmt' in node) {
    for (const item of node.CreateStmt.tableElts ?? []) {
      if ('ColumnDef' in item)
        for (const part of item.ColumnDef.constraints ?? []) newConstraint(walk, null, part, []);
      else newConstraint(walk, null, item, []);
    }
  }
}

function find(walk: Walk, variable: RangeVar | undefined): Relation | null {
  return variable ? resolveRelation(walk, variable.schemaname ?? null, variable.relname ?? '') : null;
}

function hidden(walk: Walk, relation: Relation) {
  return walk.protection.columns(relation, walk.catalog, walk.needs);
}

function whole(walk: Walk, variable: RangeVar | undefined, what: string): void {
  const relation = find(walk, variable);
  if (relation && hidden(walk, relation).size > 0)
    walk.refuse(`${what} ${relationName(relation)}, which has protected columns`, HINT);
}

function columns(walk: Walk, variable: RangeVar | undefined, names: readonly string[], what: string): void {
  const relation = find(walk, variable);
  if (relation) ofRelation(walk, relation, names, what);
}

function ofRelation(walk: Walk, relation: Relation, names: readonly string[], what: string): void {
  const name = names.find((candidate) => hidden(walk, relation).has(candidate));
  if (name !== undefined)
    walk.refuse(`${what} on the protected column ${relationName(relation)}.${name}`, HINT);
}

function renamed(
  walk: Walk,
  variable: RangeVar,
  type: string | undefined,
  subname: string,
  newname: string,
): void {
  switch (type) {
    case 'OBJECT_COLUMN':
    case 'OBJECT_ATTRIBUTE':
      columns(walk, variable, [subname], 'a new name');
      return;
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
    case 'OBJECT_FOREIGN_TABLE':
    case 'OBJECT_TYPE':
      whole(walk, variable, 'renaming');
      return;
    default:
      // Of indexes, constraints, triggers, rules and policies: names that no mask goes by.
      if (newname === '') walk.lost('a new name of an unknown kind');
  }
}

function alterTable(walk: Walk, node: AlterTableStmt): void {
  const relation = find(walk, node.relation);
  if (relation === null) return;
  for (const item of node.cmds ?? []) if ('AlterTableCmd' in item) alter(walk, relation, item.AlterTableCmd);
}

/** Commands that neither read rows nor move or rename what masks go by. */
const FINE: ReadonlySet<string> = new Set([
  'AT_ColumnDefault',
  'AT_DropNotNull',
  'AT_SetStatistics',
  'AT_SetOptions',
  'AT_ResetOptions',
  'AT_SetStorage',
  'AT_SetCompression',
  'AT_DropColumn',
  'AT_DropConstraint',
  'AT_ChangeOwner',
  'AT_ClusterOn',
  'AT_DropCluster',
  'AT_SetLogged',
  'AT_SetUnLogged',
  'AT_DropOids',
  'AT_SetAccessMethod',
  'AT_SetTableSpace',
  'AT_SetRelOptions',
  'AT_ResetRelOptions',
  'AT_EnableTrig',
  'AT_EnableAlwaysTrig',
  'AT_EnableReplicaTrig',
  'AT_DisableTrig',
  'AT_EnableTrigAll',
  'AT_DisableTrigAll',
  'AT_EnableTrigUser',
  'AT_DisableTrigUser',
  'AT_ReplicaIdentity',
  'AT_EnableRowSecurity',
  'AT_DisableRowSecurity',
  'AT_ForceRowSecurity',
  'AT_NoForceRowSecurity',
  'AT_AddIdentity',
  'AT_SetIdentity',
  'AT_DropIdentity',
  'AT_EnableRule',
  'AT_DisableRule',
  'AT_EnableAlwaysRule',
  'AT_EnableReplicaRule',
]);

function alter(walk: Walk, relation: Relation, command: AlterTableCmd): void {
  const type = command.subtype ?? '';
  const name = command.name ?? '';
  if (FINE.has(type)) return;
  switch (type) {
    case 'AT_AddColumn':
      addColumn(walk, relation, command.def);
      return;
    case 'AT_SetNotNull':
    case 'AT_SetExpression':
    case 'AT_DropExpression':
    case 'AT_AlterColumnType':
    case 'AT_AlterColumnGenericOptions':
      ofRelation(walk, relation, [name], 'a change');
      return;
    case 'AT_AddConstraint':
      newConstraint(walk, relation, command.def, []);
      return;
    case 'AT_ValidateConstraint':
    case 'AT_AlterConstraint':
      oldConstraint(walk, relation, type === 'AT_ValidateConstraint' ? name : constraintName(command.def));
      return;
    case 'AT_AttachPartition':
    case 'AT_DetachPartition':
    case 'AT_DetachPartitionFinalize':
    case 'AT_AddInherit':
    case 'AT_DropInherit':
    case 'AT_AddOf':
    case 'AT_DropOf':
    case 'AT_GenericOptions':
      kinship(walk, relation, command.def);
      return;
    default:
      if (hidden(walk, relation).size > 0)
        walk.refuse(`a change of ${relationName(relation)}, which has protected columns`, HINT);
      else walk.lost('a change of a table of an unknown kind');
  }
}

function kinship(walk: Walk, relation: Relation, definition: Node | undefined): void {
  const other =
    definition && 'PartitionCmd' in definition
      ? definition.PartitionCmd.name
      : definition && 'RangeVar' in definition
        ? definition.RangeVar
        : undefined;
  for (const one of [relation, find(walk, other)]) {
    if (one && hidden(walk, one).size > 0) {
      walk.refuse(`a change of what ${relationName(one)} is part of, which has protected columns`, HINT);
    }
  }
}

function addColumn(walk: Walk, relation: Relation, definition: Node | undefined): void {
  if (!definition || !('ColumnDef' in definition)) return;
  for (const part of definition.ColumnDef.constraints ?? []) newConstraint(walk, relation, part, []);
}

const constraintName = (node: Node | undefined): string =>
  node && 'ATAlterConstraint' in node ? (node.ATAlterConstraint.conname ?? '') : '';

/** Its expressions were walked through: only the columns that it names are left. */
function newConstraint(
  walk: Walk,
  relation: Relation | null,
  node: Node | undefined,
  more: readonly string[],
): void {
  if (!node || !('Constraint' in node)) return;
  const { Constraint: constraint } = node;
  if (relation) ofRelation(walk, relation, [...namedColumns(constraint), ...more], 'a constraint');
  if (constraint.indexname !== undefined && relation && hidden(walk, relation).size > 0) {
    walk.refuse(`a constraint of ${relationName(relation)} by an index whose columns are not known`, HINT);
  }
  if (constraint.contype === 'CONSTR_FOREIGN') {
    const target = find(walk, constraint.pktable);
    const names = strings(constraint.pk_attrs);
    // Without columns it is the primary key.
    const key = target?.constraints.find(({ kind }) => kind === 'primary')?.columns ?? [];
    const keyNames =
      target?.columns.filter(({ number }) => key.includes(number)).map(({ name }) => name) ?? [];
    if (target) ofRelation(walk, target, names.length > 0 ? names : keyNames, 'a foreign key');
  }
}

function namedColumns({ keys, including, fk_attrs, exclusions }: Constraint): string[] {
  const excluded = (exclusions ?? []).flatMap((pair) =>
    'List' in pair
      ? (pair.List.items ?? []).flatMap((item) => ('IndexElem' in item ? [item.IndexElem.name ?? ''] : []))
      : [],
  );
  return [...strings(keys), ...strings(including), ...strings(fk_attrs), ...excluded];
}

function oldConstraint(walk: Walk, relation: Relation, name: string): void {
  const constraint = relation.constraints.find((candidate) => candidate.name === name);
  if (constraint === undefined) {
    if (hidden(walk, relation).size > 0)
      walk.refuse(`the constraint ${name} of ${relationName(relation)} is not known`, HINT);
    return;
  }
  const names = relation.columns
    .filter(({ number }) => constraint.columns.includes(number))
    .map((column) => column.name);
  ofRelation(walk, relation, names, 'a constraint');
  const target = constraint.references ? walk.catalog.relationByOid(constraint.references.relation) : null;
  if (target === undefined && constraint.references)
    walk.need({ kind: 'relation-oid', oid: constraint.references.relation });
  if (target && constraint.references) {
    const { columns: numbers } = constraint.references;
    ofRelation(
      walk,
      target,
      target.columns.filter(({ number }) => numbers.includes(number)).map((column) => column.name),
      'a foreign key',
    );
  }
}
