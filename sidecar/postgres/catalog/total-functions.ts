/**
 * Functions and operators that cannot tell a value by failing: total ones raise no error, do not block or sleep, and
 * take time and memory linear in their arguments, whatever the values are. A mask may let a protected value flow
 * through them and hide the result; through any other function the choice between answer and error is an oracle.
 *
 * Errors that depend on types or on the text alone (an unknown type, an undecided collation) tell no value and are not
 * counted. What is counted and keeps well-known names off the list: `substr` (negative length), `split_part` (field 0),
 * `to_jsonb` and `jsonb_agg` of json (`\u0000`), `json_build_object` and `json_object_agg` (null key), `array_agg` of
 * arrays (dimensions), `max` of rows (a later column without comparison), `repeat`, `lpad`, `replace` (size),
 * `to_char`, `date_trunc`, `extract` (ranges), `bit_length` (overflow), `strpos` (collation checked late),
 * `length` of paths (overflow), all arithmetic, all casts.
 *
 * The 1 GB limit: a result longer than that is an error. A function in `GROWING` gives more bytes than its longest
 * argument. It still counts as total, for one call cannot reach the limit with values of ordinary size; but nested
 * calls can double a value each time (`a || a`), and aggregates add up over rows. An analysis that lets protected values
 * through them must bound how many it lets them pass, or refuse them there.
 *
 * Types outside pg_catalog: the json functions call a user-defined cast to json, when there is one. Arguments of such
 * types are not covered.
 */
const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Total for arguments of any built-in type, by every overload. */
export const TOTAL = words(`
  upper lower initcap reverse left right btrim ltrim rtrim translate char_length character_length octet_length
  starts_with md5 sha224 sha256 sha384 sha512 to_hex
  concat concat_ws quote_literal quote_nullable quote_ident textcat
  to_json row_to_json array_to_json json_build_array json_agg json_agg_strict json_typeof jsonb_typeof
  array_to_string array_length array_ndims array_lower array_upper cardinality
  count any_value string_agg bool_and bool_or every row_number first_value last_value lag lead
  pg_typeof pg_column_size isfinite num_nulls num_nonnulls sign
`);

/** Of `TOTAL`: those whose result can be longer than their longest argument. */
export const GROWING = words(`
  concat concat_ws quote_literal quote_nullable quote_ident textcat to_json row_to_json array_to_json
  json_build_array json_agg json_agg_strict array_to_string string_agg
  array_agg to_jsonb jsonb_agg jsonb_build_array
`);

/** Total when all arguments are of `SCALAR_TYPES`, and no more than so many. */
export const TOTAL_ON_SCALARS: ReadonlyMap<string, number> = new Map([
  ['length', 1],
  ['min', 1],
  ['max', 1],
  ['array_agg', 1],
  ['to_jsonb', 1],
  ['jsonb_agg', 1],
  ['jsonb_build_array', 100],
]);

const TEXTS = [25, 1043, 1042, 19, 705];
const INTEGERS = [21, 23, 20];
/** bool, bytea, "char", oid, float4, float8, numeric, date, time, timetz, timestamp, timestamptz, interval, uuid. */
const OTHERS = [16, 17, 18, 26, 700, 701, 1700, 1082, 1083, 1266, 1114, 1184, 1186, 2950];

/** Types by oid: text, varchar, char(n), name, unknown; integers; and the plain types without parts. */
export const SCALAR_TYPES: ReadonlySet<number> = new Set([...TEXTS, ...INTEGERS, ...OTHERS]);

const COMPARISONS = words('= <> != < <= > >=');
const JSONB = 3802;

/**
 * Whether pg_catalog's operator of this name is total between these types (oids). Comparisons: of the same scalar type,
 * or within the texts or the integers; `||` of texts, which grows; `->` and `->>` of jsonb with a text or an integer.
 */
export function totalOperator(name: string, left: number, right: number): boolean {
  const family = (types: readonly number[]) => types.includes(left) && types.includes(right);
  if (name === '||') return family(TEXTS);
  if (COMPARISONS.has(name)) {
    return family(TEXTS) || family(INTEGERS) || (left === right && SCALAR_TYPES.has(left));
  }
  if (name === '->' || name === '->>') {
    return left === JSONB && (TEXTS.includes(right) || right === 23 || right === 21);
  }
  return false;
}
