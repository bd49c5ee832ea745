/** ORDER BY, GROUP BY, DISTINCT and windows: places where protected data would decide what comes out. */
import type { Node, WindowDef } from '@pgsql/types';
import { condition, conditions, unknown } from './expression.ts';
import { qualifiedName, strings, tagOf } from './node.ts';
import { ownOperator } from './operator.ts';
import type { Scope } from './scope.ts';
import type { Output } from './value.ts';
import type { Walk } from './walk.ts';

/** ORDER BY inside an aggregate or a window: ordinals and output names mean nothing there. */
export function sortBy(walk: Walk, node: Node, scope: Scope, clause: string): void {
  if (!('SortBy' in node)) {
    unknown(walk, tagOf(node));
    return;
  }
  usedOperator(walk, node.SortBy.useOp);
  condition(walk, node.SortBy.node, scope, clause);
}

function usedOperator(walk: Walk, useOp: Node[] | undefined): void {
  if (useOp === undefined || useOp.length === 0) return;
  const { schema, name } = qualifiedName(useOp);
  ownOperator(walk, schema, name);
}

export function windowDefinition(walk: Walk, definition: WindowDef, scope: Scope): void {
  conditions(walk, definition.partitionClause, scope, 'PARTITION BY');
  for (const node of definition.orderClause ?? []) sortBy(walk, node, scope, "a window's ORDER BY");
  condition(walk, definition.startOffset, scope, "a window's frame");
  condition(walk, definition.endOffset, scope, "a window's frame");
}

/** ORDER BY of a query: an ordinal, else an output's name, else an expression. */
export function orderBy(walk: Walk, nodes: readonly Node[], scope: Scope, outputs: readonly Output[]): void {
  for (const node of nodes) {
    if (!('SortBy' in node) || node.SortBy.node === undefined) {
      unknown(walk, tagOf(node));
      continue;
    }
    usedOperator(walk, node.SortBy.useOp);
    const { node: key } = node.SortBy;
    if (!byOrdinal(walk, key, outputs, 'ORDER BY') && !byName(walk, key, outputs, 'ORDER BY')) {
      condition(walk, key, scope, 'ORDER BY');
    }
  }
}

/** GROUP BY and DISTINCT ON: an ordinal, an input column, an output's name, or an expression. */
export function groupBy(
  walk: Walk,
  nodes: readonly Node[],
  scope: Scope,
  outputs: readonly Output[],
  clause: string,
): void {
  for (const node of nodes) {
    if ('GroupingSet' in node) groupBy(walk, node.GroupingSet.content ?? [], scope, outputs, clause);
    else if ('RowExpr' in node) groupBy(walk, node.RowExpr.args ?? [], scope, outputs, clause);
    else if (!byOrdinal(walk, node, outputs, clause)) {
      const name = bareName(node);
      // Which of both is meant depends on the clause: neither may be protected.
      const isOutput = byName(walk, node, outputs, clause);
      if (!isOutput || (name !== null && hasColumn(scope, name))) condition(walk, node, scope, clause);
    }
  }
}

function hasColumn(scope: Scope, name: string): boolean {
  return scope.entries.some(({ columns }) => columns.some((column) => column.name === name));
}

function bareName(node: Node): string | null {
  if (!('ColumnRef' in node)) return null;
  const names = strings(node.ColumnRef.fields);
  return names.length === 1 && node.ColumnRef.fields?.length === 1 ? (names[0] ?? null) : null;
}

function byOrdinal(walk: Walk, node: Node, outputs: readonly Output[], clause: string): boolean {
  if (!('A_Const' in node) || node.A_Const.ival === undefined) return false;
  refuseOutput(walk, outputs[(node.A_Const.ival.ival ?? 0) - 1], clause);
  return true;
}

function byName(walk: Walk, node: Node, outputs: readonly Output[], clause: string): boolean {
  const name = bareName(node);
  const found = name === null ? [] : outputs.filter((output) => output.name === name);
  if (found.length === 0 || !('ColumnRef' in node)) return false;
  walk.seen.add(node.ColumnRef);
  for (const output of found) refuseOutput(walk, output, clause);
  return true;
}

function refuseOutput(walk: Walk, output: Output | undefined, clause: string): void {
  if (output?.flow) walk.refuseFlow(output.flow, clause);
}
