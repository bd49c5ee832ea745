/** The facts of statements, as rules see them. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { SqlStatementFacts } from '../../operation.ts';
import { analyze, loadParser } from './analyze.ts';
import type { Analysis, MaskOutcome, SessionEffect, Statement } from './statement.ts';
import { maskedCatalog } from './testing-masked.ts';

const NONE = { columns: [], detectors: [] };
const catalog = maskedCatalog();
catalog.operators.add('<+>');

function analysis(text: string, context: Partial<Parameters<typeof analyze>[1]> = {}): Analysis {
  const names = { preparedStatement: () => undefined, cursor: () => undefined };
  return analyze(text, { catalog, masks: NONE, names, ...context });
}

function statements(text: string): readonly Statement[] {
  const result = analysis(text);
  assert.equal(result.kind, 'parsed', text);
  return result.statements;
}

function only(text: string): Statement {
  const [first, ...others] = statements(text);
  assert.ok(first && others.length === 0);
  return first;
}

const tables = ({ tables: all }: SqlStatementFacts) =>
  all.map(({ name, access, indirect }) => `${name}:${access.join('+')}${indirect ? '~' : ''}`).join(' ');

/** Text, verb, effects. */
const EFFECTS: readonly (readonly [string, string, string])[] = [
  ['SELECT 1', 'SELECT', 'read'],
  ['TABLE orders', 'SELECT', 'read'],
  ['VALUES (1)', 'SELECT', 'read'],
  ['SELECT * FROM orders FOR UPDATE', 'SELECT', 'read session'],
  ['INSERT INTO orders VALUES (1)', 'INSERT', 'write'],
  ['INSERT INTO orders VALUES (1) RETURNING id', 'INSERT', 'read write'],
  ['INSERT INTO orders SELECT id FROM customers', 'INSERT', 'read write'],
  ['UPDATE orders SET total = 1 WHERE id = 1', 'UPDATE', 'write'],
  ['DELETE FROM orders WHERE id = 1', 'DELETE', 'delete'],
  ['MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE', 'MERGE', 'read delete'],
  [
    'MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET total = 1 WHEN NOT MATCHED THEN DO NOTHING',
    'MERGE',
    'read write',
  ],
  ['WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d', 'DELETE', 'read delete'],
  ['WITH d AS (DELETE FROM orders) SELECT 1', 'DELETE', 'read delete'],
  [
    'WITH a AS (SELECT 1), d AS (INSERT INTO orders VALUES (1)) DELETE FROM letters',
    'DELETE',
    'write delete',
  ],
  ['EXPLAIN DELETE FROM orders', 'EXPLAIN', 'read'],
  ['EXPLAIN ANALYZE DELETE FROM orders', 'DELETE', 'read delete'],
  ['EXPLAIN (ANALYZE false) DELETE FROM orders', 'EXPLAIN', 'read'],
  [
    'WITH d AS (DELETE FROM orders RETURNING id) INSERT INTO letters (id) SELECT id FROM d',
    'DELETE',
    'read write delete',
  ],
  ['SET session_replication_role = replica', 'SET', 'session administer'],
  ["SELECT set_config('zero_damaged_pages', 'on', false)", 'SELECT', 'read session administer'],
  ["SET work_mem = '1MB'", 'SET', 'session'],
  ['EXPLAIN (ANALYZE 0, BUFFERS) DELETE FROM orders', 'EXPLAIN', 'read'],
  ['EXPLAIN (ANALYZE on) DELETE FROM orders', 'DELETE', 'read delete'],
  ['EXPLAIN SELECT mine(1)', 'EXPLAIN', 'read opaque'],
  ['EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1', 'EXPLAIN', 'read ddl'],
  ['PREPARE p AS DELETE FROM orders', 'PREPARE', 'delete'],
  ['EXECUTE p', 'EXECUTE', 'opaque'],
  ['DECLARE c CURSOR FOR SELECT 1', 'DECLARE CURSOR', 'read'],
  ['FETCH c', 'FETCH', 'read opaque'],
  ['MOVE c', 'MOVE', 'session opaque'],
  ['CLOSE c', 'CLOSE CURSOR', 'session'],
  ['CLOSE ALL', 'CLOSE CURSOR ALL', 'session'],
  ['COPY orders TO STDOUT', 'COPY', 'read'],
  ['COPY orders FROM STDIN', 'COPY', 'write'],
  ['COPY (DELETE FROM orders RETURNING *) TO STDOUT', 'DELETE', 'read delete'],
  ["COPY orders TO '/tmp/x'", 'COPY', 'read administer opaque'],
  ["COPY orders FROM '/tmp/x'", 'COPY', 'write administer opaque'],
  ["COPY orders TO PROGRAM 'cat'", 'COPY', 'read administer opaque'],
  ['TRUNCATE orders', 'TRUNCATE TABLE', 'delete'],
  ['CREATE TABLE x (a int)', 'CREATE TABLE', 'ddl'],
  ['CREATE TABLE x (a int DEFAULT mine(1))', 'CREATE TABLE', 'ddl opaque'],
  ["CREATE TABLE x (a int DEFAULT nextval('s'), CHECK (mine(a) > 1))", 'CREATE TABLE', 'write ddl opaque'],
  ['CREATE TABLE x AS SELECT * FROM orders', 'CREATE TABLE AS', 'read ddl'],
  ['CREATE TABLE x AS SELECT mine(1)', 'CREATE TABLE AS', 'ddl opaque'],
  ['SELECT * INTO x FROM orders', 'SELECT INTO', 'read ddl'],
  ['SELECT 1 INTO x UNION SELECT 2', 'SELECT INTO', 'read ddl'],
  ['CREATE MATERIALIZED VIEW x AS SELECT 1', 'CREATE MATERIALIZED VIEW', 'ddl'],
  ['REFRESH MATERIALIZED VIEW summary', 'REFRESH MATERIALIZED VIEW', 'read write'],
  ['CREATE VIEW x AS SELECT mine(1)', 'CREATE VIEW', 'ddl opaque'],
  ['CREATE INDEX ON orders (total)', 'CREATE INDEX', 'ddl'],
  ['CREATE INDEX ON orders (mine(id))', 'CREATE INDEX', 'ddl opaque'],
  ['ALTER TABLE orders ADD COLUMN x int', 'ALTER TABLE', 'ddl'],
  ['ALTER TABLE orders RENAME TO x', 'ALTER TABLE', 'ddl'],
  ['ALTER TABLE orders RENAME COLUMN id TO x', 'ALTER TABLE', 'ddl'],
  ['ALTER VIEW labels RENAME TO x', 'ALTER VIEW', 'ddl'],
  ['ALTER TABLE orders OWNER TO x', 'ALTER TABLE', 'ddl privilege'],
  ['ALTER TABLE orders ENABLE ROW LEVEL SECURITY', 'ALTER TABLE', 'ddl privilege'],
  ['ALTER SCHEMA a OWNER TO b', 'ALTER SCHEMA', 'ddl privilege'],
  ['DROP TABLE orders', 'DROP TABLE', 'ddl'],
  ['DROP DATABASE x', 'DROP DATABASE', 'ddl administer'],
  ['CREATE DATABASE x', 'CREATE DATABASE', 'ddl administer'],
  ['DROP SCHEMA x CASCADE', 'DROP SCHEMA', 'ddl'],
  ['DROP FUNCTION mine(int)', 'DROP FUNCTION', 'ddl'],
  ['DROP OWNED BY x', 'DROP OWNED', 'delete ddl privilege'],
  ['CREATE SCHEMA s CREATE TABLE t (a int)', 'CREATE SCHEMA', 'ddl'],
  ["CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", 'CREATE FUNCTION', 'ddl'],
  ["CREATE PROCEDURE f() LANGUAGE sql AS 'select 1'", 'CREATE PROCEDURE', 'ddl'],
  ['CREATE EXTENSION x', 'CREATE EXTENSION', 'ddl administer opaque'],
  ['GRANT SELECT ON orders TO x', 'GRANT', 'privilege'],
  ['REVOKE SELECT ON orders FROM x', 'REVOKE', 'privilege'],
  ['GRANT a TO b', 'GRANT ROLE', 'privilege'],
  ["CREATE ROLE x PASSWORD 'y'", 'CREATE ROLE', 'privilege'],
  ["ALTER ROLE x SET search_path = 'y'", 'ALTER ROLE', 'privilege'],
  ['ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x', 'ALTER DEFAULT PRIVILEGES', 'privilege'],
  ["SECURITY LABEL ON TABLE orders IS 'x'", 'SECURITY LABEL', 'privilege'],
  ["ALTER SYSTEM SET work_mem = '1'", 'ALTER SYSTEM', 'administer'],
  ['VACUUM orders', 'VACUUM', 'administer'],
  ['ANALYZE', 'ANALYZE', 'administer'],
  ['CHECKPOINT', 'CHECKPOINT', 'administer'],
  ['REINDEX TABLE orders', 'REINDEX', 'administer'],
  ["LOAD 'x'", 'LOAD', 'administer opaque'],
  ["DO 'begin end'", 'DO', 'opaque'],
  ['CALL p(1)', 'CALL', 'opaque'],
  ['LOCK TABLE orders', 'LOCK TABLE', 'session'],
  ['LISTEN x', 'LISTEN', 'session'],
  ['UNLISTEN *', 'UNLISTEN', 'session'],
  ["NOTIFY x, 'y'", 'NOTIFY', 'session'],
  ['BEGIN', 'BEGIN', 'session'],
  ['START TRANSACTION READ ONLY', 'START TRANSACTION', 'session'],
  ['END', 'COMMIT', 'session'],
  ['ABORT', 'ROLLBACK', 'session'],
  ['SAVEPOINT a', 'SAVEPOINT', 'session'],
  ["PREPARE TRANSACTION 'x'", 'PREPARE TRANSACTION', 'session'],
  ["COMMIT PREPARED 'x'", 'COMMIT PREPARED', 'session opaque'],
  ['SET work_mem = 1', 'SET', 'session'],
  ['RESET ALL', 'RESET', 'session'],
  ['SHOW ALL', 'SHOW', 'read'],
  ['DISCARD ALL', 'DISCARD ALL', 'session'],
  ['SET CONSTRAINTS ALL DEFERRED', 'SET CONSTRAINTS', 'session'],
  ['DEALLOCATE ALL', 'DEALLOCATE ALL', 'session'],
  ['SELECT mine(1)', 'SELECT', 'read opaque'],
  ['SELECT public.mine(1)', 'SELECT', 'read opaque'],
  ['SELECT nothing_known(1)', 'SELECT', 'read opaque'],
  ['SELECT pg_terminate_backend(1)', 'SELECT', 'read administer'],
  ["SELECT nextval('s')", 'SELECT', 'read write'],
  ['SELECT lo_unlink(1)', 'SELECT', 'read delete'],
  ["SELECT query_to_xml('delete from orders', true, true, '')", 'SELECT', 'read opaque'],
  ["SELECT * FROM dblink('x', 'y') AS t(a int)", 'SELECT', 'read opaque'],
  ['SELECT pg_advisory_lock(1)', 'SELECT', 'read session'],
  ["SELECT pg_read_file('x')", 'SELECT', 'read administer'],
  ['SELECT 1 LIMIT mine(1)', 'SELECT', 'read opaque'],
  ['SELECT 1 OFFSET mine(1)', 'SELECT', 'read opaque'],
  ['SELECT 1 FROM orders GROUP BY ROLLUP (id, mine(id))', 'SELECT', 'read opaque'],
  ['SELECT 1 FROM orders HAVING mine(1) > 0', 'SELECT', 'read opaque'],
  ['SELECT sum(id) FILTER (WHERE mine(1) > 0) FROM orders', 'SELECT', 'read opaque'],
  [
    'SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN mine(1) PRECEDING AND CURRENT ROW) FROM orders',
    'SELECT',
    'read opaque',
  ],
  ['SELECT sum(id) OVER w FROM orders WINDOW w AS (PARTITION BY mine(id))', 'SELECT', 'read opaque'],
  ['SELECT array_agg(id ORDER BY mine(id)) FROM orders', 'SELECT', 'read opaque'],
  ['SELECT DISTINCT ON (mine(id)) 1 FROM orders', 'SELECT', 'read opaque'],
  ['SELECT * FROM orders TABLESAMPLE system (mine(1))', 'SELECT', 'read opaque'],
  ['SELECT * FROM orders TABLESAMPLE mine (1)', 'SELECT', 'read opaque'],
  ['SELECT * FROM ROWS FROM (generate_series(1, 2), mine(1)) x', 'SELECT', 'read opaque'],
  ['VALUES (1), (mine(1))', 'SELECT', 'read opaque'],
  ["SELECT * FROM xmltable('/a' PASSING (mine(1)::text::xml) COLUMNS a text)", 'SELECT', 'read opaque'],
  ["SELECT * FROM json_table(mine(1)::text::jsonb, '$' COLUMNS (a int PATH '$'))", 'SELECT', 'read opaque'],
  ["SELECT json_object('a': mine(1))", 'SELECT', 'read opaque'],
  ['SELECT (ARRAY[1])[mine(1)]', 'SELECT', 'read opaque'],
  ['SELECT CASE WHEN true THEN mine(1) END', 'SELECT', 'read opaque'],
  ['SELECT 1 ORDER BY (SELECT mine(1))', 'SELECT', 'read opaque'],
  ['INSERT INTO orders VALUES (mine(1))', 'INSERT', 'write opaque'],
  ['INSERT INTO orders VALUES (1) RETURNING mine(1)', 'INSERT', 'read write opaque'],
  [
    'INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) WHERE mine(1) > 0 DO NOTHING',
    'INSERT',
    'write opaque',
  ],
  [
    'INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = mine(1)',
    'INSERT',
    'write opaque',
  ],
  [
    'INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1 WHERE mine(1) > 0',
    'INSERT',
    'write opaque',
  ],
  ['UPDATE orders SET (id, note) = (SELECT mine(1), 1)', 'UPDATE', 'write opaque'],
  ['COPY orders FROM STDIN WHERE mine(id) > 0', 'COPY', 'write opaque'],
  ['EXECUTE p(mine(1))', 'EXECUTE', 'opaque'],
  ['CREATE POLICY p ON orders USING (mine(id) > 0)', 'CREATE POLICY', 'ddl privilege opaque'],
  ['CREATE RULE r AS ON INSERT TO orders DO ALSO DELETE FROM letters', 'CREATE RULE', 'ddl'],
  ["SELECT 'a'::mood", 'SELECT', 'read'],
  ["SELECT 'a'::shape", 'SELECT', 'read opaque'],
  ['SELECT 1 OPERATOR(public.<+>) 2', 'SELECT', 'read opaque'],
  ['SELECT 1 <+> 2', 'SELECT', 'read opaque'],
  ['SELECT 1 + 2', 'SELECT', 'read'],
  ['INSERT INTO status_log VALUES (1)', 'INSERT', 'write opaque'],
  ['SELECT * FROM status_log', 'SELECT', 'read'],
  ['SELECT * FROM guarded', 'SELECT', 'read opaque'],
  ['SELECT * FROM code_view', 'SELECT', 'read opaque'],
  ["UPDATE pg_class SET relname = 'x'", 'UPDATE', 'write administer opaque'],
  ["SELECT set_config('work_mem', '1', false)", 'SELECT', 'read session'],
  ["SELECT set_config(note, '1', false) FROM orders", 'SELECT', 'read session opaque'],
  ["SELECT set_config('a', '1', false), set_config('b', '1', false)", 'SELECT', 'read session opaque'],
  ["SELECT set_config('search_path', 'x', false) WHERE false", 'SELECT', 'read session opaque'],
  ["SELECT (SELECT set_config('search_path', 'x', false))", 'SELECT', 'read session opaque'],
];

/** Text, and whether each change in it is restricted. */
const WHERE: readonly (readonly [string, boolean])[] = [
  ['DELETE FROM orders', false],
  ['DELETE FROM orders WHERE true', false],
  ['DELETE FROM orders WHERE 1 = 1', false],
  ['DELETE FROM orders WHERE id = id', false],
  ['DELETE FROM orders WHERE id = 1 OR true', false],
  ['DELETE FROM orders WHERE true AND 2 > 1', false],
  ['DELETE FROM orders WHERE now() > $1', false],
  ['DELETE FROM orders WHERE id = 1', true],
  ['DELETE FROM orders WHERE id = 1 AND true', true],
  ['DELETE FROM orders WHERE id IN (SELECT id FROM letters)', true],
  ['UPDATE orders SET id = 1', false],
  ['UPDATE orders SET id = 1 WHERE CURRENT OF c', true],
  ['WITH d AS (DELETE FROM orders) SELECT 1 FROM letters WHERE id = 1', false],
  ['WITH d AS (DELETE FROM orders WHERE id = 1) SELECT 1', true],
  ['EXPLAIN ANALYZE DELETE FROM orders', false],
  ['PREPARE p AS DELETE FROM orders', false],
  ['MERGE INTO orders o USING letters l ON true WHEN MATCHED THEN DELETE', false],
  ['MERGE INTO orders o USING letters l ON o.id = l.id WHEN MATCHED THEN DELETE', true],
  ['SELECT * FROM orders', false],
  ['SELECT * FROM orders WHERE id = 1', true],
  ['SELECT * FROM orders WHERE id = 1 UNION SELECT * FROM letters', false],
  ['INSERT INTO orders VALUES (1)', true],
];

const TABLES: readonly (readonly [string, string])[] = [
  ['SELECT * FROM orders o, public.customers', 'public.customers:read public.orders:read'],
  ['SELECT * FROM over_view', 'public.card_view:read~ public.customers:read~ public.over_view:read'],
  ['SELECT * FROM visits', 'public.visits:read public.visits_1:read~ public.visits_2:read~'],
  ['SELECT * FROM ONLY visits', 'public.visits:read'],
  ['WITH orders AS (SELECT 1) SELECT * FROM orders', ''],
  ['WITH orders AS (SELECT 1) SELECT * FROM public.orders', 'public.orders:read'],
  ['WITH x AS (SELECT * FROM x) SELECT * FROM x', '?.x:read'],
  ['DELETE FROM nope', '?.nope:delete'],
  ['UPDATE orders SET id = 1 FROM letters WHERE true', 'public.letters:read public.orders:write'],
  [
    'MERGE INTO orders o USING letters l ON o.id = l.id WHEN MATCHED AND l.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET id = 1',
    'public.letters:read public.orders:delete+write',
  ],
  ['DROP TABLE orders, letters', 'public.letters:ddl public.orders:ddl'],
  ['DROP TRIGGER x ON orders', 'public.orders:ddl'],
  ['ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers', 'public.customers:ddl public.orders:ddl'],
  ['GRANT SELECT ON orders TO x', 'public.orders:privilege'],
  ['TRUNCATE customers CASCADE', 'public.customers:delete public.letters:delete~ public.orders:delete~'],
  ['TRUNCATE customers', 'public.customers:delete'],
  ['INSERT INTO labels VALUES (1)', 'public.labels:write public.orders:read+write~'],
  ['EXPLAIN DELETE FROM orders', 'public.orders:read'],
];

const SESSION: readonly (readonly [string, SessionEffect])[] = [
  ['BEGIN', { kind: 'begin' }],
  ['COMMIT AND CHAIN', { kind: 'commit', chain: true }],
  ['ROLLBACK', { kind: 'rollback', chain: false }],
  ['ROLLBACK TO a', { kind: 'rollback-to', name: 'a' }],
  ['RELEASE a', { kind: 'release', name: 'a' }],
  ['SET search_path = a, "B"', { kind: 'set', name: 'search_path', value: ['a', 'B'], local: false }],
  ['SET LOCAL Work_Mem TO 5', { kind: 'set', name: 'work_mem', value: ['5'], local: true }],
  ['RESET search_path', { kind: 'set', name: 'search_path', value: null, local: false }],
  ['SET search_path TO DEFAULT', { kind: 'set', name: 'search_path', value: null, local: false }],
  ['RESET ALL', { kind: 'set', name: 'ALL', value: null, local: false }],
  ['SET ROLE x', { kind: 'set-role', role: 'x', session: false }],
  ['SET ROLE NONE', { kind: 'set-role', role: null, session: false }],
  ['SET SESSION AUTHORIZATION x', { kind: 'set-role', role: 'x', session: true }],
  [
    "SELECT set_config('Search_Path', '', true)",
    { kind: 'set', name: 'search_path', value: [''], local: true },
  ],
  ["SELECT pg_catalog.set_config('role', 'x', false)", { kind: 'set-role', role: 'x', session: false }],
  [
    "SELECT set_config(name, 'view', false) FROM pg_settings WHERE name = 'work_mem'",
    { kind: 'set', name: 'work_mem', value: ['view'], local: false },
  ],
  ['DISCARD TEMP', { kind: 'discard', what: 'TEMP' }],
  ['DEALLOCATE p', { kind: 'deallocate', name: 'p' }],
  ['CLOSE ALL', { kind: 'close-cursor', name: null }],
  ['COPY orders FROM STDIN', { kind: 'copy-in' }],
  [
    "COPY orders TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', NULL 'x', QUOTE '|')",
    {
      kind: 'copy-out',
      options: { format: 'csv', delimiter: ';', null: 'x', quote: '|', escape: '|', header: true },
      types: [23, 23, 1700, 25],
    },
  ],
  [
    'COPY orders TO STDOUT',
    {
      kind: 'copy-out',
      options: { format: 'text', delimiter: '\t', null: '\\N', quote: '"', escape: '"', header: false },
      types: [23, 23, 1700, 25],
    },
  ],
];

describe('facts', () => {
  before(loadParser);

  for (const [text, verb, effects] of EFFECTS) {
    it(`${verb}: ${text}`, () => {
      const { facts } = only(text);
      assert.deepEqual([facts.verb, facts.effects.join(' ')], [verb, effects]);
    });
  }
  for (const [text, expected] of WHERE) {
    it(`has ${expected ? 'a' : 'no'} condition: ${text}`, () =>
      assert.equal(only(text).facts.hasWhere, expected));
  }
  for (const [text, expected] of TABLES) {
    it(`touches ${expected}: ${text}`, () => assert.equal(tables(only(text).facts), expected));
  }
  for (const [text, expected] of SESSION) {
    it(`changes the session: ${text}`, () => assert.deepEqual(only(text).session, expected));
  }

  it('tells columns with their access, stars spread out', () => {
    const { facts } = only(
      'UPDATE orders o SET total = o.total + 1 FROM letters WHERE o.id = letters.id RETURNING letters.*',
    );
    assert.deepEqual(
      facts.columns.map(({ table, name, access }) => `${table}.${name}:${access.join('+')}`),
      [
        'public.letters.address:read',
        'public.letters.id:read',
        'public.orders.id:read',
        'public.orders.total:read+write',
      ],
    );
  });

  it('tells functions by their resolved names', () => {
    const { facts } = only('SELECT Upper(note), public.mine(1), no_one(2) FROM orders');
    assert.deepEqual(
      facts.functions.map(({ name, volatility }) => `${name} ${volatility}`),
      ['?.no_one unknown', 'pg_catalog.upper immutable', 'public.mine volatile'],
    );
  });

  it('takes several statements apart, by bytes', () => {
    const text = "SELECT 'äöü€😀' ;  DELETE FROM orders /* ü */ WHERE id = 1; ; SELECT 2";
    assert.deepEqual(
      statements(text).map(({ facts }) => facts.text),
      ["SELECT 'äöü€😀'", 'DELETE FROM orders /* ü */ WHERE id = 1', 'SELECT 2'],
    );
  });

  it('gives equal fingerprints to texts that differ in literals', () => {
    assert.equal(
      only('SELECT 1 FROM orders').facts.fingerprint,
      only('select   2 from ORDERS').facts.fingerprint,
    );
  });

  it('asks for all that it misses at once', () => {
    const partly = maskedCatalog();
    for (const name of ['orders', 'mine', 'customers', 'letters']) partly.unloaded.add(name);
    const result = analysis(
      'SELECT mine(1) FROM orders WHERE id IN (SELECT id FROM customers); DELETE FROM letters',
      { catalog: partly },
    );
    assert.equal(result.kind, 'needs');
    assert.deepEqual(result.needs.map((need) => ('name' in need ? need.name : '')).sort(), [
      'customers',
      'letters',
      'mine',
      'orders',
    ]);
  });

  it('executes what was prepared, and fetches from what was declared', () => {
    const prepared = only('DELETE FROM orders RETURNING id');
    const masks: MaskOutcome = { kind: 'clear' };
    const names = {
      preparedStatement: (name: string) => (name === 'p' ? prepared : undefined),
      cursor: (name: string) => (name === 'c' ? { masks } : undefined),
    };
    const result = analysis('EXECUTE p; FETCH c', { names });
    assert.equal(result.kind, 'parsed');
    assert.deepEqual(
      result.statements.map(({ facts, returnsRows }) => [
        facts.verb,
        facts.effects.join(' '),
        facts.hasWhere,
        returnsRows,
      ]),
      [
        ['DELETE', 'read delete', false, true],
        ['FETCH', 'read', true, true],
      ],
    );
  });

  it('counts parameters', () => {
    assert.equal(only('SELECT $2, $1 FROM orders LIMIT $5').parameterCount, 5);
    assert.equal(only('PREPARE p AS SELECT $1').parameterCount, 0);
  });

  it('has only bounded plans explained', () => {
    for (const [text, expected] of [
      ['SELECT * FROM orders', true],
      ['DELETE FROM orders', true],
      ['SELECT mine(1)', false],
      ["SELECT repeat('x', 1000000000)", false],
      ['SELECT repeat(note, 3) FROM orders', true],
      ['CREATE TABLE x (a int)', false],
      ['SELECT 1 INTO x', false],
    ] as const) {
      assert.equal(only(text).explainable, expected, text);
    }
  });

  it('holds names for unknown that the same text may have changed', () => {
    for (const [text, opaque] of [
      ['SELECT 1; SELECT * FROM orders', false],
      ['CREATE TABLE x (a int); SELECT * FROM orders', false],
      ['CREATE TABLE orders (a int); SELECT * FROM orders', true],
      ['DROP TABLE orders; SELECT * FROM orders', true],
      ['ALTER TABLE letters RENAME TO orders; SELECT * FROM orders', true],
      ['SET search_path = x; SELECT * FROM orders', true],
      ['SET search_path = x; SELECT * FROM public.orders', false],
      ['SET ROLE x; SELECT * FROM orders', true],
      ['ROLLBACK; SELECT * FROM orders', true],
      ["SELECT set_config('search_path', 'x', false); SELECT * FROM orders", true],
      ["DO ''; SELECT * FROM public.orders", true],
      ["CREATE FUNCTION upper(x text) RETURNS text LANGUAGE sql AS ''; SELECT upper('x')", true],
    ] as const) {
      assert.equal(statements(text).at(-1)?.facts.effects.includes('opaque'), opaque, text);
    }
  });
});
