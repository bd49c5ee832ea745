import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachServer } from '../../../e2e/live-catalog.ts';
import { Catalog } from './cache.ts';

onEachServer('masked views', ({ admin, other }) => {
  async function found(name: string, masked: string | null): Promise<string> {
    const catalog = new Catalog();
    const view = catalog.view(['sw_run', 'app', 'public'], null, masked);
    for (let round = 0; round < 5; round += 1) {
      const relation = view.relation(null, name);
      if (relation !== undefined) return relation === null ? 'none' : `${relation.schema}.${relation.name}`;
      await catalog.load([{ kind: 'relation', schema: null, name }], other.query);
    }
    return 'never known';
  }

  it('stand for their tables, and nothing else does', async () => {
    await admin.query(`CREATE SCHEMA sw_run;
      CREATE TABLE app."Odd ""name" (id int, card text);
      CREATE TABLE app.plain_masked (id int, card text);
      CREATE TABLE app.joined (id int, card text);
      CREATE VIEW sw_run."Odd ""name" WITH (security_barrier) AS
        SELECT id, CASE WHEN card IS NULL THEN NULL ELSE '****'::text END AS card FROM app."Odd ""name";
      CREATE VIEW sw_run.plain_masked WITH (security_barrier) AS SELECT id, '[redacted]'::text AS card FROM app.plain_masked;
      CREATE VIEW sw_run.renamed AS SELECT id FROM app.plain_masked;
      CREATE VIEW sw_run.joined AS SELECT a.id FROM app.joined a, app.plain_masked b;
      CREATE TABLE sw_run.own (id int)`);
    const cases: readonly (readonly [string, string])[] = [
      ['Odd "name', 'app.Odd "name'],
      ['plain_masked', 'app.plain_masked'],
      ['renamed', 'sw_run.renamed'],
      ['joined', 'sw_run.joined'],
      ['own', 'sw_run.own'],
    ];
    for (const [name, stands] of cases) assert.equal(await found(name, 'sw_run'), stands, name);
    assert.equal(
      await found('plain_masked', null),
      'sw_run.plain_masked',
      'without a schema of masked views',
    );
  });
});
