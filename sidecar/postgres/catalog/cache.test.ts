import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachServer } from '../../../e2e/live-catalog.ts';
import { Catalog } from './cache.ts';
import type { CatalogNeed, CatalogQuery, Relation } from './relation.ts';

onEachServer('the live catalog of PostgreSQL', ({ admin, other, relation, loaded }) => {
  it('tells the kinds', async () => {
    const kinds: Record<string, string> = {
      customers: 'table',
      measures: 'partitioned',
      measures_1a: 'table',
      emails: 'view',
      material: 'materialized-view',
      numbers: 'sequence',
      pair: 'composite',
      customers_plain: 'index',
    };
    for (const [name, kind] of Object.entries(kinds))
      assert.equal((await loaded('app', name)).kind, kind, name);
  });

  it('tells columns, generated ones and dropped ones', async () => {
    const { columns } = await loaded(null, 'customers');
    assert.deepEqual(
      columns.map(({ number, name, type }) => [number, name, type]),
      [
        [1, 'id', 23],
        [2, 'email', 25],
        [3, 'card', 25],
        [5, 'shout', 25],
      ],
    );
    assert.deepEqual(
      columns.map(({ generatedFrom }) => generatedFrom),
      [[], [], [], [1, 2]],
    );
  });

  it('tells constraints and indexes', async () => {
    const byName = new Map((await loaded(null, 'customers')).constraints.map((entry) => [entry.name, entry]));
    const expected: Record<string, [string, number[]]> = {
      customers_pkey: ['primary', [1]],
      customers_email_key: ['unique', [2]],
      customers_card_check: ['check', [3]],
      customers_plain: ['unique', [3]],
      customers_expression: ['check', [1, 3]],
      customers_partial: ['check', [1, 2]],
    };
    for (const [name, [kind, columns]] of Object.entries(expected)) {
      assert.deepEqual(byName.get(name), { kind, name, columns }, name);
    }
    assert.equal(byName.size, Object.keys(expected).length);
    const orders = await loaded(null, 'orders');
    assert.ok(orders.constraints.some(({ kind }) => kind === 'exclusion'));
  });

  it('takes an index or a check over the whole row for one over all columns', async () => {
    await admin.query(`CREATE TABLE app.rows (a int, b int, CHECK (rows IS NOT NULL));
        CREATE FUNCTION app.of_row(app.rows) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
        CREATE INDEX of_rows ON app.rows (b, app.of_row(rows))`);
    const { constraints } = await loaded(null, 'rows');
    assert.deepEqual(
      constraints.map(({ kind, columns }) => [kind, columns]),
      [
        ['check', [1, 2]],
        ['check', [1, 2]],
      ],
    );
  });

  it('tells foreign keys from both ends', async () => {
    const customers = await loaded(null, 'customers');
    const orders = await loaded(null, 'orders');
    assert.deepEqual(orders.constraints.find(({ kind }) => kind === 'foreign')?.references, {
      relation: customers.oid,
      columns: [1],
    });
    assert.deepEqual(customers.referencedBy, [
      { relation: orders.oid, columns: [2], referenced: [1], onDelete: 'cascade', onUpdate: 'set-null' },
    ]);
  });

  it('tells triggers that fire, rules and row security', async () => {
    assert.deepEqual((await loaded(null, 'orders')).triggers, ['UPDATE', 'DELETE']);
    assert.deepEqual((await loaded(null, 'customers')).triggers, []);
    assert.deepEqual((await loaded(null, 'measures')).triggers, ['INSERT']);
    assert.deepEqual((await loaded(null, 'measures_1a')).triggers, ['INSERT']);
    assert.equal((await loaded(null, 'ruled')).rules, true);
    assert.equal((await loaded(null, 'emails')).rules, false);
    assert.equal((await loaded(null, 'secured')).rowSecurity, true);
    assert.equal((await loaded(null, 'ruled')).rowSecurity, false);
  });

  it('gives view definitions fully qualified whatever the path of the connection, and leaves that path as it was', async () => {
    await admin.query(`SET search_path = "app", "Odd ""schema"" é", pg_catalog`);
    try {
      assert.match((await loaded(null, 'emails')).definition ?? '', /FROM app\.customers/);
      assert.equal((await admin.query('SHOW search_path'))[0]?.[0], `app, "Odd ""schema"" é", pg_catalog`);
    } finally {
      await admin.query('RESET search_path');
    }
  });

  it('leaves a transaction and its settings as they were', async () => {
    const show = async () => (await admin.query('SHOW search_path'))[0]?.[0];
    await admin.query('SET search_path = hidden');
    await admin.query('BEGIN; SET search_path = app');
    await loaded(null, 'emails');
    assert.equal(await show(), 'app');
    await admin.query('COMMIT');
    assert.equal(await show(), 'app', 'SET lasts beyond its transaction');
    await admin.query('BEGIN; SET LOCAL search_path = hidden');
    await loaded('app', 'emails_twice');
    assert.equal(await show(), 'hidden');
    await admin.query('SAVEPOINT s; SET search_path = public');
    await loaded('app', 'material');
    await admin.query('ROLLBACK TO s');
    assert.equal(await show(), 'hidden');
    await admin.query('COMMIT');
    assert.equal(await show(), 'app', 'SET LOCAL ends with its transaction');
    await admin.query('BEGIN; SET search_path = public');
    await loaded('app', 'emails');
    await admin.query('ROLLBACK');
    assert.equal(await show(), 'app');
    await admin.query('RESET search_path');
  });

  it('brings in one load what views and partitions imply', async () => {
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    let texts = 0;
    const counted: CatalogQuery = (sql) => ((texts += 1), admin.query(sql));
    await catalog.load(
      [
        { kind: 'relation', schema: null, name: 'emails_twice' },
        { kind: 'relation', schema: null, name: 'measures' },
      ],
      counted,
    );
    assert.equal(texts, 2);
    for (const name of ['emails_twice', 'measures']) assert.ok(view.relation(null, name), name);
    const customers = (await loaded('app', 'customers')).oid;
    assert.equal(view.relationByOid(customers)?.name, 'customers');
    const tree = (root: Relation): string[] => [
      root.name,
      ...root.children.flatMap((oid) => {
        const child = view.relationByOid(oid);
        assert.ok(child, 'children are loaded');
        assert.ok(child.parents.includes(root.oid));
        return tree(child);
      }),
    ];
    const measures = view.relation(null, 'measures');
    assert.ok(measures);
    assert.deepEqual(tree(measures).sort(), ['measures', 'measures_1', 'measures_1a', 'measures_2']);
  });

  it('brings the ancestors of a partition, without their other partitions', async () => {
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    const leaf = await relation(view, catalog, null, 'measures_1a');
    const parent = view.relationByOid(leaf?.parents[0] ?? 0);
    const root = view.relationByOid(parent?.parents[0] ?? 0);
    assert.deepEqual([parent?.name, root?.name, root?.children.length], ['measures_1', 'measures', 2]);
    const sibling = root?.children.find((oid) => oid !== parent?.oid) ?? 0;
    assert.equal(view.relationByOid(sibling), undefined);
    await catalog.load([], admin.query);
    assert.equal(
      view.relationByOid(sibling)?.name,
      'measures_2',
      'what was asked for comes with the next load',
    );
    const cat = await relation(view, catalog, null, 'cat');
    assert.equal(view.relationByOid(cat?.parents[0] ?? 0)?.name, 'animal');
  });

  it('resolves names as the server does', async () => {
    const paths = [
      ['app', 'public'],
      ['hidden', 'app'],
      ['public', 'pg_catalog'],
      ['public'],
      [],
      ['pg_catalog', 'public'],
      ['hidden', 'pg_temp', 'app'],
      ['nowhere', 'hidden'],
    ];
    await other.query(`CREATE TEMP TABLE customers (mine int); CREATE TEMP TABLE pg_class (mine int)`);
    const temp = (await other.query('SELECT pg_my_temp_schema()::regnamespace'))[0]?.[0] ?? null;
    const catalog = new Catalog();
    for (const path of paths) {
      const setting = path.map((schema) => `"${schema}"`).join(', ');
      await other.query(`SET search_path = ${setting === '' ? "''" : setting}`);
      for (const name of ['customers', 'pg_class', 'emails', 'int4', 'no such']) {
        const [row] = await other.query(
          `SELECT pg_catalog.to_regclass('${name === 'no such' ? '"no such"' : name}')::oid`,
        );
        const found = await relation(catalog.view(path, temp), catalog, null, name, other.query);
        assert.equal(
          found?.oid ?? null,
          row?.[0] == null ? null : Number(row[0]),
          `${name} under ${path.join()}`,
        );
      }
      const real = (await other.query('SELECT to_json(current_schemas(true))'))[0]?.[0] ?? '[]';
      // What the server itself says it searches, in its order.
      const order = JSON.parse(real) as string[];
      const same = catalog.view(order, temp).relation(null, 'pg_class');
      assert.deepEqual(same, catalog.view(path, temp).relation(null, 'pg_class'), path.join());
    }
    await other.query(`DROP TABLE pg_temp.customers, pg_temp.pg_class; RESET search_path`);
  });

  it('keeps one session’s temporary tables from another’s', async () => {
    await other.query('CREATE TEMP TABLE customers (mine int)');
    const temp = (await other.query('SELECT pg_my_temp_schema()::regnamespace'))[0]?.[0] ?? null;
    const catalog = new Catalog();
    const mine = await relation(catalog.view(['app'], temp), catalog, null, 'customers');
    const theirs = await relation(catalog.view(['app'], null), catalog, null, 'customers');
    assert.deepEqual([mine?.temporary, mine?.schema, theirs?.schema], [true, temp, 'app']);
    assert.equal(catalog.view(['app'], temp).relation('pg_temp', 'customers')?.oid, mine?.oid);
    assert.equal(catalog.view(['app'], null).relation('pg_temp', 'customers'), null);
    await other.query('DROP TABLE pg_temp.customers');
  });

  it('knows functions, types and operators that are not PostgreSQL’s own', async () => {
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    const need = (kind: 'function' | 'type', name: string): CatalogNeed => ({ kind, schema: null, name });
    assert.equal(view.userFunctions(null, 'twice'), undefined);
    assert.equal(view.hasUserOperator('%%'), undefined);
    assert.equal(view.userType(null, 'mood'), undefined);
    await catalog.load(
      [
        ...['twice', 'lower', 'doing', 'total', 'none'].map((name) => need('function', name)),
        ...['mood', 'positive', 'pair', 'span', 'int4', 'text', 'none', 'customers'].map((name) =>
          need('type', name),
        ),
        { kind: 'operator', name: '%%' },
        { kind: 'operator', name: '=' },
        { kind: 'operator', name: '|||' },
      ],
      admin.query,
    );
    assert.deepEqual(
      view.userFunctions(null, 'twice')?.map(({ language, volatility }) => [language, volatility]),
      [
        ['sql', 'immutable'],
        ['plpgsql', 'volatile'],
      ],
    );
    assert.deepEqual(view.userFunctions(null, 'lower'), []);
    assert.equal(view.userFunctions('hidden', 'lower')?.length, 1);
    assert.equal(catalog.view(['hidden'], null).userFunctions(null, 'lower')?.length, 1);
    assert.deepEqual(view.userFunctions('pg_catalog', 'lower'), []);
    assert.equal(view.userFunctions(null, 'doing')?.[0]?.kind, 'procedure');
    assert.equal(view.userFunctions(null, 'total')?.[0]?.kind, 'aggregate');
    assert.deepEqual(view.userFunctions(null, 'none'), []);
    const kinds = ['mood', 'positive', 'pair', 'span', 'customers'].map(
      (name) => view.userType(null, name)?.kind,
    );
    assert.deepEqual(kinds, ['enum', 'domain', 'composite', 'range', 'composite']);
    assert.equal(view.userType(null, 'int4'), null, 'pg_catalog comes first');
    assert.equal(catalog.view(['app', 'pg_catalog'], null).userType(null, 'int4')?.kind, 'composite');
    assert.equal(view.userType('app', 'int4')?.kind, 'composite');
    assert.equal(view.userType(null, 'text'), null);
    assert.equal(view.userType(null, 'none'), null);
    assert.deepEqual(
      ['%%', '=', '|||'].map((name) => view.hasUserOperator(name)),
      [true, false, false],
    );
  });
});
