import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachServer } from '../../../e2e/live-catalog.ts';
import { Catalog } from './cache.ts';
import { CatalogError } from './catalog-error.ts';
import type { CatalogNeed, CatalogQuery } from './relation.ts';

onEachServer('changes of the catalog of PostgreSQL', ({ admin, other, relation }) => {
  it('notices each kind of change made elsewhere, and nothing else', async () => {
    await admin.query(`CREATE TABLE app.watched (id int PRIMARY KEY, a varchar(10), v varchar(10)); CREATE VIEW app.watching AS SELECT a FROM app.watched;
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
      'ALTER TABLE app.watched ALTER v TYPE varchar(20)',
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

  it('takes nothing for a change that is loaded while it polls', async () => {
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    await relation(view, catalog, null, 'customers');
    await other.query('SELECT pg_current_xact_id()');
    const meanwhile: CatalogQuery = async (sql) => {
      if (view.relation(null, 'emails') === undefined)
        await relation(view, catalog, null, 'emails', other.query);
      return admin.query(sql);
    };
    assert.equal(await catalog.poll(meanwhile), false);
    assert.ok(view.relation(null, 'customers') && view.relation(null, 'emails'));
  });

  it('asks again for what was replaced while it read', async () => {
    await other.query('CREATE TABLE app.replaced (old int)');
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    let texts = 0;
    const replacing: CatalogQuery = async (sql) => {
      texts += 1;
      if (texts === 2) await other.query('DROP TABLE app.replaced; CREATE TABLE app.replaced (new int)');
      return admin.query(sql);
    };
    await catalog.load([{ kind: 'relation', schema: null, name: 'replaced' }], replacing);
    assert.equal(view.relation(null, 'replaced'), undefined);
    const found = await relation(view, catalog, null, 'replaced');
    assert.equal(found?.columns[0]?.name, 'new');
  });

  it('sees its own connection’s uncommitted changes', async () => {
    await admin.query('BEGIN; CREATE TABLE app.uncommitted (a int)');
    const mine = new Catalog();
    const theirs = new Catalog();
    assert.ok(await relation(mine.view(['app'], null), mine, null, 'uncommitted', admin.query));
    assert.equal(await relation(theirs.view(['app'], null), theirs, null, 'uncommitted', other.query), null);
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

  it('reads hundreds of partitions', async () => {
    await admin.query(`CREATE TABLE app.many (at int) PARTITION BY RANGE (at);
        DO $$ BEGIN FOR i IN 1..300 LOOP
          EXECUTE format('CREATE TABLE app.many_%s PARTITION OF app.many FOR VALUES FROM (%s) TO (%s)', i, i, i + 1);
        END LOOP; END $$`);
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    const started = performance.now();
    const many = await relation(view, catalog, null, 'many');
    assert.equal(many?.children.length, 300);
    assert.ok(many.children.every((oid) => view.relationByOid(oid)));
    assert.equal(await catalog.poll(admin.query), false);
    assert.ok(performance.now() - started < 30_000);
    await admin.query('DROP TABLE app.many');
  });
});
