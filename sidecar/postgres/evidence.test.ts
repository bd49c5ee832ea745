import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type QueryConnection, queryConnection } from '../../e2e/catalog-query.ts';
import { startPostgres, type TestPostgres } from '../../e2e/postgres.ts';
import type { Access } from '../operation.ts';
import { EVIDENCE_SETTINGS, type EvidenceContext, type EvidenceLimits, explain } from './evidence.ts';
import { heldLocks, statementLocks } from './locks.ts';
import { readPlan } from './plan.ts';
import type { Statement } from './sql/statement.ts';

const DEBIAN = '/usr/lib/postgresql/15/bin';
const CONTEXT: EvidenceContext = {
  role: 'postgres',
  searchPath: ['pg_catalog', 'app', 'public'],
  masks: undefined,
};

/** As usual, but for a machine on which a plan may take a while. */
const PATIENT: EvidenceLimits = {
  statementTimeout: 60_000,
  lockTimeout: 60_000,
  maxText: 65_536,
  maxTables: 200,
};

interface Given {
  readonly verb?: string;
  readonly tables?: Readonly<Record<string, readonly Access[]>>;
  readonly functions?: readonly string[];
  readonly explainable?: boolean;
  readonly parameterCount?: number;
}

/** What the analysis would say of the text. */
function statement(text: string, given: Given = {}): Statement {
  return {
    facts: {
      verb: given.verb ?? text.trim().split(/\s/)[0]?.toUpperCase() ?? '',
      effects: ['read'],
      tables: Object.entries(given.tables ?? {}).map(([name, access]) => ({ name, access, indirect: false })),
      columns: [],
      functions: (given.functions ?? []).map((name) => ({ name, volatility: 'immutable' })),
      hasWhere: true,
      text,
      fingerprint: '',
    },
    masks: { kind: 'clear' },
    session: { kind: 'none' },
    changesCatalog: false,
    changesSettings: false,
    explainable: given.explainable ?? true,
    parameterCount: given.parameterCount ?? 0,
    returnsRows: true,
  };
}

for (const [label, binaries] of [
  ['18', undefined],
  ['15', DEBIAN],
] as const) {
  const skip = binaries !== undefined && !existsSync(binaries) ? 'not installed' : false;
  describe(`evidence from PostgreSQL ${label}`, { skip }, () => {
    let server: TestPostgres;
    let session: QueryConnection;
    let side: QueryConnection;
    let hasty: QueryConnection;
    before(async () => {
      server = await startPostgres(binaries === undefined ? {} : { binaries });
      session = await queryConnection(server);
      await session.query(`CREATE SCHEMA app; CREATE TABLE app.orders (id int PRIMARY KEY, state text, note text);
        INSERT INTO app.orders SELECT i, CASE WHEN i % 100 = 0 THEN 'open' ELSE 'closed' END, 'n' FROM generate_series(1, 10000) i;
        ANALYZE app.orders; CREATE ROLE reader; GRANT USAGE ON SCHEMA app TO reader;
        CREATE TABLE public.called (at timestamptz);
        CREATE FUNCTION app.spy(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(4711); RETURN true; END';
        CREATE DOMAIN app.spied AS int CHECK (app.spy(VALUE));
        CREATE TABLE app.guarded (id app.spied)`);
      side = await queryConnection(server);
      hasty = await queryConnection(server);
      for (const [name, value] of EVIDENCE_SETTINGS)
        for (const one of [side, hasty]) await one.query(`SET ${name} = '${value}'`);
      await side.query(`SET statement_timeout = ${PATIENT.statementTimeout}`);
    });
    after(async () => {
      await session.close();
      await side.close();
      await hasty.close();
      await server.stop();
    });

    const ask = (given: Statement, parameters: Parameters<typeof explain>[1] = [], context = CONTEXT) =>
      explain(given, parameters, context, side.query, PATIENT);

    /** Everything the side connection's session could have kept. */
    const unchanged = async (of = side) =>
      assert.deepEqual(
        await of.query(`SELECT current_user, current_setting('search_path'), current_setting('transaction_read_only'),
          current_setting('geqo_threshold'), (SELECT count(*) FROM pg_prepared_statements)`),
        [['postgres', '""', 'off', '12', '0']],
      );

    it('estimates what a statement touches', async () => {
      const cases: [string, number, number][] = [
        [`SELECT * FROM orders WHERE state = 'open'`, 50, 200],
        [`DELETE FROM orders WHERE state = 'open'`, 50, 200],
        [`UPDATE app.orders SET note = 'x'`, 10000, 10000],
        [`INSERT INTO orders SELECT id + 100000, state, note FROM orders`, 10000, 10000],
        [
          `WITH gone AS (DELETE FROM orders WHERE state = 'closed' RETURNING id) SELECT count(*) FROM gone`,
          9000,
          10000,
        ],
        [`SELECT * FROM orders WHERE id = 7 -- the end`, 1, 1],
      ];
      for (const [text, least, most] of cases) {
        const evidence = await ask(statement(text, text.startsWith('WITH') ? { verb: 'SELECT' } : {}));
        assert.ok(evidence.kind === 'plan', text);
        assert.ok(
          evidence.estimatedRows >= least && evidence.estimatedRows <= most,
          `${text}: ${evidence.estimatedRows}`,
        );
        assert.deepEqual(evidence.tables, ['app.orders'], text);
        assert.match(evidence.text, /app\.orders/);
        assert.doesNotMatch(evidence.text, /open|closed/, 'no conditions');
      }
      assert.equal(
        (await session.query('SELECT count(*) FROM app.orders'))[0]?.[0],
        '10000',
        'nothing was run',
      );
      await unchanged();
    });

    it('plans with the values of this execution', async () => {
      const text = 'DELETE FROM orders WHERE state = $1 AND id < $2';
      const rows = async (state: string, type: number) => {
        const evidence = await ask(statement(text, { parameterCount: 2 }), [
          { value: state, type },
          { value: '100000', type: 23 },
        ]);
        assert.ok(evidence.kind === 'plan', JSON.stringify(evidence));
        return evidence.estimatedRows;
      };
      assert.ok((await rows('open', 25)) < 500);
      assert.ok((await rows('closed', 0)) > 5000);
      assert.ok((await rows(`o'pen\\`, 1043)) <= 10);
      const missing = await ask(statement(text, { parameterCount: 2 }), [{ value: 'x', type: 0 }]);
      assert.equal(missing.kind, 'none');
      const wrong = await ask(statement(text, { parameterCount: 2 }), [
        { value: 'x', type: 0 },
        { value: 'no number', type: 0 },
      ]);
      assert.equal(wrong.kind, 'none');
      await unchanged();
    });

    it('runs no code of the database’s own, even behind a parameter', async () => {
      const evidence = await ask(statement('INSERT INTO guarded VALUES ($1)', { parameterCount: 1 }), [
        { value: '1', type: 0 },
      ]);
      assert.equal(evidence.kind, 'none');
      // What it would have taken outlives its transaction.
      assert.deepEqual(await session.query(`SELECT FROM pg_locks WHERE locktype = 'advisory'`), []);
      await unchanged();
    });

    it('asks under the statement’s role', async () => {
      const evidence = await ask(statement('SELECT * FROM app.orders'), [], { ...CONTEXT, role: 'reader' });
      // Privileges are checked when a statement starts, which EXPLAIN does as well.
      assert.equal(evidence.kind, 'none');
      await unchanged();
      assert.equal((await ask(statement('SELECT 1'), [], { ...CONTEXT, role: `no'such` })).kind, 'none');
      await unchanged();
    });

    it('looks names up under the statement’s search_path', async () => {
      assert.equal(
        (await ask(statement('SELECT * FROM orders'), [], { ...CONTEXT, searchPath: ['pg_catalog'] })).kind,
        'none',
      );
      const odd = { ...CONTEXT, searchPath: [`o"d'd\\`, 'pg_temp_3', 'app'] };
      assert.equal((await ask(statement('SELECT * FROM orders'), [], odd)).kind, 'plan');
      await unchanged();
    });

    it('gives up soon, and leaves a usable connection', async () => {
      await session.query('BEGIN; LOCK TABLE app.orders');
      const soon = (given: Statement) => explain(given, [], CONTEXT, hasty.query);
      assert.equal((await soon(statement('SELECT * FROM app.orders'))).kind, 'none');
      await session.query('ROLLBACK');
      await unchanged(hasty);
      const slow = `SELECT 1 WHERE 'a' ~ ANY (ARRAY[${Array.from({ length: 300 }, (_, i) => `'(x+x+){${200 - (i % 50)}}y'`).join()}])`;
      const again = performance.now();
      await soon(statement(slow));
      assert.ok(performance.now() - again < 30_000);
      await unchanged(hasty);
      const joins = Array.from({ length: 25 }, (_, i) => `orders o${i}`).join(', ');
      const where = Array.from({ length: 24 }, (_, i) => `o${i}.id = o${i + 1}.id`).join(' AND ');
      const joining = performance.now();
      assert.equal((await ask(statement(`SELECT 1 FROM ${joins} WHERE ${where}`))).kind, 'plan');
      assert.ok(performance.now() - joining < 30_000);
      await unchanged();
    });

    it('has reasons to give none', async () => {
      const many = Object.fromEntries(
        Array.from({ length: 300 }, (_, i) => [`app.p${i}`, ['read' as const]]),
      );
      const refused: [Statement, RegExp][] = [
        [statement('VACUUM'), /kind/],
        [statement('SELECT 1', { explainable: false }), /kind/],
        [statement(`SELECT '${'x'.repeat(70_000)}'`), /long/],
        [statement('SELECT 1', { tables: many }), /too many/],
        [statement(`SELECT repeat('x', 1000000000)`, { functions: ['pg_catalog.repeat'] }), /more than/],
        [statement('SELECT * FROM t', { tables: { 'pg_temp_3.t': ['read'] } }), /own session/],
        [statement('SELECT * FROM nowhere'), /no plan/],
      ];
      for (const [given, expected] of refused) {
        const evidence = await ask(given);
        assert.ok(evidence.kind === 'none');
        assert.match(evidence.reason, expected);
      }
      const own = await ask(statement('SELECT $1', { parameterCount: 1 }), [{ value: '1', type: 20_000 }]);
      assert.equal(own.kind, 'none');
    });

    it('gives no plan of a table with a masked column', async () => {
      const masks = {
        columns: [{ column: 'app.orders.note', mask: { with: 'Redact' as const } }],
        detectors: [],
      };
      const touching = statement('SELECT id FROM orders', { tables: { 'app.orders': ['read'] } });
      const evidence = await ask(touching, [], { ...CONTEXT, masks });
      assert.ok(evidence.kind === 'none' && evidence.reason.includes('protected'));
      assert.equal(
        (await ask(statement('SELECT 1', { tables: { 'app.other': ['read'] } }), [], { ...CONTEXT, masks }))
          .kind,
        'plan',
      );
    });

    it('tells the locks that a transaction holds', async () => {
      const pid = Number((await session.query('SELECT pg_backend_pid()'))[0]?.[0]);
      assert.deepEqual(await heldLocks(pid, side.query), []);
      await session.query(`BEGIN; UPDATE app.orders SET note = 'y' WHERE id = 1; CREATE TABLE app.fresh (a int);
        SELECT * FROM public.called; SELECT pg_advisory_xact_lock(42); ALTER TABLE app.guarded ADD b int`);
      const held = await heldLocks(pid, side.query);
      const told = held.map(({ relation, mode }) => `${relation.replace(/\d+/, 'N')}: ${mode}`);
      for (const expected of [
        'app.orders: ROW EXCLUSIVE',
        'public.called: ACCESS SHARE',
        'app.guarded: ACCESS EXCLUSIVE',
        'an advisory lock: EXCLUSIVE',
        'a relation made in this transaction (oid N): ACCESS EXCLUSIVE',
      ])
        assert.ok(told.includes(expected), `${expected} in ${told.join('; ')}`);
      assert.equal(held[0]?.mode, 'ACCESS EXCLUSIVE', 'strongest first');
      assert.ok(held.every((lock) => lock.held) && !JSON.stringify(held).includes('42'));
      await session.query('ROLLBACK');
      assert.deepEqual(await heldLocks(pid, side.query), []);
      assert.deepEqual(await heldLocks(Number.NaN, side.query), []);
    });
  });
}

describe('locks by verb', () => {
  const cases: [string, readonly Access[], string | undefined][] = [
    ['SELECT', ['read'], undefined],
    ['DELETE', ['delete', 'read'], 'ROW EXCLUSIVE'],
    ['UPDATE', ['write'], 'ROW EXCLUSIVE'],
    ['ALTER TABLE', ['ddl'], 'ACCESS EXCLUSIVE'],
    ['DROP TABLE', ['ddl'], 'ACCESS EXCLUSIVE'],
    ['CREATE INDEX', ['ddl'], 'SHARE'],
    ['TRUNCATE TABLE', ['delete'], 'ACCESS EXCLUSIVE'],
    ['SOMETHING NEW', ['ddl'], 'ACCESS EXCLUSIVE'],
  ];
  for (const [verb, access, mode] of cases) {
    it(verb, () => {
      const locks = statementLocks(statement('', { verb, tables: { 'app.t': access } }));
      assert.deepEqual(locks, mode === undefined ? [] : [{ relation: 'app.t', mode, held: false }]);
    });
  }
});

describe('plans', () => {
  it('are read from any JSON, or not at all', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (json) => {
        const plan = readPlan(json);
        assert.ok(plan === undefined || plan.text.length > 0);
      }),
      { numRuns: 500 },
    );
    for (const json of [
      '',
      '[]',
      '{}',
      '[{"Plan":{}}]',
      '[{"Plan":{"Node Type":1}}]',
      '[{"Plan":{"Node Type":"x","Plans":{}}}]',
    ]) {
      assert.equal(readPlan(json), undefined, json);
    }
  });

  it('show names escaped, one node a line', () => {
    const json = JSON.stringify([
      {
        Plan: {
          'Node Type': 'Seq Scan',
          'Relation Name': 'a\n\u202eb',
          Schema: 's',
          'Plan Rows': 5,
          'Total Cost': 1e300,
        },
      },
    ]);
    const plan = readPlan(json);
    assert.equal(plan?.text.split('\n').length, 1);
    assert.ok(!/[\u202e]/.test(plan.text));
    assert.equal(plan.totalCost, Number.MAX_SAFE_INTEGER);
  });

  it('too deep or too wide are none', () => {
    let deep: object = { 'Node Type': 'Result' };
    for (let depth = 0; depth < 200; depth += 1) deep = { 'Node Type': 'Result', Plans: [deep] };
    assert.equal(readPlan(JSON.stringify([{ Plan: deep }])), undefined);
    const wide = {
      'Node Type': 'Append',
      Plans: Array.from({ length: 600 }, () => ({ 'Node Type': 'Result' })),
    };
    assert.equal(readPlan(JSON.stringify([{ Plan: wide }])), undefined);
  });
});
