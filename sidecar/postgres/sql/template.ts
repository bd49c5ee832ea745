/**
 * Templates: texts that differ only in literals have the same facts, where literals cannot matter. A client that writes
 * its values into its texts sends thousands of such; they are parsed, but analysed once. What is alike is judged by
 * PostgreSQL's own parse tree, and only for statements made of nodes in which a literal's value changes nothing.
 */
import { parseTree } from './parser.ts';
import type { Statement } from './statement.ts';

/** Nodes of plain queries and changes; in all others (casts, calls, sorting by number, …) a literal may have a meaning. */
const PLAIN_NODES = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'ResTarget',
  'ColumnRef',
  'String',
  'A_Star',
  'A_Expr',
  'A_Const',
  'BoolExpr',
  'NullTest',
  'RangeVar',
  'JoinExpr',
  'ParamRef',
  'List',
]);

const NODE = /"([A-Z][A-Za-z_]*)":\{/g;
const LITERAL = /"A_Const":\{"(ival|fval|sval)":\{(?:"\1":(?:-?\d+|"(?:[^"\\]|\\.)*"))?\}/g;
const PLACE = /,?"(?:location|stmt_len|rexpr_list_start|rexpr_list_end|list_start|list_end)":-?\d+/g;
/** A condition that is a literal, or compares two: whether it is constant, and so no condition, depends on them. */
const LITERAL_CONDITION = /"whereClause":\{"A_Const"|"lexpr":\{"A_Const"|"quals":\{"A_Const"/;
const LITERAL_OPERAND = /[[,]\{"A_Const":\{"sval"/;
const SORTS = /"(?:sortClause|groupClause|distinctClause|windowClause)":/;

const MAX_TREE = 16_384;

export interface Template {
  /** Equal for texts that have the same facts but for their text. */
  readonly key: string;
  /** The statement's own text. */
  readonly text: string;
}

/** The template of a text of one plain statement; undefined for all others, and for what cannot be parsed. */
export function templateOf(text: string): Template | undefined {
  // Places in the tree are counted in bytes.
  if (!/^[\x20-\x7e\s]*$/.test(text)) return undefined;
  const tree = parseTree(text);
  if (tree === undefined || tree.length > MAX_TREE || !isPlain(tree)) return undefined;
  const end = /"stmt_len":(\d+)\}\]\}$/.exec(tree)?.[1];
  const own = text.slice(0, end === undefined ? undefined : Number(end)).trim();
  return { key: tree.replace(LITERAL, '"A_Const":{"$1"').replace(PLACE, ''), text: own };
}

function isPlain(tree: string): boolean {
  // Several statements, or one that does not start the text.
  if (
    !tree.includes('"stmts":[{"stmt":{') ||
    tree.includes('"stmt_location"') ||
    tree.includes('},{"stmt":{')
  )
    return false;
  for (const match of tree.matchAll(NODE)) if (!PLAIN_NODES.has(match[1] ?? '')) return false;
  if (LITERAL_CONDITION.test(tree) || SORTS.test(tree)) return false;
  return !(tree.includes('"BoolExpr"') && LITERAL_OPERAND.test(tree));
}

/** The statement for another text of the same template. */
export function instantiate(template: Statement, text: string): Statement {
  const { facts } = template;
  return { ...template, facts: Object.freeze({ ...facts, text, shape: facts.shape ?? facts }) };
}
