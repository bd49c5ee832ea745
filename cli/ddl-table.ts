/** CREATE TABLE as the catalog would have it: columns, constraints, what it inherits. */
import type { ColumnDef, Constraint as ConstraintNode, CreateStmt, Node } from '@pgsql/types';
import type { Column, Constraint, ReferentialAction } from '../sidecar/postgres/catalog/relation.ts';
import { relationName, strings, type QualifiedName } from './ddl-name.ts';

/** A foreign key before what it points at is looked up. */
export interface ForeignKey {
  readonly columns: readonly number[];
  readonly target: QualifiedName;
  /** Empty: the target's primary key. */
  readonly targetColumns: readonly string[];
  readonly onDelete: ReferentialAction;
  readonly onUpdate: ReferentialAction;
}

/** The one-letter codes of pg_constraint.confdeltype. */
const ACTIONS: Readonly<Record<string, ReferentialAction>> = {
  a: 'refuse',
  r: 'refuse',
  c: 'cascade',
  n: 'set-null',
  d: 'set-default',
};

export interface TableShape {
  readonly columns: readonly Column[];
  readonly constraints: readonly Constraint[];
  readonly foreignKeys: readonly ForeignKey[];
  readonly problems: readonly string[];
}

type TypeOf = (column: ColumnDef) => number | string;

export function tableShape(statement: CreateStmt, inherited: readonly Column[], typeOf: TypeOf): TableShape {
  const elements = statement.tableElts ?? [];
  const problems: string[] = [];
  const columns: Column[] = [...inherited];
  const generated: { readonly index: number; readonly expression: Node }[] = [];
  const attached: { readonly constraint: ConstraintNode; readonly column: string | undefined }[] = [];
  for (const element of elements) {
    if ('Constraint' in element) attached.push({ constraint: element.Constraint, column: undefined });
    else if ('ColumnDef' in element) addColumn(element.ColumnDef);
    else problems.push('LIKE and the like are not understood: write the columns');
  }

  function addColumn(definition: ColumnDef): void {
    const column = definition.colname ?? '';
    const type = typeOf(definition);
    if (typeof type === 'string') problems.push(type);
    const known = columns.findIndex(({ name }) => name === column);
    const index = known < 0 ? columns.length : known;
    columns[index] = {
      number: index + 1,
      name: column,
      type: typeof type === 'number' ? type : 0,
      generatedFrom: [],
    };
    for (const node of definition.constraints ?? []) {
      if (!('Constraint' in node)) continue;
      const constraint = node.Constraint;
      attached.push({ constraint, column });
      if (constraint.contype === 'CONSTR_GENERATED' && constraint.raw_expr !== undefined) {
        generated.push({ index, expression: constraint.raw_expr });
      }
    }
  }

  const numberOf = (name: string) => columns.findIndex((column) => column.name === name) + 1;
  for (const { index, expression } of generated) {
    const column = columns[index];
    const from = columnsIn(expression)
      .map(numberOf)
      .filter((number) => number > 0);
    if (column !== undefined) columns[index] = { ...column, generatedFrom: from };
  }
  const constraints: Constraint[] = [];
  const foreignKeys: ForeignKey[] = [];
  for (const { constraint, column } of attached) {
    const own = (keys: readonly Node[] | undefined) =>
      (column === undefined ? strings(keys) : [column]).map(numberOf).filter((number) => number > 0);
    const name = constraint.conname ?? '';
    if (constraint.contype === 'CONSTR_PRIMARY')
      constraints.push({ kind: 'primary', name, columns: own(constraint.keys) });
    if (constraint.contype === 'CONSTR_UNIQUE')
      constraints.push({ kind: 'unique', name, columns: own(constraint.keys) });
    if (constraint.contype === 'CONSTR_CHECK') {
      const checked = columnsIn(constraint.raw_expr)
        .map(numberOf)
        .filter((number) => number > 0);
      constraints.push({ kind: 'check', name, columns: [...new Set(checked)] });
    }
    if (constraint.contype === 'CONSTR_FOREIGN') {
      foreignKeys.push({
        columns: own(constraint.fk_attrs),
        target: relationName(constraint.pktable),
        targetColumns: strings(constraint.pk_attrs),
        onDelete: ACTIONS[constraint.fk_del_action ?? 'a'] ?? 'refuse',
        onUpdate: ACTIONS[constraint.fk_upd_action ?? 'a'] ?? 'refuse',
      });
    }
    if (constraint.contype === 'CONSTR_EXCLUSION') problems.push('exclusion constraints are not understood');
  }
  return { columns, constraints, foreignKeys, problems };
}

/** Last names of all column references in an expression, whatever its shape. */
function columnsIn(expression: unknown): readonly string[] {
  if (typeof expression !== 'object' || expression === null) return [];
  if (
    'ColumnRef' in expression &&
    typeof expression.ColumnRef === 'object' &&
    expression.ColumnRef !== null
  ) {
    const fields: unknown = Reflect.get(expression.ColumnRef, 'fields');
    // A ColumnRef's fields are String and A_Star nodes.
    return Array.isArray(fields) ? strings(fields as readonly Node[]).slice(-1) : [];
  }
  return Object.values(expression).flatMap(columnsIn);
}
