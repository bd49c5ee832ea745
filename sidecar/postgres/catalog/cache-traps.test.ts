import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import fc from 'fast-check';
import { DEBIAN, onEachServer } from '../../../e2e/live-catalog.ts';
import { Catalog } from './cache.ts';
import { CatalogError } from './catalog-error.ts';

onEachServer('traps for the catalog of PostgreSQL', ({ admin, other, relation, loaded, binaries }) => {
  it('tells whose code a write runs', async () => {
    await admin.query(`CREATE FUNCTION app.code(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
        CREATE DOMAIN app.coded AS int CHECK (app.code(VALUE) > 0); CREATE DOMAIN app.deeper AS app.coded;
        CREATE OPERATOR app.<%> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
        CREATE FUNCTION app.add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
        CREATE OPERATOR app.<+> (LEFTARG = int, RIGHTARG = int, FUNCTION = app.add);
        CREATE TABLE app.code_default (a int DEFAULT app.code(1));
        CREATE TABLE app.code_check (a int CHECK (app.code(a) > 0));
        CREATE TABLE app.code_generated (a int, b int GENERATED ALWAYS AS (app.code(a)) STORED);
        CREATE TABLE app.code_index (a int); CREATE INDEX ON app.code_index (app.code(a));
        CREATE TABLE app.code_where (a int); CREATE INDEX ON app.code_where (a) WHERE app.code(a) > 1;
        CREATE TABLE app.code_domain (a app.coded); CREATE TABLE app.code_deeper (a app.deeper);
        CREATE TABLE app.code_operator (a int CHECK ((a OPERATOR(app.<+>) 1) > 0));
        CREATE TABLE app.code_partition (a int) PARTITION BY RANGE (app.code(a));
        CREATE TABLE app.code_none (id serial PRIMARY KEY, a int DEFAULT abs(-1) CHECK (a + 1 > 0), b app.positive,
          c timestamptz DEFAULT now(), d text GENERATED ALWAYS AS (repeat('x', a)) STORED, e int CHECK ((e OPERATOR(app.<%>) 1) > 0));
        CREATE INDEX ON app.code_none (abs(a))`);
    const kinds = [
      'default',
      'check',
      'generated',
      'index',
      'where',
      'domain',
      'deeper',
      'operator',
      'partition',
    ];
    for (const kind of kinds) assert.equal((await loaded(null, `code_${kind}`)).runsCodeOnWrite, true, kind);
    assert.equal((await loaded(null, 'code_none')).runsCodeOnWrite, false);
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
          [null, [], null, name === '%%'],
        );
      }),
      { numRuns: 100 },
    );
  });
});
