/** Every kind of statement: where it is taken apart. What is not here is opaque. */
import type { DeclareCursorStmt, ExplainStmt, Node, PrepareStmt, SelectStmt } from '@pgsql/types';
import { copy } from './copy.ts';
import { createTableAs, createView, created, definition, truncate } from './define.ts';
import { OPAQUE, READ } from './effect-set.ts';
import { inside } from './inside.ts';
import type { Meaning } from './meaning.ts';
import { commandOf, dataModification, isModification } from './modify.ts';
import { optionIsOn, options, tagOf } from './node.ts';
import { useRelation } from './relation-use.ts';
import { childScope } from './scope.ts';
import { select } from './select.ts';
import { holds, sessionStatement } from './session-statement.ts';
import { Walk } from './walk.ts';
import { firstFlow } from './value.ts';
import { settingByFunction } from './set-config.ts';
import type { Statement } from './statement.ts';
import { castType } from './type-name.ts';

/** Makes a whole statement out of one inside another: that which PREPARE stands for. */
export type Complete = (walk: Walk, node: Node) => Statement;

export function meaning(walk: Walk, node: Node, complete: Complete): Meaning {
  if ('SelectStmt' in node) return query(walk, node.SelectStmt);
  if (isModification(node)) return modification(walk, node);
  if ('CopyStmt' in node) return copy(walk, node.CopyStmt);
  if ('ExplainStmt' in node) return explain(walk, node.ExplainStmt, complete);
  if ('PrepareStmt' in node) return prepare(walk, node.PrepareStmt, complete);
  if ('DeclareCursorStmt' in node) return declare(walk, node.DeclareCursorStmt, complete);
  if ('CreateTableAsStmt' in node) return createTableAs(walk, node.CreateTableAsStmt);
  if ('ViewStmt' in node) return createView(walk, node.ViewStmt);
  if ('TruncateStmt' in node) return truncate(walk, node.TruncateStmt);
  if ('RefreshMatViewStmt' in node) return refresh(walk, node);
  if ('CreateSchemaStmt' in node) return createSchema(walk, node.CreateSchemaStmt.schemaElts ?? [], complete);
  if ('CallStmt' in node) return call(walk, node);
  if ('DoStmt' in node) {
    walk.opaque('the code of DO');
    return { verb: 'DO', changesCatalog: true, changesSettings: true };
  }
  return sessionStatement(walk, node) ?? definition(walk, node) ?? unknownStatement(walk, node);
}

function unknownStatement(walk: Walk, node: Node): Meaning {
  const tag = tagOf(node);
  walk.opaque(`a statement of the kind ${tag}`);
  inside(walk, node, childScope(null, null), tag);
  return {
    verb: tag.replace(/Stmt$/, '').toUpperCase(),
    changesCatalog: true,
    changesSettings: true,
    returnsRows: true,
  };
}

function query(walk: Walk, statement: SelectStmt): Meaning {
  walk.effect('read');
  const result = select(walk, statement, childScope(null, null));
  const into = intoOf(statement);
  if (into) {
    walk.effect('ddl');
    created(walk, into, 'SELECT INTO');
    const flow = firstFlow(result.columns);
    if (flow)
      walk.refuse(`SELECT INTO would copy the protected column ${flow.column}`, 'select without INTO');
    return { verb: 'SELECT INTO', changesCatalog: true };
  }
  const hasWhere = walk.modifies ? !walk.unconditional : result.restricted === true;
  return { verb: 'SELECT', result, hasWhere, explainable: true, ...settingByFunction(walk, statement) };
}

/** Of set operations it stands in the leftmost SELECT. */
function intoOf(statement: SelectStmt): object | undefined {
  for (let arm: SelectStmt | undefined = statement; arm; arm = arm.larg)
    if (arm.intoClause) return arm.intoClause;
  return undefined;
}

function modification(walk: Walk, node: Node): Meaning {
  const result = dataModification(walk, node, childScope(null, null));
  const verb = commandOf(node);
  const returns = 'returningClause' in (Object.values(node)[0] as object);
  return { verb, explainable: true, ...(returns && { result }) };
}

function explain(walk: Walk, node: ExplainStmt, complete: Complete): Meaning {
  const analyzed = options(node.options).some((option) => option.defname === 'analyze' && optionIsOn(option));
  const inner = node.query;
  if (inner === undefined) return unknownStatement(walk, { ExplainStmt: node });
  const outer = walk.effects;
  const { hasWhere, changesCatalog = false, changesSettings = false } = meaning(walk, inner, complete);
  if (walk.masked) explainUnderMasks(walk);
  if (!analyzed) onlyPlanned(walk, outer);
  walk.effect('read');
  return {
    verb: 'EXPLAIN',
    returnsRows: true,
    ...(hasWhere !== undefined && { hasWhere }),
    ...(analyzed && { changesCatalog, changesSettings }),
  };
}

/** Nothing is run; but user code may be, to fold constants. */
function onlyPlanned(walk: Walk, before: number): void {
  walk.effects = before | (walk.effects & OPAQUE) | READ;
  walk.modifying = null;
  walk.readOnly();
}

/** Plans tell of values by their estimates, row counts and widths. */
function explainUnderMasks(walk: Walk): void {
  const touched = walk.touched ?? walk.protectedTable();
  if (touched === null) return;
  walk.refuse(
    `EXPLAIN of a statement on ${touched}, which has protected columns`,
    'run the statement itself',
  );
}

function prepare(walk: Walk, node: PrepareStmt, complete: Complete): Meaning {
  for (const type of node.argtypes ?? []) if ('TypeName' in type) castType(walk, type.TypeName);
  if (node.query === undefined) return unknownStatement(walk, { PrepareStmt: node });
  const statement = complete(walk, node.query);
  const { kind } = statement.masks;
  return {
    verb: 'PREPARE',
    // Its $n are given by EXECUTE.
    parameterCount: 0,
    hasWhere: statement.facts.hasWhere,
    masks: kind === 'columns' ? { kind: 'clear' } : statement.masks,
    session: { kind: 'prepare', name: node.name ?? '', statement },
  };
}

function declare(walk: Walk, node: DeclareCursorStmt, complete: Complete): Meaning {
  if (node.query === undefined) return unknownStatement(walk, { DeclareCursorStmt: node });
  const statement = complete(walk, node.query);
  const { masks } = statement;
  return {
    verb: 'DECLARE CURSOR',
    hasWhere: statement.facts.hasWhere,
    masks: masks.kind === 'columns' ? { kind: 'clear' } : masks,
    session: { kind: 'declare', name: node.portalname ?? '', hold: holds(node), masks },
    changesSettings: statement.changesSettings,
  };
}

function refresh(walk: Walk, node: Node): Meaning {
  const { relation } = 'RefreshMatViewStmt' in node ? node.RefreshMatViewStmt : {};
  walk.effect('read');
  walk.effect('write');
  if (relation) useRelation(walk, relation, 'write');
  return { verb: 'REFRESH MATERIALIZED VIEW' };
}

function createSchema(walk: Walk, elements: readonly Node[], complete: Complete): Meaning {
  walk.effect('ddl');
  for (const element of elements) meaning(walk, element, complete);
  return { verb: 'CREATE SCHEMA', changesCatalog: true };
}

function call(walk: Walk, node: Node): Meaning {
  walk.opaque('the procedure of CALL');
  if ('CallStmt' in node && node.CallStmt.funccall) {
    inside(walk, { arguments: { FuncCall: node.CallStmt.funccall } }, childScope(null, null), 'CALL');
  }
  return { verb: 'CALL', changesCatalog: true, changesSettings: true, returnsRows: true };
}
