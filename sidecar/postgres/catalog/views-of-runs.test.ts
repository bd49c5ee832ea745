import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachServer } from '../../../e2e/live-catalog.ts';
import { Catalog } from './cache.ts';

onEachServer('masked views of other runs', ({ admin, other, relation }) => {
  it('are read by nobody who does not name them, so that nobody waits for their end', async () => {
    const schema = 'sw_orders_db_0123456789abcdef0123';
    await admin.query(
      `CREATE SCHEMA ${schema}; CREATE VIEW ${schema}.customers AS SELECT id FROM app.customers`,
    );
    await other.query(`BEGIN; DROP VIEW ${schema}.customers`);
    await admin.query("SET lock_timeout = '100ms'");
    const catalog = new Catalog();
    const view = catalog.view(['app'], null);
    assert.equal((await relation(view, catalog, null, 'customers'))?.schema, 'app');
    await assert.rejects(relation(view, catalog, schema, 'customers'), /lock timeout/);
    await other.query('ROLLBACK');
    await admin.query('RESET lock_timeout');
    assert.equal((await relation(view, catalog, schema, 'customers'))?.kind, 'view');
    assert.equal((await relation(view, catalog, null, 'customers'))?.kind, 'table');
    await admin.query(`DROP SCHEMA ${schema} CASCADE`);
  });
});
