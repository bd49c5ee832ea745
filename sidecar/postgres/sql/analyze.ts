/** SQL texts to statements: facts for the rules, and how their answers are masked. Pure, synchronous, never throws. */
import type { Node } from '@pgsql/types';
import type { FieldMask, MaskRules } from '../../mask/mask.ts';
import type { CatalogNeed, CatalogView } from '../catalog/relation.ts';
import { OPAQUE, READ, effectBit, effectList } from './effect-set.ts';
import type { Meaning } from './meaning.ts';
import { tagOf } from './node.ts';
import { type ParsedStatement, parse } from './parser.ts';
import { Protection } from './protection.ts';
import { meaning } from './statement-meaning.ts';
import type { Analysis, MaskOutcome, SessionNames, Statement } from './statement.ts';
import { sweep } from './sweep.ts';
import { CLEAR_FIELD } from './value.ts';
import { type Changed, Walk } from './walk.ts';

export { loadParser } from './parser.ts';

export interface AnalysisContext {
  readonly catalog: CatalogView;
  readonly masks: MaskRules;
  readonly names: SessionNames;
  /** The open transaction has changed what names mean, and its end changes that back. */
  readonly touched?: boolean;
}

export function analyze(text: string, context: AnalysisContext): Analysis {
  const parsed = parse(text);
  if (parsed.kind === 'unparseable') return parsed;
  try {
    return analyzeAll(parsed.statements, context);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return {
      kind: 'unparseable',
      message: 'the statement is nested too deeply or too large to be analysed',
      position: 0,
    };
  }
}

function analyzeAll(
  parsed: readonly ParsedStatement[],
  { catalog, masks, names, touched = false }: AnalysisContext,
): Analysis {
  const changed: Changed = { names: new Set(), everything: false, path: false };
  const known = new NamesSoFar(names);
  const context = { catalog, protection: Protection.of(masks), names: known, changed };
  const needs: CatalogNeed[] = [];
  const statements: Statement[] = [];
  for (const one of parsed) {
    const statement = complete(new Walk(context, needs, false, new Set()), one.node, one);
    statements.push(statement);
    if (parsed.length > 1) {
      known.note(statement);
      noteChanges(changed, statement, one.node, touched);
    }
  }
  return needs.length > 0 ? { kind: 'needs', needs: unique(needs) } : { kind: 'parsed', statements };
}

function unique(needs: readonly CatalogNeed[]): readonly CatalogNeed[] {
  return [...new Map(needs.map((need) => [JSON.stringify(need), need])).values()];
}

/** A rule on DELETE is meant for one in a CTE, under EXPLAIN ANALYZE or COPY, too. */
const RUNS_WHAT_IS_IN_IT = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'EXPLAIN', 'COPY']);

function complete(walk: Walk, node: Node, { text, fingerprint }: Omit<ParsedStatement, 'node'>): Statement {
  const found = meaning(walk, node, (outer, inner) => complete(outer, inner, { text, fingerprint }));
  sweep(walk, node);
  if (walk.settings.length > 0 && found.changesSettings !== true) walk.opaque('a setting by function');
  if (walk.effects === 0) walk.effects = READ;
  const opaque = (walk.effects & OPAQUE) !== 0;
  const facts = Object.freeze({
    verb: RUNS_WHAT_IS_IN_IT.has(found.verb) ? (walk.modifying ?? found.verb) : found.verb,
    effects: effectList(walk.effects),
    tables: walk.tableFacts(),
    columns: walk.columnFacts(),
    functions: walk.functionFacts(),
    hasWhere: found.hasWhere ?? !(walk.modifies && walk.unconditional),
    text,
    fingerprint,
  });
  return {
    facts,
    masks: outcome(walk, found),
    session: found.session ?? { kind: 'none' },
    changesCatalog: found.changesCatalog === true || opaque || (walk.effects & effectBit('ddl')) !== 0,
    changesSettings: found.changesSettings === true || opaque || walk.settings.length > 0,
    explainable: found.explainable === true && !opaque && !walk.expensive && walk.settings.length === 0,
    parameterCount: found.parameterCount ?? walk.parameterCount,
    nearProtected: walk.masked && (walk.touched !== null || walk.protectedTable() !== null),
    returnsRows: found.returnsRows ?? found.result !== undefined,
  };
}

function outcome(walk: Walk, found: Meaning): MaskOutcome {
  if (!walk.masked) return { kind: 'clear' };
  if (walk.refused) return { kind: 'refused', ...walk.refused };
  if (walk.untraceable) return { kind: 'untraceable', ...walk.untraceable };
  if (found.masks) return found.masks;
  const { columns, open } = found.result ?? { columns: [], open: false };
  if (columns.every(({ flow }) => flow === null)) return { kind: 'clear' };
  if (open) {
    return {
      kind: 'refused',
      reason: 'protected columns are selected beside * of columns that are not known',
      hint: 'name the columns instead of *',
    };
  }
  const fields: FieldMask[] = columns.map(({ flow }) => flow?.mask ?? CLEAR_FIELD);
  return { kind: 'columns', fields };
}

/** Relations go by it that it does not name. */
function dropsUnnamed(node: Node): boolean {
  return 'DiscardStmt' in node || 'DropOwnedStmt' in node || JSON.stringify(node).includes('"DROP_CASCADE"');
}

/** What later statements of the same text cannot take for granted any more. */
function noteChanges(changed: Changed, statement: Statement, node: Node, touched: boolean): void {
  if (statement.changesCatalog) collectNames(changed.names, node);
  if (statement.facts.effects.includes('opaque')) changed.everything = true;
  const { kind } = statement.session;
  const ends = kind === 'commit' || kind === 'rollback' || kind === 'rollback-to';
  if (statement.changesSettings || ends) changed.path = true;
  if ((touched && ends) || dropsUnnamed(node)) changed.everything = true;
  if (statement.session.kind === 'set' && PATH_SETTINGS.has(statement.session.name)) changed.path = true;
}

const PATH_SETTINGS = new Set(['search_path', 'ALL', 'role', 'session_authorization']);

/** Statements that change nothing but the relations that they name. */
const RELATIONS_ONLY: ReadonlySet<string> = new Set([
  'CreateStmt',
  'CreateTableAsStmt',
  'SelectStmt',
  'ViewStmt',
  'IndexStmt',
  'AlterTableStmt',
  'CreateSeqStmt',
  'AlterSeqStmt',
]);

/** More names than it changes, never less. */
function collectNames(names: Set<string>, node: Node): void {
  collect(names, '', node, RELATIONS_ONLY.has(tagOf(node)));
}

function collect(names: Set<string>, key: string, value: unknown, relationsOnly: boolean): void {
  if (typeof value === 'string') {
    if (!relationsOnly || key === 'relname' || key === 'idxname') names.add(value);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, child] of Object.entries(value)) collect(names, name, child, relationsOnly);
  }
}

/** Statements and cursors that the text itself has made so far. */
class NamesSoFar implements SessionNames {
  readonly #outer: SessionNames;
  readonly #statements = new Map<string, Statement>();
  readonly #cursors = new Map<string, { readonly masks: MaskOutcome }>();

  constructor(outer: SessionNames) {
    this.#outer = outer;
  }

  preparedStatement(name: string): Statement | undefined {
    return this.#statements.get(name) ?? this.#outer.preparedStatement(name);
  }

  cursor(name: string): { readonly masks: MaskOutcome } | undefined {
    return this.#cursors.get(name) ?? this.#outer.cursor(name);
  }

  note({ session }: Statement): void {
    if (session.kind === 'prepare') this.#statements.set(session.name, session.statement);
    if (session.kind === 'declare') this.#cursors.set(session.name, session);
  }
}
