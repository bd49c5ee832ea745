/** SQL over the tables of the non-interference test by chance, from a grammar: any of it may be wrong. */
import fc from 'fast-check';

const TABLES = ['customers', 'orders', 'accounts', 'people', 'cards', 'totals', 'people_us'] as const;
const COLUMNS = [
  'id',
  'name',
  'card',
  'n',
  'secret',
  'note',
  'total',
  'iban',
  'phone',
  'number',
  'initial',
  'created',
  'customer_id',
] as const;
const LITERALS = [
  '1',
  '0',
  '3',
  "'x'",
  "'4'",
  "'411-SECRET-A'",
  'NULL',
  'true',
  '2.5',
  "''",
  "'5'::int",
  'current_date',
] as const;
const FUNCTIONS = [
  'upper',
  'lower',
  'length',
  'md5',
  'left',
  'right',
  'concat',
  'to_json',
  'to_jsonb',
  'max',
  'min',
  'count',
  'sum',
  'string_agg',
  'array_agg',
  'json_agg',
  'row_to_json',
  'abs',
  'sqrt',
  'ascii',
  'chr',
  'substr',
  'split_part',
  'quote_literal',
  'json_build_object',
  'num_nulls',
  'pg_typeof',
  'array_to_string',
  'reverse',
  'to_hex',
  'sign',
  'bool_and',
  'any_value',
  'concat_ws',
  'btrim',
  'octet_length',
  'generate_series',
  'unnest',
] as const;
export const OPERATORS = [
  '||',
  '=',
  '<',
  '>',
  '<>',
  '+',
  '-',
  '*',
  '/',
  '%',
  '->',
  '->>',
  'LIKE',
  'IS DISTINCT FROM',
  'AND',
  'OR',
] as const;
export const CASTS = ['text', 'int', 'numeric', 'date', 'varchar(3)', 'jsonb', 'bool', 'regclass'] as const;

export const pick = <T extends string>(values: readonly T[]) => fc.constantFrom(...values);

// A type, not an interface: fast-check wants an index signature.
type Fragments = {
  expression: string;
  query: string;
};

export const { expression, query } = fc.letrec<Fragments>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    { weight: 6, arbitrary: column() },
    { weight: 2, arbitrary: pick(LITERALS) },
    { weight: 4, arbitrary: call(tie('expression')) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(tie('expression'), pick(OPERATORS), tie('expression'))
        .map(([a, op, b]) => `(${a} ${op} ${b})`),
    },
    { weight: 2, arbitrary: fc.tuple(tie('expression'), pick(CASTS)).map(([a, type]) => `(${a})::${type}`) },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `coalesce(${a}, ${b})`),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `nullif(${a}, ${b})`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('expression'), tie('expression'), tie('expression'))
        .map(([a, b, c]) => `CASE WHEN ${a} THEN ${b} ELSE ${c} END`),
    },
    { weight: 1, arbitrary: tie('expression').map((a) => `(${a}) IS NULL`) },
    { weight: 1, arbitrary: tie('query').map((text) => `(${text} LIMIT 1)`) },
    { weight: 1, arbitrary: tie('query').map((text) => `EXISTS (${text})`) },
    { weight: 1, arbitrary: tie('query').map((text) => `ARRAY(${text})`) },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('expression'), tie('query')).map(([a, text]) => `${a} IN (${text})`),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `ARRAY[${a}, ${b}]`),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `ROW(${a}, ${b})`),
    },
    { weight: 1, arbitrary: pick(['t', 'u', 't.*', '(t).card', '(t).id', 't.ctid']) },
  ),
  query: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { weight: 6, arbitrary: select(tie('expression'), tie('query')) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('query'), pick(['UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT ALL']), tie('query'))
        .map(([a, op, b]) => `(${a}) ${op} (${b})`),
    },
    { weight: 1, arbitrary: tie('query').map((text) => `SELECT * FROM (${text}) t`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('query'), tie('query'))
        .map(([a, b]) => `WITH orders AS (${a}) ${b.startsWith('(') ? 'SELECT * FROM orders t' : b}`),
    },
  ),
}));

function column() {
  return fc.oneof(
    { weight: 3, arbitrary: pick(COLUMNS) },
    { weight: 1, arbitrary: pick(COLUMNS).map((name) => `t.${name}`) },
  );
}

function call(argument: fc.Arbitrary<string>) {
  return fc.oneof(
    { weight: 3, arbitrary: fc.tuple(pick(FUNCTIONS), argument).map(([name, a]) => `${name}(${a})`) },
    {
      weight: 2,
      arbitrary: fc.tuple(pick(FUNCTIONS), argument, argument).map(([name, a, b]) => `${name}(${a}, ${b})`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick(FUNCTIONS), argument, argument)
        .map(([name, a, b]) => `${name}(${a}) OVER (ORDER BY ${b})`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick(FUNCTIONS), argument, argument)
        .map(([name, a, b]) => `${name}(${a} ORDER BY ${b})`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick(FUNCTIONS), argument, argument)
        .map(([name, a, b]) => `${name}(${a}) FILTER (WHERE ${b})`),
    },
  );
}

function from(value: fc.Arbitrary<string>, text: fc.Arbitrary<string>) {
  return fc.oneof(
    { weight: 6, arbitrary: pick(TABLES).map((name) => `${name} t`) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(pick(TABLES), pick(TABLES), value)
        .map(([a, b, on]) => `${a} t JOIN ${b} u ON ${on}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick(TABLES), pick(TABLES), pick(COLUMNS))
        .map(([a, b, name]) => `${a} t LEFT JOIN ${b} u USING (${name})`),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(pick(TABLES), pick(TABLES)).map(([a, b]) => `${a} t NATURAL JOIN ${b} u`),
    },
    { weight: 1, arbitrary: text.map((inner) => `(${inner}) t`) },
    {
      weight: 1,
      arbitrary: fc.tuple(pick(TABLES), text).map(([a, inner]) => `${a} t, LATERAL (${inner}) u`),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(pick(TABLES), value).map(([a, inner]) => `${a} t, generate_series(1, ${inner}) u`),
    },
  );
}

function optional(clause: string, value: fc.Arbitrary<string>) {
  const given = value.map((text) => ` ${clause} ${text}`);
  return fc.oneof({ weight: 4, arbitrary: fc.constant('') }, { weight: 1, arbitrary: given });
}

function select(value: fc.Arbitrary<string>, text: fc.Arbitrary<string>) {
  const target = fc.oneof(
    { weight: 5, arbitrary: value },
    { weight: 1, arbitrary: pick(['*', 't.*']) },
    { weight: 2, arbitrary: fc.tuple(value, pick(COLUMNS)).map(([a, name]) => `${a} AS ${name}`) },
  );
  const key = fc.oneof(pick(['1', '2']), value);
  return fc
    .tuple(
      pick(['', '', '', '', 'DISTINCT ', 'DISTINCT ON (id) ']),
      fc.array(target, { minLength: 1, maxLength: 3 }),
      from(value, text),
      optional('WHERE', value),
      optional('GROUP BY', key),
      optional('ORDER BY', key),
    )
    .map(
      ([distinct, targets, source, where, group, order]) =>
        `SELECT ${distinct}${targets.join(', ')} FROM ${source}${where}${group}${order}`,
    );
}

export const change = fc.oneof(
  fc
    .tuple(pick(TABLES), pick(COLUMNS), expression, expression, expression)
    .map(
      ([table, name, value, where, back]) =>
        `UPDATE ${table} t SET ${name} = ${value} WHERE ${where} RETURNING ${back}`,
    ),
  fc
    .tuple(pick(TABLES), expression, expression)
    .map(([table, where, back]) => `DELETE FROM ${table} t WHERE ${where} RETURNING ${back}`),
  fc
    .tuple(
      pick(TABLES),
      pick(COLUMNS),
      expression,
      pick(['', ' ON CONFLICT DO NOTHING', ' ON CONFLICT (id) DO NOTHING']),
    )
    .map(
      ([table, name, value, conflict]) =>
        `INSERT INTO ${table} AS t (id, ${name}) VALUES (8, ${value})${conflict} RETURNING *`,
    ),
  fc.tuple(pick(TABLES), query).map(([table, text]) => `INSERT INTO ${table} ${text}`),
);
