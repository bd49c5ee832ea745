import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type QueryConnection, queryConnection } from '../../../e2e/catalog-query.ts';
import { startPostgres, type TestPostgres } from '../../../e2e/postgres.ts';
import { Catalog } from './cache.ts';
import { CatalogError } from './catalog-error.ts';
import type { CatalogNeed, CatalogQuery, CatalogView, Relation } from './relation.ts';

const DEBIAN = '/usr/lib/postgresql/15/bin';

const SCHEMA = `
CREATE SCHEMA app; CREATE SCHEMA "Odd ""schema"" é"; CREATE SCHEMA hidden;
CREATE TABLE app.customers (
  id int PRIMARY KEY, email text UNIQUE, card text CHECK (length(card) > 0), gone int,
  shout text GENERATED ALWAYS AS (upper(email) || id) STORED);
ALTER TABLE app.customers DROP COLUMN gone;
CREATE UNIQUE INDEX customers_plain ON app.customers (card);
CREATE INDEX customers_expression ON app.customers (lower(card), id);
CREATE INDEX customers_partial ON app.customers (id) WHERE email IS NOT NULL;
CREATE INDEX customers_uninteresting ON app.customers (id);
CREATE TABLE app.orders (id int, customer int REFERENCES app.customers ON DELETE CASCADE ON UPDATE SET NULL,
  during int4range, EXCLUDE USING gist (during WITH &&));
CREATE VIEW app.emails AS SELECT id, email FROM app.customers WHERE card IS NOT NULL;
CREATE VIEW app.emails_twice AS SELECT e.* FROM app.emails e JOIN app.orders o ON o.id = e.id;
CREATE MATERIALIZED VIEW app.material AS SELECT card FROM app.customers;
CREATE SEQUENCE app.numbers;
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE TYPE app.int4 AS (shadow int);
CREATE TABLE app.measures (at int, value text) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1 PARTITION OF app.measures FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1a PARTITION OF app.measures_1 FOR VALUES FROM (0) TO (5);
CREATE TABLE app.measures_2 PARTITION OF app.measures FOR VALUES FROM (10) TO (20);
CREATE TABLE app.animal (name text); CREATE TABLE app.cat (meow text) INHERITS (app.animal);
CREATE FUNCTION app.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER watching AFTER UPDATE OR DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.watch();
CREATE TRIGGER asleep AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.watch();
ALTER TABLE app.orders DISABLE TRIGGER asleep;
CREATE TRIGGER row_trigger AFTER INSERT ON app.measures FOR EACH ROW EXECUTE FUNCTION app.watch();
CREATE TABLE app.ruled (a int);
CREATE RULE also AS ON INSERT TO app.ruled DO ALSO SELECT 1;
CREATE TABLE app.secured (a int); ALTER TABLE app.secured ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION app.twice(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION hidden.lower(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1';
CREATE PROCEDURE app.doing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int);
CREATE OPERATOR app.%% (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE TABLE "Odd ""schema"" é"."sélect ' \\ "" ; --" ("a'b\\" int);
CREATE TABLE public.pg_class (fake int); CREATE TABLE hidden.customers (other int);
CREATE TABLE public.t63_${'x'.repeat(59)} (a int);
`;

for (const [label, binaries] of [
  ['18', undefined],
  ['15', DEBIAN],
] as const) {
  const skip = binaries !== undefined && !existsSync(binaries) ? 'not installed' : false;
  describe(`the live catalog of PostgreSQL ${label}`, { skip }, () => {
    let server: TestPostgres;
    let admin: QueryConnection;
    let other: QueryConnection;
    before(async () => {
      server = await startPostgres(binaries === undefined ? {} : { binaries });
      admin = await queryConnection(server);
      other = await queryConnection(server);
      await admin.query(SCHEMA);
    });
    after(async () => {
      await admin.close();
      await other.close();
      await server.stop();
    });

    /** Loads a relation as an analysis would and gives it, null when there is none. */
    async function relation(
      view: CatalogView,
      catalog: Catalog,
      schema: string | null,
      name: string,
      query = admin.query,
    ) {
      if (view.relation(schema, name) === undefined)
        await catalog.load([{ kind: 'relation', schema, name }], query);
      const found = view.relation(schema, name);
      assert.notEqual(found, undefined, `${name} is loaded`);
      return found ?? null;
    }

    async function loaded(schema: string | null, name: string, path = ['app', 'public']): Promise<Relation> {
      const catalog = new Catalog();
      const found = await relation(catalog.view(path, null), catalog, schema, name);
      assert.ok(found, `${name} exists`);
      return found;
    }

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
      const byName = new Map(
        (await loaded(null, 'customers')).constraints.map((entry) => [entry.name, entry]),
      );
      const expected: Record<string, [string, number[]]> = {
        customers_pkey: ['primary', [1]],
        customers_email_key: ['unique', [2]],
        customers_card_check: ['check', [3]],
        customers_plain: ['unique', [3]],
        customers_expression: ['index-expression', [1, 3]],
        customers_partial: ['index-expression', [1, 2]],
      };
      for (const [name, [kind, columns]] of Object.entries(expected)) {
        assert.deepEqual(byName.get(name), { kind, name, columns }, name);
      }
      assert.equal(byName.size, Object.keys(expected).length);
      const orders = await loaded(null, 'orders');
      assert.ok(orders.constraints.some(({ kind }) => kind === 'exclusion'));
    });

    it('takes an index or a check over the whole row for one over all columns', async () => {
      await admin.query(`CREATE TABLE app.rows (a int, b int, CHECK (app.rows IS NOT NULL));
        CREATE FUNCTION app.of_row(app.rows) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';`);
      assert.deepEqual((await loaded(null, 'rows')).constraints[0]?.columns, [1, 2]);
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
        assert.equal(
          (await admin.query('SHOW search_path'))[0]?.[0],
          `"app", "Odd ""schema"" é", pg_catalog`,
        );
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

    it('is not misled by a path full of traps', async () => {
      await other.query(`CREATE SCHEMA trap;
        CREATE FUNCTION trap.eq(name, name) RETURNS bool LANGUAGE sql AS 'SELECT false';
        CREATE FUNCTION trap.eqo(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = name, FUNCTION = trap.eq);
        CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.eqo);
        CREATE OPERATOR trap.<> (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.eqo);
        CREATE FUNCTION trap.json_agg(json) RETURNS json LANGUAGE sql AS $$SELECT '[]'::json$$;
        CREATE FUNCTION trap.set_config(text, text, bool) RETURNS text LANGUAGE sql AS $$SELECT 'x'::text$$;
        CREATE TABLE trap.pg_attribute (a int); CREATE TABLE trap.pg_class (relname name);
        CREATE TYPE trap.oid AS (a int); CREATE TYPE trap.text AS (a int);
        SET search_path = trap, pg_catalog`);
      const catalog = new Catalog();
      const view = catalog.view(['trap', 'pg_catalog'], null);
      const viaTrap = await relation(view, catalog, 'app', 'emails', other.query);
      assert.deepEqual(viaTrap, await loaded('app', 'emails'));
      assert.equal((await relation(view, catalog, null, 'pg_class', other.query))?.schema, 'trap');
      await catalog.load([{ kind: 'operator', name: '=' }], other.query);
      assert.equal(view.hasUserOperator('='), true);
      assert.equal(await catalog.poll(other.query), false);
      await other.query('RESET search_path; DROP SCHEMA trap CASCADE');
    });

    it(
      'does not count operators of trusted extensions',
      {
        skip:
          !existsSync(`${binaries ?? DEBIAN}/../../../../share/postgresql/15/extension/citext.control`) &&
          'no extensions',
      },
      async () => {
        const [row] = await admin.query(`SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'`);
        if (row?.[0] !== '1') return;
        await admin.query('CREATE EXTENSION citext SCHEMA app');
        const catalog = new Catalog();
        await catalog.load([{ kind: 'operator', name: '=' }], admin.query);
        assert.equal(catalog.view(['app'], null).hasUserOperator('='), false);
        await admin.query('DROP EXTENSION citext');
      },
    );

    it('takes names of any kind, and cuts them as the server does', async () => {
      const odd = `sélect ' \\\\ " ; --`.replace('\\\\', '\\');
      const found = await loaded('Odd "schema" é', odd);
      assert.deepEqual(
        found.columns.map(({ name }) => name),
        ["a'b\\"],
      );
      const long = `t63_${'x'.repeat(59)}`;
      assert.equal((await loaded('public', long)).name, long);
      assert.equal((await loaded('public', `${long}yyy`)).name, long);
      const catalog = new Catalog();
      for (const name of ['a\0b', '\ud800']) {
        await assert.rejects(
          catalog.load([{ kind: 'relation', schema: null, name }], admin.query),
          (error) => error instanceof CatalogError && error.code === 'bad-name',
        );
      }
    });

    it('any name is either found or known not to be there', async () => {
      const text = fc.string({
        unit: fc.constantFrom("'", '"', '\\', '$', 'a', 'é', '€', '😀', ';', '\n', '%', 'E'),
        maxLength: 30,
      });
      await fc.assert(
        fc.asyncProperty(text, text, async (schema, name) => {
          const catalog = new Catalog();
          const view = catalog.view([schema], null);
          await catalog.load(
            [
              { kind: 'relation', schema: null, name },
              { kind: 'function', schema, name },
              { kind: 'type', schema, name },
              { kind: 'operator', name },
            ],
            admin.query,
          );
          assert.deepEqual(
            [
              view.relation(schema, name),
              view.userFunctions(null, name),
              view.userType(null, name),
              view.hasUserOperator(name),
            ],
            [null, [], null, false],
          );
        }),
        { numRuns: 100 },
      );
    });

    it('notices each kind of change made elsewhere, and nothing else', async () => {
      await admin.query(`CREATE TABLE app.watched (id int PRIMARY KEY, a varchar(10)); CREATE VIEW app.watching AS SELECT a FROM app.watched;
        CREATE TABLE app.refers (id int)`);
      const catalog = new Catalog();
      const view = catalog.view(['app', 'public'], null);
      const needs: CatalogNeed[] = [
        ...['watching', 'refers', 'soon', 'measures'].map((name): CatalogNeed => ({
          kind: 'relation',
          schema: null,
          name,
        })),
        { kind: 'function', schema: null, name: 'later' },
        { kind: 'type', schema: null, name: 'later' },
        { kind: 'operator', name: '@@@@' },
      ];
      const changes = [
        'ALTER TABLE app.watched ADD b int',
        'ALTER TABLE app.watched RENAME a TO c',
        'ALTER TABLE app.watched RENAME c TO a',
        'ALTER TABLE app.watched ALTER a TYPE varchar(20)',
        'ALTER TABLE app.watched DROP b',
        'CREATE UNIQUE INDEX watched_a ON app.watched (a)',
        'DROP INDEX app.watched_a',
        'ALTER TABLE app.watched ADD CONSTRAINT c1 CHECK (id > 0)',
        'ALTER TABLE app.refers ADD FOREIGN KEY (id) REFERENCES app.watched',
        'ALTER TABLE app.refers DROP CONSTRAINT refers_id_fkey',
        'CREATE TRIGGER w AFTER INSERT ON app.watched EXECUTE FUNCTION app.watch()',
        'ALTER TABLE app.watched DISABLE TRIGGER w',
        'CREATE OR REPLACE VIEW app.watching AS SELECT a, id FROM app.watched',
        'CREATE RULE r AS ON DELETE TO app.watched DO NOTHING',
        'ALTER TABLE app.watched ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE app.measures DETACH PARTITION app.measures_2',
        'ALTER TABLE app.measures ATTACH PARTITION app.measures_2 FOR VALUES FROM (10) TO (20)',
        'CREATE TABLE app.soon ()',
        'ALTER TABLE app.soon RENAME TO never',
        'CREATE TABLE public.watching ()',
        'DROP TABLE public.watching',
        `CREATE FUNCTION app.later() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
        `CREATE OR REPLACE FUNCTION app.later() RETURNS int LANGUAGE sql STABLE AS 'SELECT 2'`,
        'CREATE TYPE app.later AS ENUM ()',
        'CREATE OPERATOR app.@@@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)',
        'ALTER SCHEMA app RENAME TO app2',
        'ALTER SCHEMA app2 RENAME TO app',
        'DROP VIEW app.watching',
      ];
      const others = [
        'SELECT 1',
        'INSERT INTO app.watched VALUES (1, $$x$$)',
        'ANALYZE app.watched',
        'CREATE TABLE app.unrelated (a int)',
        'DROP TABLE app.unrelated',
        'TRUNCATE app.watched CASCADE',
        'GRANT SELECT ON app.watched TO PUBLIC',
        'VACUUM app.watched',
      ];
      await catalog.load(needs, admin.query);
      for (const change of others) {
        await other.query(change);
        assert.equal(await catalog.poll(admin.query), false, change);
      }
      for (const change of changes) {
        await catalog.load(needs, admin.query);
        const version = view.version;
        assert.equal(await catalog.poll(admin.query), false, `before ${change}`);
        await other.query(change);
        assert.equal(await catalog.poll(admin.query), true, change);
        assert.ok(view.version > version);
        assert.equal(view.relation(null, 'measures'), undefined);
      }
    });

    it('forgets when told, also what is on its way', async () => {
      const catalog = new Catalog();
      const view = catalog.view(['app'], null);
      const slow: CatalogQuery = async (sql) => {
        const rows = await admin.query(sql);
        catalog.invalidate();
        return rows;
      };
      await catalog.load([{ kind: 'relation', schema: null, name: 'customers' }], slow);
      assert.equal(view.relation(null, 'customers'), undefined);
      await relation(view, catalog, null, 'customers');
      catalog.invalidate();
      assert.equal(view.relation(null, 'customers'), undefined);
      assert.equal(catalog.view(['app'], null), view, 'views are kept');
    });

    it('sees its own connection’s uncommitted changes', async () => {
      await admin.query('BEGIN; CREATE TABLE app.uncommitted (a int)');
      const mine = new Catalog();
      const theirs = new Catalog();
      assert.ok(await relation(mine.view(['app'], null), mine, null, 'uncommitted', admin.query));
      assert.equal(
        await relation(theirs.view(['app'], null), theirs, null, 'uncommitted', other.query),
        null,
      );
      await admin.query('ROLLBACK');
    });

    it('refuses too many needs, and answers of another shape', async () => {
      const catalog = new Catalog();
      const needs = Array.from({ length: 5000 }, (_, index): CatalogNeed => ({
        kind: 'relation-oid',
        oid: index,
      }));
      const code = (expected: string) => (error: unknown) =>
        error instanceof CatalogError && error.code === expected;
      await assert.rejects(catalog.load(needs, admin.query), code('too-many'));
      const need: CatalogNeed = { kind: 'relation', schema: null, name: 'customers' };
      for (const rows of [[], [['x']], [['path', null]], [['relation', null, null, null]]]) {
        await assert.rejects(
          catalog.load([need], async () => rows),
          code('unexpected-answer'),
        );
      }
      assert.equal(catalog.view(['app'], null).relation(null, 'customers'), undefined);
    });

    it('reads a thousand partitions', async () => {
      await admin.query(`CREATE TABLE app.many (at int) PARTITION BY RANGE (at);
        DO $$ BEGIN FOR i IN 1..1000 LOOP
          EXECUTE format('CREATE TABLE app.many_%s PARTITION OF app.many FOR VALUES FROM (%s) TO (%s)', i, i, i + 1);
        END LOOP; END $$`);
      const catalog = new Catalog();
      const view = catalog.view(['app'], null);
      const started = performance.now();
      const many = await relation(view, catalog, null, 'many');
      assert.equal(many?.children.length, 1000);
      assert.ok(many?.children.every((oid) => view.relationByOid(oid)));
      assert.equal(await catalog.poll(admin.query), false);
      assert.ok(performance.now() - started < 5000);
      await admin.query('DROP TABLE app.many');
    });
  });
}
