/** Function calls: whose code they run, what that does, and whether protected data may pass through. */
import type { FuncCall, Node } from '@pgsql/types';
import { type BuiltinFunction, SCALAR_TYPES, builtinFunction } from '../catalog/builtin-functions.ts';
import { valueCarryingFunction } from '../catalog/value-carrying.ts';
import { condition, expression, isTextConstant } from './expression.ts';
import { grow } from './growth.ts';
import { qualifiedName } from './node.ts';
import { windowDefinition, sortBy } from './select-clause.ts';
import type { Scope } from './scope.ts';
import {
  BOOL,
  INT4,
  INT8,
  JSONB,
  JSON_TYPE,
  TEXT,
  UNKNOWN_TYPE,
  type Value,
  clear,
  derived,
  firstFlow,
  rowFlow,
} from './value.ts';
import type { Walk } from './walk.ts';

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Written in SQL by PostgreSQL itself; they look types up and compute. */
const INFORMATION_SCHEMA = words(`
  _pg_expandarray _pg_index_position _pg_truetypid _pg_truetypmod _pg_char_max_length _pg_char_octet_length
  _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_datetime_precision _pg_interval_type
`);
const GROWING_AGGREGATES = words(`
  string_agg array_agg json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_object_agg json_object_agg_strict
  json_object_agg_unique json_object_agg_unique_strict jsonb_object_agg jsonb_object_agg_strict
  jsonb_object_agg_unique jsonb_object_agg_unique_strict xmlagg
`);
/** With constant arguments computed when the statement is planned, however much that takes. */
const EXPENSIVE = words(`
  repeat lpad rpad factorial power pow exp array_fill format regexp_match regexp_matches regexp_replace regexp_like
  regexp_count regexp_instr regexp_substr regexp_split_to_array replace generate_series
`);

const RESULTS: ReadonlyMap<string, number> = new Map<string, number>([
  ...[
    ...words(`upper lower initcap reverse left right btrim ltrim rtrim translate concat concat_ws quote_literal
    quote_nullable quote_ident textcat md5 to_hex string_agg array_to_string json_typeof jsonb_typeof format replace
    substr substring lpad rpad repeat to_char split_part`),
  ].map((name): [string, number] => [name, TEXT]),
  ...[
    ...words('to_json row_to_json array_to_json json_build_array json_build_object json_agg json_agg_strict'),
  ].map((name): [string, number] => [name, JSON_TYPE]),
  ...[...words('to_jsonb jsonb_build_object jsonb_build_array jsonb_agg jsonb_agg_strict')].map(
    (name): [string, number] => [name, JSONB],
  ),
  ...[...words('char_length character_length octet_length array_length cardinality num_nulls length')].map(
    (name): [string, number] => [name, INT4],
  ),
  ...[...words('bool_and bool_or every starts_with')].map((name): [string, number] => [name, BOOL]),
  ...[...words('count row_number rank dense_rank')].map((name): [string, number] => [name, INT8]),
]);
/** Ways to the server's files and its log of changes, where all values are. */
const READS_FILES =
  /^(pg_read_|pg_ls_|pg_stat_file|pg_backup_|pg_copy_|pg_sync_replication|pg_create_.*_slot|lo_import)/;

/** Have the type of their first argument. */
const SAME_TYPE = words('min max any_value first_value last_value lag lead');

export function functionCall(walk: Walk, call: FuncCall, scope: Scope): Value {
  const { schema, name } = qualifiedName(call.funcname);
  const nodes = call.args ?? [];
  const values = nodes.map((node) => expression(walk, node, scope));
  clauses(walk, call, scope);
  const builtin = resolve(walk, schema, name);
  if (EXPENSIVE.has(name) && values.every(({ constant }) => constant)) walk.expensive = true;
  if (name === 'set_config') walk.settings.push(nodes);
  if (call.agg_distinct === true || call.agg_within_group === true || call.func_variadic === true) {
    const flow = firstFlow(values);
    if (flow) walk.refuseFlow(flow, call.func_variadic === true ? 'VARIADIC' : 'an aggregate that compares');
  }
  return result(walk, name, builtin, values, nodes, scope);
}

function clauses(walk: Walk, call: FuncCall, scope: Scope): void {
  for (const node of call.agg_order ?? []) sortBy(walk, node, scope, 'ORDER BY in an aggregate');
  condition(walk, call.agg_filter, scope, 'FILTER');
  if (call.over) windowDefinition(walk, call.over, scope);
}

/** `row.name`, where no column has that name: a call with the row. */
export function rowFunction(walk: Walk, name: string, row: Value): Value {
  const { needs, untraceable } = walk;
  const before = needs.length;
  const builtin = resolve(walk, null, name);
  if (builtin === undefined && needs.length === before && untraceable === null && walk.masked) {
    walk.lost(`the column ${name} was not found`, 'check the names of tables and columns');
  }
  return result(walk, name, builtin, [row], [], null);
}

/** Tells the walk what the call does; the function when it is one of PostgreSQL's own, and can be nothing else. */
function resolve(walk: Walk, schema: string | null, name: string): BuiltinFunction | undefined {
  if (schema === 'information_schema' && INFORMATION_SCHEMA.has(name)) {
    walk.function(`information_schema.${name}`, 'stable');
    return undefined;
  }
  const own =
    schema === 'pg_catalog' || (schema === null && walk.definition)
      ? false
      : userFunction(walk, schema, name);
  const builtin = schema === null || schema === 'pg_catalog' ? builtinFunction(name) : undefined;
  if (builtin === undefined) {
    if (own) return undefined;
    walk.function(`${schema === 'pg_catalog' ? schema : '?'}.${name}`, 'unknown');
    walk.opaque(`the function ${name}`);
    return undefined;
  }
  walk.function(`pg_catalog.${name}`, builtin.volatility);
  for (const effect of builtin.effects) walk.effect(effect);
  if (walk.masked && (valueCarryingFunction(name) || READS_FILES.test(name))) {
    walk.refuse(
      `the function ${name} gives out values that may be protected`,
      'select from the tables themselves',
    );
  }
  return own ? undefined : builtin;
}

/** Whether the name may mean someone's own function. */
function userFunction(walk: Walk, schema: string | null, name: string): boolean {
  const { changed } = walk;
  if (changed.everything || changed.names.has(name) || (schema === null && changed.path)) {
    walk.opaque(`the function ${name}`);
    return true;
  }
  const candidates = walk.catalog.userFunctions(schema, name);
  if (candidates === undefined) {
    walk.need({ kind: 'function', schema, name });
    return true;
  }
  if (candidates.length === 0) return false;
  for (const candidate of candidates)
    walk.function(`${candidate.schema}.${candidate.name}`, candidate.volatility);
  if (!candidates.every(({ computes }) => computes === true)) walk.opaque(`the function ${name}`);
  return true;
}

function result(
  walk: Walk,
  name: string,
  builtin: BuiltinFunction | undefined,
  values: readonly Value[],
  nodes: readonly Node[],
  scope: Scope | null,
): Value {
  const type = SAME_TYPE.has(name) ? (values[0]?.type ?? 0) : (RESULTS.get(name) ?? 0);
  const flow = firstFlow(values);
  if (flow === null) {
    const pure = builtin !== undefined && builtin.effects.length === 0 && builtin.volatility !== 'volatile';
    return clear(type, pure && isTotal(name, builtin, values, nodes) && values.every(({ total }) => total));
  }
  if (builtin === undefined || !isTotal(name, builtin, values, nodes) || !protectedTypes(values)) {
    walk.refuseFlow(flow, `the function ${name}`);
    return derived(flow.column, 1, type);
  }
  if (GROWING_AGGREGATES.has(name)) return aggregate(walk, name, values, nodes, type, scope);
  if (builtin.grows || OBJECTS.has(name)) {
    return grow(walk, values, type === JSON_TYPE || type === JSONB ? 6 : 2, type, `the function ${name}`);
  }
  const whole = SAME_LENGTH.has(name) && values.every((value) => value.flow?.plain !== false);
  return derived(flow.column, flow.weight, type, whole);
}

/** As long as its argument, whatever is in it. */
const SAME_LENGTH = words('upper lower initcap reverse');
const OBJECTS = words('json_build_object jsonb_build_object');
const JSONB_BUILDERS = words('to_jsonb jsonb_agg jsonb_build_array jsonb_build_object');

function isTotal(
  name: string,
  builtin: BuiltinFunction,
  values: readonly Value[],
  nodes: readonly Node[],
): boolean {
  if (OBJECTS.has(name)) return objectIsTotal(name, values, nodes);
  if (builtin.total) return true;
  if (values.length > builtin.totalOnScalars) return false;
  return values.every(
    ({ type, row, constant }) =>
      scalar(type, row !== null, constant) || (JSONB_BUILDERS.has(name) && type === JSONB),
  );
}

function scalar(type: number, isRow: boolean, constant: boolean): boolean {
  return !isRow && (SCALAR_TYPES.has(type) || (constant && type === UNKNOWN_TYPE));
}

/** A null key is an error, and so is `\u0000` in json that becomes jsonb. */
function objectIsTotal(name: string, values: readonly Value[], nodes: readonly Node[]): boolean {
  if (nodes.length !== values.length || nodes.length % 2 !== 0) return false;
  return values.every(({ type, row, constant, flow }, index) => {
    const node = nodes[index];
    if (index % 2 === 0) return node !== undefined && isTextConstant(node);
    return (
      name === 'json_build_object' || type === JSONB || flow === null || scalar(type, row !== null, constant)
    );
  });
}

/** Where protected data is, the type must be one of PostgreSQL's own: another's output and casts are code of its own. */
function protectedTypes(values: readonly Value[]): boolean {
  return values.every(({ flow, type, row }) => {
    if (flow === null || type < 16384)
      return row === null || rowFlow(row) === null || row.every((a) => a.flow === null || a.type < 16384);
    return false;
  });
}

/** An aggregate over rows that the client can multiply would fail or not by what is in them. */
function aggregate(
  walk: Walk,
  name: string,
  values: readonly Value[],
  nodes: readonly Node[],
  type: number,
  scope: Scope | null,
): Value {
  const flow = firstFlow(values);
  if (flow && (scope === null || !scope.single || !refersTo(scope, nodes))) {
    walk.refuseFlow(flow, `the aggregate ${name} over joined or generated rows`);
  }
  if (flow && values.some((value) => value.flow?.plain === false)) {
    walk.refuseFlow(flow, `the aggregate ${name} after another function`);
  }
  return grow(walk, values, name.startsWith('json') ? 6 : 2, type, `the aggregate ${name}`);
}

/** An aggregate belongs to the innermost query whose columns it uses. */
function refersTo(scope: Scope, nodes: readonly Node[]): boolean {
  const names = new Set(
    scope.entries.flatMap((entry) => [entry.name, ...entry.columns.map(({ name }) => name)]),
  );
  const search = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return false;
    if (Array.isArray(value)) return value.some(search);
    return Object.entries(value).some(([key, child]) =>
      key === 'ColumnRef'
        ? JSON.stringify(child)
            .match(/"sval":"((?:[^"\\]|\\.)*)"/g)
            ?.some((text) => names.has(JSON.parse(text.slice(7)) as string)) === true
        : search(child),
    );
  };
  return nodes.some(search);
}
