/** Statements over the tables of the non-interference test: by hand, and by chance from a grammar. */
import fc from 'fast-check';
import { CASTS, OPERATORS, change, pick, query } from './testing-grammar.ts';

/** Texts that went wrong once, or are of a kind that the grammar does not reach. */
export const STATEMENTS: readonly string[] = [
  'SELECT * FROM customers',
  'SELECT c FROM customers c',
  'SELECT * FROM cards ORDER BY id',
  'SELECT * FROM rich',
  'SELECT * FROM totals ORDER BY 1',
  'TABLE customers',
  'SELECT * FROM customers c JOIN orders o USING (id)',
  'SELECT * FROM customers c NATURAL JOIN orders o',
  'SELECT * FROM (customers c JOIN orders o USING (id)) AS j',
  'SELECT * FROM (customers c JOIN orders o USING (id)) AS j (a, b)',
  'SELECT j.*, c.* FROM customers c JOIN orders o USING (id) AS j',
  'SELECT * FROM customers c (x, y) RIGHT JOIN orders o ON o.id = c.x',
  'SELECT * FROM orders o, LATERAL (SELECT c.*, o.note FROM customers c WHERE c.id = o.customer_id) x',
  'SELECT * FROM customers JOIN orders USING (id) JOIN accounts USING (id)',
  'SELECT * FROM customers c FULL JOIN (orders o JOIN accounts a ON a.owner = o.id) USING (id)',
  'WITH RECURSIVE r(id, card) AS (SELECT id, card FROM customers UNION ALL SELECT id + 1, card FROM r WHERE id < 5) SEARCH DEPTH FIRST BY id SET o SELECT * FROM r',
  'WITH RECURSIVE r(id, card) AS (SELECT id, card FROM customers UNION ALL SELECT id + 1, card FROM r WHERE id < 5) CYCLE id SET c USING p SELECT id, card, c FROM r',
  'SELECT *, 1 FROM people',
  'SELECT * FROM people_eu',
  'SELECT * FROM ONLY people',
  'SELECT (c).* FROM customers c',
  'SELECT (SELECT c FROM customers c WHERE id = 1)',
  'SELECT ((SELECT c FROM customers c WHERE id = 1)).*',
  'SELECT x.c.card FROM (SELECT c FROM customers c) x',
  'SELECT (x.c).card FROM (SELECT c FROM customers c) x',
  'WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x JOIN customers c ON c.id = x.customer_id',
  "UPDATE customers SET name = 'x' WHERE id = 1 RETURNING *",
  "UPDATE customers SET name = 'x' FROM orders o WHERE o.customer_id = customers.id RETURNING *",
  "UPDATE customers SET name = 'x' WHERE id = 1 RETURNING old, new.card, old.name",
  'DELETE FROM orders USING customers c WHERE c.id = customer_id RETURNING *',
  "INSERT INTO customers (id, name, card) VALUES (9, 'x', '1') RETURNING *",
  "INSERT INTO customers (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING *",
  'INSERT INTO accounts (id, iban) VALUES (7, $$411-SECRET-A$$) ON CONFLICT DO NOTHING RETURNING id',
  'MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED THEN DELETE RETURNING *',
  "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET note = 'x' RETURNING merge_action(), o.*, c.*",
  'DELETE FROM customers WHERE id = 4',
  'VALUES (1, (SELECT card FROM customers WHERE id = 1)), (2, $$x$$)',
  'SELECT card FROM customers UNION ALL SELECT name FROM customers',
  'SELECT name FROM customers UNION ALL (SELECT card FROM customers ORDER BY id LIMIT 1)',
  'WITH RECURSIVE r(a, b) AS (SELECT 1, card FROM customers UNION ALL SELECT a + 1, b FROM r WHERE a < 3) SELECT a, b FROM r',
  'WITH RECURSIVE r(a, b) AS (SELECT id::text, card FROM customers UNION ALL (SELECT b, a FROM r LIMIT 2)) SELECT a FROM r LIMIT 6',
  'SELECT json_agg(c) FROM customers c',
  'SELECT string_agg(card, $$,$$) FROM customers',
  'SELECT count(card), max(card), min(n) FROM customers',
  'SELECT initial FROM customers',
  "SELECT secret->>'k' FROM customers",
  "SELECT secret->'n' FROM customers",
  'SELECT row_to_json(c)->$$name$$ FROM customers c',
  'SELECT row_to_json(c)->>$$card$$ FROM customers c',
  'SELECT coalesce(card, $$x$$) || name FROM customers',
  'SELECT count(*) FROM customers c WHERE c IS NOT NULL',
  'SELECT count(c.*) FROM customers c',
  'SELECT lower(name), upper(card) FROM customers ORDER BY 1',
  'SELECT id, first_value(card) OVER (ORDER BY id) FROM customers',
  'SELECT CASE WHEN id > 2 THEN card ELSE name END FROM customers',
  'SELECT array_agg(card) FROM customers',
  'SELECT ARRAY(SELECT card FROM customers ORDER BY id)',
  'SELECT cardinality(array_agg(card)) FROM customers',
  'SELECT array_length(ARRAY[card, name], 1) FROM customers',
  'SELECT num_nulls(card, n) FROM customers',
  'SELECT ROW(card, id, name) FROM customers',
  'SELECT (ROW(card, id)).f2, (ROW(card, id)).f1 FROM customers',
  'SELECT card, id FROM customers FOR UPDATE',
  'SELECT id FROM customers LIMIT (SELECT count(card) FROM customers)',
];

/** FROM items, with columns that anyone may see and such that are protected. */
const SOURCES = [
  {
    from: 'customers t',
    open: ['t.id', 't.name', 't.created'],
    hidden: ['t.card', 't.n', 't.secret', 't.initial', 't'],
  },
  { from: 'cards t', open: ['t.id', 't.name'], hidden: ['t.number', 't'] },
  { from: 'people t', open: ['t.id', 't.region'], hidden: ['t.phone', 't'] },
  {
    from: 'customers t JOIN orders u ON u.customer_id = t.id',
    open: ['t.id', 'u.note', 'u.total', 'u'],
    hidden: ['t.card', 't.n', 't', 'initial'],
  },
  {
    from: 'orders u LEFT JOIN customers t USING (id)',
    open: ['id', 'u.note', 'total'],
    hidden: ['card', 't.n', 't.secret'],
  },
  {
    from: '(SELECT id, name, upper(card) AS x, n FROM customers) t',
    open: ['t.id', 't.name'],
    hidden: ['t.x', 'n', 't'],
  },
  {
    from: '(SELECT id, card AS x FROM customers UNION ALL SELECT id, note FROM orders) t',
    open: ['id'],
    hidden: ['x', 't'],
  },
  {
    from: 'orders u, LATERAL (SELECT c.card AS x, c AS y FROM customers c WHERE c.id = u.customer_id) t',
    open: ['u.id', 'note'],
    hidden: ['x', 't.y', '(t.y).card', 't'],
  },
  {
    from: '(SELECT c AS t FROM customers c) q',
    open: ['(t).id', '(t).name'],
    hidden: ['(t).card', '(t).n', 't', 'q'],
  },
  {
    from: '(customers t JOIN orders u USING (id)) AS j',
    open: ['j.id', 'j.note'],
    hidden: ['j.card', 'n', 'j'],
  },
] as const;

const TEXT_FUNCTIONS = [
  'upper',
  'lower',
  'md5',
  'reverse',
  'length',
  'concat',
  'to_json',
  'quote_literal',
  'btrim',
  'initcap',
  'max',
  'min',
  'count',
  'array_agg',
  'json_agg',
  'row_to_json',
  'pg_typeof',
  'to_jsonb',
  'ascii',
  'any_value',
  'num_nulls',
  'sum',
  'abs',
] as const;
const PAIR_FUNCTIONS = [
  'concat',
  'concat_ws',
  'left',
  'right',
  'string_agg',
  'nullif',
  'coalesce',
  'greatest',
  'split_part',
  'starts_with',
  'json_build_array',
  'array_to_string',
  'lag',
  'trunc',
  'btrim',
] as const;

/** Texts that mostly run: a protected column in one or two places, and the rest in order. */
const plausible: fc.Arbitrary<string> = pick(SOURCES.map((_, index) => String(index))).chain((index) => {
  const source = SOURCES[Number(index)] ?? SOURCES[0];
  const open = fc.constantFrom<string>(...source.open);
  const hidden = fc.constantFrom<string>(...source.hidden);
  const other = fc.oneof(open, pick(["'x'", "'4'", '1', 'NULL', "'411-SECRET-A'"]));
  const wrapped = (inner: fc.Arbitrary<string>): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 4, arbitrary: fc.tuple(pick(TEXT_FUNCTIONS), inner).map(([name, a]) => `${name}(${a})`) },
      {
        weight: 3,
        arbitrary: fc.tuple(pick(PAIR_FUNCTIONS), inner, other).map(([name, a, b]) => `${name}(${a}, ${b})`),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(pick(PAIR_FUNCTIONS), inner, other).map(([name, a, b]) => `${name}(${b}, ${a})`),
      },
      {
        weight: 3,
        arbitrary: fc.tuple(inner, pick(OPERATORS), other).map(([a, op, b]) => `(${a} ${op} ${b})`),
      },
      { weight: 1, arbitrary: fc.tuple(inner, pick(CASTS)).map(([a, type]) => `(${a})::${type}`) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(inner, other)
          .map(([a, b]) => `CASE WHEN ${source.open[0]}::text > '2' THEN ${a} ELSE ${b} END`),
      },
      { weight: 1, arbitrary: fc.tuple(inner, other).map(([a, b]) => `ARRAY[${a}, ${b}]`) },
      { weight: 1, arbitrary: fc.tuple(inner, other).map(([a, b]) => `(ROW(${b}, ${a})).f2`) },
      {
        weight: 1,
        arbitrary: fc.tuple(inner, other).map(([a, b]) => `json_build_object('a', ${a}, 'b', ${b})`),
      },
      { weight: 1, arbitrary: inner.map((a) => `(SELECT ${a})`) },
      { weight: 1, arbitrary: inner.map((a) => `ARRAY(SELECT ${a} FROM orders)`) },
      { weight: 1, arbitrary: inner.map((a) => `(${a} IS NULL)`) },
      { weight: 1, arbitrary: inner.map((a) => `first_value(${a}) OVER (ORDER BY ${source.open[0]})`) },
    );
  const target = fc.oneof(
    { weight: 3, arbitrary: hidden },
    { weight: 2, arbitrary: open },
    { weight: 1, arbitrary: fc.constant('*') },
    { weight: 6, arbitrary: wrapped(hidden) },
    { weight: 4, arbitrary: wrapped(wrapped(hidden)) },
    { weight: 1, arbitrary: wrapped(open) },
  );
  const rarely = (clause: string, key: fc.Arbitrary<string>) =>
    fc.oneof(
      { weight: 12, arbitrary: fc.constant('') },
      { weight: 1, arbitrary: key.map((text) => ` ${clause} ${text}`) },
    );
  const text = fc
    .tuple(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: target },
          {
            weight: 1,
            arbitrary: fc
              .tuple(target, pick(['a', 'name', 'id']))
              .map(([a, name]) => (a === '*' ? a : `${a} AS ${name}`)),
          },
        ),
        { minLength: 1, maxLength: 3 },
      ),
      fc.oneof(
        { weight: 10, arbitrary: fc.constant('') },
        { weight: 4, arbitrary: open.map((a) => ` WHERE ${a} IS NOT NULL`) },
        { weight: 1, arbitrary: wrapped(hidden).map((a) => ` WHERE ${a} IS NOT NULL`) },
      ),
      rarely('GROUP BY', open),
      rarely('ORDER BY', fc.oneof(open, pick(['1', '2', 'a', 'name', 'id']))),
    )
    .map(
      ([targets, where, group, order]) =>
        `SELECT ${targets.join(', ')} FROM ${source.from}${where}${group}${order}`,
    );
  return fc.oneof(
    { weight: 8, arbitrary: text },
    { weight: 1, arbitrary: text.map((inner) => `SELECT * FROM (${inner}) z`) },
    { weight: 1, arbitrary: text.map((inner) => `WITH z AS MATERIALIZED (${inner}) SELECT z, z.* FROM z`) },
    { weight: 1, arbitrary: fc.tuple(text, text).map(([a, b]) => `(${a}) UNION ALL (${b})`) },
    { weight: 1, arbitrary: text.map((inner) => `SELECT count(*), json_agg(z) FROM (${inner}) z`) },
    {
      weight: 1,
      arbitrary: text.map(
        (inner) => `INSERT INTO orders (id, note) SELECT 99, 'x' FROM (${inner}) z LIMIT 1 RETURNING *`,
      ),
    },
    {
      weight: 1,
      arbitrary: target.map(
        (a) => `UPDATE customers t SET name = 'y' WHERE t.id = 2 RETURNING ${a.replaceAll('u.', 't.')}`,
      ),
    },
  );
});

export const statement: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: plausible },
  { weight: 2, arbitrary: query },
  { weight: 1, arbitrary: change },
);
