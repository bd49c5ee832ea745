/** The name that PostgreSQL gives an output column without an alias (FigureColname in its parse_target.c). */
import type { FuncCall, Node } from '@pgsql/types';
import { qualifiedName, strings, tagOf } from './node.ts';

const NONE = '?column?';

const FIXED: ReadonlyMap<string, string> = new Map([
  ['CoalesceExpr', 'coalesce'],
  ['A_ArrayExpr', 'array'],
  ['RowExpr', 'row'],
  ['GroupingFunc', 'grouping'],
  ['MergeSupportFunc', 'merge_action'],
  ['XmlSerialize', 'xmlserialize'],
  ['JsonParseExpr', 'json'],
  ['JsonScalarExpr', 'json_scalar'],
  ['JsonSerializeExpr', 'json_serialize'],
  ['JsonObjectConstructor', 'json_object'],
  ['JsonArrayConstructor', 'json_array'],
  ['JsonArrayQueryConstructor', 'json_array'],
  ['JsonObjectAgg', 'json_objectagg'],
  ['JsonArrayAgg', 'json_arrayagg'],
]);
const JSON_FUNCTIONS: Readonly<Record<string, string>> = {
  JSON_EXISTS_OP: 'json_exists',
  JSON_QUERY_OP: 'json_query',
  JSON_VALUE_OP: 'json_value',
};
const XML_FUNCTIONS: Readonly<Record<string, string>> = {
  IS_XMLCONCAT: 'xmlconcat',
  IS_XMLELEMENT: 'xmlelement',
  IS_XMLFOREST: 'xmlforest',
  IS_XMLPARSE: 'xmlparse',
  IS_XMLPI: 'xmlpi',
  IS_XMLROOT: 'xmlroot',
};

export function outputName(node: Node): string {
  return strong(node) ?? weak(node) ?? NONE;
}

/** A cast's and a CASE's own names give way to a better one inside. */
function weak(node: Node): string | null {
  if ('TypeCast' in node) return qualifiedName(node.TypeCast.typeName?.names).name;
  if ('CaseExpr' in node) return 'case';
  return 'CollateClause' in node && node.CollateClause.arg ? weak(node.CollateClause.arg) : null;
}

function strong(node: Node): string | null {
  if ('ColumnRef' in node) return strings(node.ColumnRef.fields).at(-1) ?? null;
  if ('A_Indirection' in node) {
    const name = strings(node.A_Indirection.indirection).at(-1);
    return name ?? (node.A_Indirection.arg ? strong(node.A_Indirection.arg) : null);
  }
  if ('FuncCall' in node) return functionName(node.FuncCall);
  if ('A_Expr' in node) return node.A_Expr.kind === 'AEXPR_NULLIF' ? 'nullif' : null;
  if ('TypeCast' in node) return node.TypeCast.arg ? strong(node.TypeCast.arg) : null;
  if ('CollateClause' in node) return node.CollateClause.arg ? strong(node.CollateClause.arg) : null;
  if ('CaseExpr' in node) return node.CaseExpr.defresult ? strong(node.CaseExpr.defresult) : null;
  if ('MinMaxExpr' in node) return node.MinMaxExpr.op === 'IS_LEAST' ? 'least' : 'greatest';
  if ('SubLink' in node) return subLinkName(node.SubLink.subLinkType, node.SubLink.subselect);
  if ('SQLValueFunction' in node) return valueFunctionName(node.SQLValueFunction.op ?? '');
  if ('JsonFuncExpr' in node) return JSON_FUNCTIONS[node.JsonFuncExpr.op ?? ''] ?? null;
  if ('XmlExpr' in node) return XML_FUNCTIONS[node.XmlExpr.op ?? ''] ?? null;
  return FIXED.get(tagOf(node)) ?? null;
}

const functionName = ({ funcname }: FuncCall): string => qualifiedName(funcname).name;

function subLinkName(type: string | undefined, subselect: Node | undefined): string | null {
  if (type === 'EXISTS_SUBLINK') return 'exists';
  if (type === 'ARRAY_SUBLINK') return 'array';
  if (type !== 'EXPR_SUBLINK' || subselect === undefined || !('SelectStmt' in subselect)) return null;
  const [first] = subselect.SelectStmt.targetList ?? [];
  if (first === undefined || !('ResTarget' in first)) return null;
  return first.ResTarget.name ?? (first.ResTarget.val ? strong(first.ResTarget.val) : null);
}

/** `SVFOP_CURRENT_TIMESTAMP_N` is `current_timestamp`. */
function valueFunctionName(op: string): string {
  return op
    .replace(/^SVFOP_/, '')
    .replace(/_N$/, '')
    .toLowerCase();
}
