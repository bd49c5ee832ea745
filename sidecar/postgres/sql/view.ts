/** Views: their definitions analysed like a query, once for each state of the catalog. */
import type { Access } from '../../operation.ts';
import type { Relation } from '../catalog/relation.ts';
import { parse } from './parser.ts';
import type { Protection } from './protection.ts';
import { childScope } from './scope.ts';
import { select } from './select.ts';
import { sweep } from './sweep.ts';
import type { Output } from './value.ts';
import { Walk, relationName } from './walk.ts';
import { noteCode } from './relation-use.ts';

interface Followed {
  readonly version: number;
  readonly protection: Protection;
  readonly walk: Walk;
  readonly outputs: readonly Output[] | null;
}

const known = new WeakMap<Relation, Followed>();

/**
 * The view's columns by what its definition selects; null when there is nothing to follow. PostgreSQL's own views only
 * show what the server knows of itself: they are taken as they are.
 */
export function followView(walk: Walk, view: Relation, access: Access): readonly Output[] | null {
  if (view.schema === 'pg_catalog' || view.schema === 'information_schema') return null;
  const { walk: inner, outputs } = followed(walk, view);
  walk.merge(inner);
  if (access !== 'read' && view.kind === 'view') writeThrough(walk, view, inner, access);
  if (outputs === null && walk.masked) walk.lost(`the view ${relationName(view)} could not be followed`);
  return outputs;
}

function followed(walk: Walk, view: Relation): Followed {
  const { catalog, protection, changed } = walk;
  // After a change in the same text its names may mean something else, here and now only.
  const lasting = !changed.everything && !changed.path && changed.names.size === 0;
  const before = lasting ? known.get(view) : undefined;
  if (before?.version === catalog.version && before.protection === protection) return before;
  const inner = new Walk(walk, walk.needs, true, new Set([...walk.following, view.oid]));
  const needs = walk.needs.length;
  const outputs = walk.following.has(view.oid) ? null : definitionOutputs(inner, view);
  if (outputs === null) inner.opaque(`the view ${relationName(view)}`);
  const result = { version: catalog.version, protection, walk: inner, outputs };
  if (lasting && walk.needs.length === needs) known.set(view, result);
  return result;
}

function definitionOutputs(inner: Walk, view: Relation): readonly Output[] | null {
  const parsed = view.definition === null ? null : parse(view.definition);
  const node =
    parsed?.kind === 'parsed' && parsed.statements.length === 1 ? parsed.statements[0]?.node : undefined;
  if (node === undefined || !('SelectStmt' in node)) return null;
  const { columns, open } = select(inner, node.SelectStmt, childScope(null, null));
  sweep(inner, node);
  return open || columns.length !== view.columns.length ? null : columns;
}

/** A view over a view: what it selects from is written to in the end. */
function throughView(walk: Walk, view: Relation, access: Access): void {
  if (view.schema === 'pg_catalog' || view.schema === 'information_schema') return;
  const before = new Set(walk.following);
  walk.following.add(view.oid);
  writeThrough(walk, view, followed(walk, view).walk, access);
  if (!before.has(view.oid)) walk.following.delete(view.oid);
}

/** Writing to a view writes to what it selects from. */
function writeThrough(walk: Walk, view: Relation, inner: Walk, access: Access): void {
  for (const relation of inner.relations.keys()) {
    walk.table(relationName(relation), access, true);
    noteCode(walk, relation, access);
    if (relation.kind === 'view' && !walk.following.has(relation.oid)) throughView(walk, relation, access);
  }
  if (inner.touched !== null) {
    walk.refuse(
      `${relationName(view)} is a view over the protected columns of ${inner.touched}`,
      'change the table itself',
    );
  }
}
