import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Relation } from '../sidecar/postgres/catalog/relation.ts';
import { catalogView } from '../sidecar/postgres/catalog/view.ts';
import { loadParser } from '../sidecar/postgres/sql/parser.ts';
import { catalogOfDdl } from './ddl-catalog.ts';

before(loadParser);

function relations(ddl: string) {
  const result = catalogOfDdl(ddl);
  if (result.kind === 'invalid') throw new Error(result.problems.join('\n'));
  const view = catalogView(result.loaded, ['public'], null);
  return {
    view,
    get: (name: string, schema: string | null = null): Relation => {
      const found = view.relation(schema, name);
      assert.ok(found, name);
      return found;
    },
  };
}

function problems(ddl: string): string {
  const result = catalogOfDdl(ddl);
  return result.kind === 'invalid' ? result.problems.join('\n') : '';
}

const SHOP = `
  CREATE SCHEMA billing;
  CREATE TYPE public.mood AS ENUM ('good', 'bad');
  CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer int NOT NULL REFERENCES public.customers ON DELETE CASCADE,
    note varchar(20) CHECK (note <> ''),
    loud text GENERATED ALWAYS AS (upper(note)) STORED,
    tags text[],
    mood public.mood,
    UNIQUE (customer, note)
  ) PARTITION BY RANGE (id);
  CREATE TABLE public.orders_1 PARTITION OF public.orders FOR VALUES FROM (1) TO (10);
  CREATE TABLE public.customers (id int PRIMARY KEY, "Card" text);
  CREATE TABLE billing.extra (more text) INHERITS (public.customers);
  CREATE VIEW public.cards ("As", c) AS SELECT id, "Card" FROM public.customers;
  CREATE FUNCTION public.f(int) RETURNS int LANGUAGE sql STABLE AS 'select 1';
  CREATE PROCEDURE billing.p() LANGUAGE plpgsql AS 'begin end';
  CREATE TRIGGER t AFTER INSERT OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.f();
`;

test('tables, keys, partitions and inheritance', () => {
  const { get } = relations(SHOP);
  const orders = get('orders');
  const customers = get('customers');
  assert.equal(orders.kind, 'partitioned');
  assert.deepEqual(orders.columns.map(({ name, type }) => [name, type]).slice(0, 5), [
    ['id', 20],
    ['customer', 23],
    ['note', 1043],
    ['loud', 25],
    ['tags', 1009],
  ]);
  assert.deepEqual(orders.columns[3]?.generatedFrom, [3]);
  assert.deepEqual(
    orders.constraints.map(({ kind, columns, references }) => [kind, columns, references?.columns]),
    [
      ['primary', [1], undefined],
      ['check', [3], undefined],
      ['unique', [2, 3], undefined],
      ['foreign', [2], [1]],
    ],
  );
  assert.equal(customers.referencedBy[0]?.relation, orders.oid);
  assert.equal(customers.referencedBy[0].onDelete, 'cascade');
  assert.deepEqual(orders.children, [get('orders_1').oid]);
  assert.deepEqual(get('orders_1').parents, [orders.oid]);
  assert.deepEqual(get('orders_1').columns.length, orders.columns.length);
  assert.deepEqual(
    get('extra', 'billing').columns.map(({ name, number }) => [name, number]),
    [
      ['id', 1],
      ['Card', 2],
      ['more', 3],
    ],
  );
  assert.deepEqual(orders.triggers, ['INSERT', 'UPDATE']);
});

test('views, functions and types', () => {
  const { get, view } = relations(SHOP);
  const cards = get('cards');
  assert.equal(cards.definition, 'SELECT id, "Card" FROM public.customers');
  assert.deepEqual(
    cards.columns.map(({ name, type }) => [name, type]),
    [
      ['As', 23],
      ['c', 25],
    ],
  );
  assert.deepEqual(
    view.userFunctions(null, 'f')?.map(({ kind, volatility, language }) => [kind, volatility, language]),
    [['function', 'stable', 'sql']],
  );
  assert.equal(view.userFunctions(null, 'p')?.length, 0);
  assert.equal(view.userFunctions('billing', 'p')?.[0]?.kind, 'procedure');
  assert.equal(view.userType(null, 'mood')?.kind, 'enum');
  assert.equal(view.relation(null, 'nothing'), null);
});

test('what is not understood is refused, all at once', () => {
  assert.match(problems('CREATE TABLE t (a nonsense, b int[])'), /the type nonsense is not known/);
  assert.match(problems('CREATE TABLE t (LIKE u); CREATE INDEX ON t (a)'), /LIKE.*\n.*only CREATE TABLE/);
  assert.match(
    problems('CREATE VIEW v AS SELECT * FROM public.t'),
    /t must be .* made before\n.*view with \*/,
  );
  assert.match(problems('CREATE TABLE t (a int REFERENCES public.u)'), /public\.u, which is not there/);
  assert.match(problems('CREATE TABLE ('), /syntax error/);
});
