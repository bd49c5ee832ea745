/**
 * THREATS.md 11 to 13, by execution: whatever a policy of reads lets through is run, and must have changed nothing that
 * another connection can see: no row, sequence, catalog, setting, file or lock, and not so much as a transaction id.
 * What ways to effects there are is put into every place of a statement where an expression or a table can stand.
 */
import assert from 'node:assert/strict';
import { after, before, describe as suite, test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { usualManifests } from '../manifests.ts';
import { freePort, startPostgres, type TestPostgres } from '../postgres.ts';
import { startSidewarden, type Sidewarden } from '../serve.ts';
import { Frontend, bind, describe, execute, fieldsOf, parse, sync } from './frontend.ts';
import { neverAsReads, ordinary, readsAfterAll } from './language-statements.ts';
import { fingerprint, world } from './language-world.ts';

/** Expressions of a number or text that do something. */
const EFFECTS = [
  `nextval('counter')`,
  `setval('counter', 7)`,
  `wipe()`,
  `lie()`,
  `steady()`,
  `(SELECT n FROM wiping_view)`,
  `(SELECT n FROM lying_view LIMIT 1)`,
  `(SELECT 1 + felt FROM moods LIMIT 1)`,
  `length('x'::fine)`,
  `(SELECT o.wipe_row FROM orders o LIMIT 1)`,
  `lo_create(0)::bigint`,
  `pg_advisory_lock(1)::text`,
  `length(set_config('work_mem', '1MB', false))`,
  `length(query_to_xml('DELETE FROM victims', true, true, '')::text)`,
  `('counter'::regclass).nextval`,
  `CASE customer WHEN customer THEN 1 END`,
  `(SELECT wiping_sum(id) FROM orders)`,
  `(SELECT count(*) FROM guarded)`,
  `pg_terminate_backend(0)::int`,
  `(WITH x AS (SELECT nextval('counter') AS n) SELECT n FROM x)`,
] as const;

/** Where an expression may stand; `@` is it. Over `orders`, for `customer` to be known. */
const PLACES = [
  'SELECT @ FROM orders LIMIT 1',
  'SELECT id FROM orders WHERE @ IS NOT NULL',
  'SELECT id FROM orders ORDER BY @',
  'SELECT count(*) FROM orders GROUP BY @',
  'SELECT count(*) FROM orders GROUP BY customer HAVING @ IS NOT NULL',
  'SELECT count(@) FROM orders',
  'SELECT count(*) FILTER (WHERE @ IS NOT NULL) FROM orders',
  'SELECT array_agg(id ORDER BY @) FROM orders',
  'SELECT sum(id) OVER (PARTITION BY @) FROM orders',
  'SELECT sum(id) OVER w FROM orders WINDOW w AS (ORDER BY @)',
  'SELECT DISTINCT ON (@) id FROM orders',
  'SELECT x.v FROM orders, LATERAL (SELECT @ AS v) x',
  'SELECT o.id FROM orders o LEFT JOIN items i ON (SELECT @ FROM orders LIMIT 1) IS NULL',
  'SELECT (SELECT @) FROM orders',
  'SELECT EXISTS (SELECT @ FROM orders)',
  'SELECT ARRAY(SELECT @ FROM orders)',
  'SELECT ARRAY[@] FROM orders',
  'SELECT ROW(1, @) FROM orders',
  'SELECT coalesce(NULL, @) FROM orders',
  'SELECT CASE WHEN total > 0 THEN @ END FROM orders',
  'SELECT CASE @ WHEN NULL THEN 1 END FROM orders',
  'SELECT nullif(@, NULL) FROM orders',
  'SELECT greatest(@, NULL) FROM orders',
  'SELECT @ IN (NULL, NULL) FROM orders',
  'SELECT id BETWEEN 1 AND length(@::text) FROM orders',
  'SELECT (ARRAY[1, 2])[length(@::text)] FROM orders',
  'SELECT to_json(@) FROM orders',
  `SELECT jsonb_build_object('k', @) FROM orders`,
  `SELECT JSON_OBJECT('k' : @) FROM orders`,
  'SELECT JSON_ARRAY(@) FROM orders',
  `SELECT JSON_VALUE(doc, '$.k' PASSING (SELECT @ FROM orders LIMIT 1) AS x) FROM items`,
  'SELECT XMLELEMENT(NAME a, @) FROM orders',
  'SELECT (@)::text COLLATE "C" FROM orders',
  'SELECT id FROM orders UNION SELECT length(@::text) FROM orders',
  'WITH x AS (SELECT @ AS v FROM orders) SELECT * FROM x',
  'WITH x AS MATERIALIZED (SELECT @ AS v FROM orders) SELECT 1',
  'WITH RECURSIVE x(v) AS (SELECT 1 UNION SELECT length(@::text) FROM x, orders WHERE v < 2) SELECT * FROM x',
  'VALUES ((SELECT @ FROM orders LIMIT 1))',
  'SELECT id FROM orders LIMIT (SELECT length(@::text) FROM orders LIMIT 1)',
  'SELECT * FROM generate_series(1, (SELECT length(@::text) FROM orders LIMIT 1))',
  'SELECT * FROM orders TABLESAMPLE bernoulli ((SELECT length(@::text) FROM orders LIMIT 1))',
  'EXPLAIN ANALYZE SELECT @ FROM orders',
  'EXPLAIN SELECT @ FROM orders',
  'COPY (SELECT @ FROM orders) TO STDOUT',
  'SELECT 1; SELECT @ FROM orders',
  'SELECT concat(VARIADIC ARRAY[@::text]) FROM orders',
  'SELECT format(format => @::text) FROM orders',
  'SELECT (x).v FROM (SELECT ROW(@) AS v FROM orders) x',
] as const;

let postgres: TestPostgres;
let sidewarden: Sidewarden;
let admin: pg.Client;
let client: Frontend;

before(async () => {
  postgres = await startPostgres({ settings: ['autovacuum=off'] });
  admin = new pg.Client({ ...postgres, database: 'postgres' });
  await admin.connect();
  await admin.query(world);
  const rules = [{ name: 'reads', when: 'sql.effects == ["read"]', action: 'Allow' as const }];
  sidewarden = await startSidewarden({
    manifests: usualManifests({ postgres, name: 'reads', port: await freePort(), rules }),
  });
  client = await Frontend.connect(sidewarden.port);
});

after(async () => {
  client.close();
  await admin.end();
  await sidewarden.stop();
  await postgres.stop();
});

async function state(): Promise<string> {
  const { rows } = await admin.query<unknown[]>({ text: fingerprint, rowMode: 'array' });
  return JSON.stringify(rows[0]);
}

const SETTINGS =
  'SELECT name, setting FROM pg_catalog.pg_settings ORDER BY name; SELECT name, statement FROM pg_catalog.pg_prepared_statements';

/** Runs each; gives those that got through and changed something, and how many got through. */
async function run(statements: readonly string[]): Promise<{ changed: readonly string[]; through: number }> {
  const changed: string[] = [];
  let through = 0;
  let before = await state();
  for (const statement of statements) {
    const answer = await client.query(statement);
    assert.ok(!client.closed, statement);
    const refused = answer.some(({ tag, ...one }) => tag === 'E' && isRefusal(fieldsOf({ tag, ...one })));
    if (refused) continue;
    through += 1;
    const now = await state();
    if (now !== before) changed.push(`${statement}\n    ${describe(answer).slice(0, 200)}`);
    before = now;
  }
  if ((await state()) !== before) changed.push('something that was refused');
  return { changed, through };
}

const isRefusal = ({ D: detail = '' }: Readonly<Record<string, string>>) => detail.startsWith('Refused by ');

suite('what is let through as a read changes nothing', () => {
  test('in any place of a query', async () => {
    const statements = EFFECTS.flatMap((effect) =>
      PLACES.map((place) => place.replaceAll('@', () => effect)),
    );
    const settings = describe(await client.query(SETTINGS));
    const { changed } = await run(statements);
    assert.deepEqual(changed, []);
    assert.equal(describe(await client.query(SETTINGS)), settings);
  });

  test('the harmless ones in the same places are let through', async () => {
    const wrong: string[] = [];
    // That database has operators = and > of its own, which may be meant.
    const own = /> 0|CASE @|nullif|@ IN/;
    for (const place of PLACES.filter((one) => !own.test(one))) {
      const statement = place.replaceAll('@', () => 'length(note)');
      const answer = await client.query(statement);
      const error = answer.find(({ tag }) => tag === 'E');
      if (error && isRefusal(fieldsOf(error))) wrong.push(statement);
    }
    assert.deepEqual(wrong, []);
  });

  test('of the texts of the other suites', async () => {
    const { changed } = await run([...neverAsReads, ...ordinary, ...readsAfterAll]);
    assert.deepEqual(changed, []);
  });

  test('and of texts cut and joined at random', async () => {
    const texts = [...ordinary, ...neverAsReads].filter((one) => !/^COPY .* FROM STDIN/.test(one));
    const piece = fc.constantFrom(...texts);
    const cut = fc
      .tuple(piece, piece, fc.nat(100), fc.nat(100))
      .map(
        ([one, other, from, to]) =>
          one.slice(0, Math.floor((one.length * from) / 100)) +
          other.slice(Math.floor((other.length * to) / 100)),
      );
    const mutated = fc.oneof(
      cut,
      fc.tuple(piece, piece).map(([one, other]) => `${one};${other}`),
      fc
        .tuple(
          piece,
          fc.constantFrom('--\n', '/**/', "'", '$$', '\\', '"', ';', "E'", "U&'", '/*', '*/'),
          fc.nat(100),
        )
        .map(([one, inserted, at]) => {
          const index = Math.floor((one.length * at) / 100);
          return one.slice(0, index) + inserted + one.slice(index);
        }),
    );
    const sample = fc.sample(mutated, { numRuns: 400, seed: 20_261_121 });
    const { changed } = await run(
      sample.filter((one) => !/FROM STDIN|txid_current|pg_current_xact_id/i.test(one)),
    );
    assert.deepEqual(changed, []);
  });

  test('by the extended protocol, in one pipeline', async () => {
    const before = await state();
    for (const effect of EFFECTS) {
      const text = `SELECT ${effect} FROM orders LIMIT 1`;
      client.send(
        parse('', 'SELECT 1'),
        bind('', ''),
        execute(''),
        parse('', text),
        bind('', ''),
        execute(''),
        sync,
      );
      const answer = await client.ready();
      assert.equal(answer.filter(({ tag }) => tag === 'E').length, 1, `${text}: ${describe(answer)}`);
    }
    assert.equal(await state(), before);
  });
});
