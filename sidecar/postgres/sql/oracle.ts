/** Constraints that would tell protected values by whether a change succeeds, and what a change does over foreign keys. */
import type { Access } from '../../operation.ts';
import type { Constraint, ReferentialAction, Relation } from '../catalog/relation.ts';
import { type ProtectedColumns, descendants } from './protection.ts';
import { noteCode } from './relation-use.ts';
import { type Walk, relationName } from './walk.ts';

export type Change = 'insert' | 'update' | 'delete' | 'truncate';

const HINT = 'such a change would tell whether a protected value is there: leave those columns out';

/** `assigned` holds the names of the columns that get a value from the client. */
export function changeRelation(
  walk: Walk,
  relation: Relation,
  change: Change,
  assigned: ReadonlySet<string>,
  visited = new Set<number>(),
): void {
  if (visited.has(relation.oid)) return;
  visited.add(relation.oid);
  for (const kin of [relation, ...descendants(relation, walk.catalog, walk.needs)]) {
    changeOne(walk, kin, change, assigned, visited);
  }
}

function changeOne(
  walk: Walk,
  relation: Relation,
  change: Change,
  assigned: ReadonlySet<string>,
  visited: Set<number>,
): void {
  const hidden = walk.protection.columns(relation, walk.catalog, walk.needs);
  const nameOf = names(relation);
  if (walk.masked && (change === 'insert' || change === 'update')) {
    for (const constraint of relation.constraints)
      checkConstraint(walk, relation, constraint, change, assigned, hidden);
    if (change === 'update') checkGenerated(walk, relation, assigned, hidden);
  }
  if (change === 'insert') return;
  for (const reference of relation.referencedBy) {
    const referenced = reference.referenced.map(nameOf);
    if (change === 'update' && !referenced.some((name) => assigned.has(name))) continue;
    const action = (change === 'update' ? reference.onUpdate : reference.onDelete) ?? 'cascade';
    if (!walk.masked && action === 'refuse' && change !== 'truncate') continue;
    const other = walk.catalog.relationByOid(reference.relation);
    if (other === undefined) walk.need({ kind: 'relation-oid', oid: reference.relation });
    else if (other !== null) {
      const columns = reference.columns.map(names(other));
      checkReference(walk, relation, referenced, hidden, other, columns, change);
      cascade(walk, other, new Set(columns), change, action, visited);
    }
  }
}

function names(relation: Relation): (number: number) => string {
  return (number) => relation.columns.find((column) => column.number === number)?.name ?? '';
}

function checkConstraint(
  walk: Walk,
  relation: Relation,
  constraint: Constraint,
  change: Change,
  assigned: ReadonlySet<string>,
  hidden: ProtectedColumns,
): void {
  const columns = constraint.columns.map(names(relation));
  if (!columns.some((name) => assigned.has(name))) return;
  const protectedOnes = columns.filter((name) => hidden.has(name));
  const kept = change === 'update' ? protectedOnes.find((name) => !assigned.has(name)) : undefined;
  switch (constraint.kind) {
    case 'check':
      if (kept !== undefined) refuse(walk, relation, kept, `the check ${constraint.name}`);
      return;
    case 'foreign':
      if (kept !== undefined) refuse(walk, relation, kept, `the foreign key ${constraint.name}`);
      checkTarget(walk, constraint);
      return;
    case 'primary':
    case 'unique':
    case 'exclusion':
    case 'index-expression':
      if (protectedOnes[0] !== undefined)
        refuse(walk, relation, protectedOnes[0], `the index ${constraint.name}`);
  }
}

function refuse(walk: Walk, relation: Relation, column: string, what: string): void {
  walk.refuse(
    `the protected column ${relationName(relation)}.${column} is checked by ${what} when this changes`,
    HINT,
  );
}

/** A foreign key tells whether the row that it points at is there. */
function checkTarget(walk: Walk, { name, references }: Constraint): void {
  if (references === undefined) return;
  const other = walk.catalog.relationByOid(references.relation);
  if (other === undefined) walk.need({ kind: 'relation-oid', oid: references.relation });
  if (!other) return;
  const hidden = walk.protection.columns(other, walk.catalog, walk.needs);
  const column = references.columns.map(names(other)).find((candidate) => hidden.has(candidate));
  if (column !== undefined) refuse(walk, other, column, `the foreign key ${name}`);
}

/** A generated column is computed anew of all its columns, and that may fail. */
function checkGenerated(
  walk: Walk,
  relation: Relation,
  assigned: ReadonlySet<string>,
  hidden: ProtectedColumns,
): void {
  for (const { name, generatedFrom } of relation.columns) {
    const columns = generatedFrom.map(names(relation));
    if (!columns.some((column) => assigned.has(column))) continue;
    const kept = columns.find((column) => hidden.has(column) && !assigned.has(column));
    if (kept !== undefined) refuse(walk, relation, kept, `the generated column ${name}`);
  }
}

function checkReference(
  walk: Walk,
  relation: Relation,
  referenced: readonly string[],
  hidden: ProtectedColumns,
  other: Relation,
  columns: readonly string[],
  change: Change,
): void {
  // TRUNCATE looks at relations only, never at rows.
  if (!walk.masked || change === 'truncate') return;
  const here = referenced.find((name) => hidden.has(name));
  if (here !== undefined) refuse(walk, relation, here, `a foreign key of ${relationName(other)}`);
  const there = walk.protection.columns(other, walk.catalog, walk.needs);
  const column = columns.find((name) => there.has(name));
  if (column !== undefined) refuse(walk, other, column, 'a foreign key');
}

function cascade(
  walk: Walk,
  other: Relation,
  columns: ReadonlySet<string>,
  change: Change,
  action: ReferentialAction,
  visited: Set<number>,
): void {
  if (change === 'truncate') follow(walk, other, 'truncate', columns, 'delete', visited);
  else if (action === 'cascade' && change === 'delete')
    follow(walk, other, 'delete', columns, 'delete', visited);
  else if (action !== 'refuse') follow(walk, other, 'update', columns, 'write', visited);
}

function follow(
  walk: Walk,
  other: Relation,
  change: Change,
  columns: ReadonlySet<string>,
  access: Access,
  visited: Set<number>,
): void {
  walk.table(relationName(other), access, true);
  walk.effect(access === 'delete' ? 'delete' : 'write');
  noteCode(walk, other, access);
  changeRelation(walk, other, change, columns, visited);
}
