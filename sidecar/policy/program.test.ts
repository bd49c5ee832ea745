import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Facts } from '../operation.ts';
import { ConnectionView, IdentityView, SqlView, type RuleContext } from './facts.ts';
import { compileProgram, MAX_EXPRESSION_LENGTH, type Outcome } from './program.ts';
import { CONNECTION, IDENTITY, sqlFacts, statement } from './testing.ts';

function contextOf(
  facts: Facts = sqlFacts(),
  claims: Record<string, unknown> = IDENTITY.claims,
): RuleContext {
  return {
    identity: new IdentityView({ ...IDENTITY, claims }),
    connection: new ConnectionView(CONNECTION),
    now: new Date('2026-11-21T11:30:00Z'),
    sql: new SqlView(facts.sql),
  };
}

function evaluate(when: string, context = contextOf()): Outcome {
  const result = compileProgram(when);
  if (result.kind === 'invalid') throw new Error(`${when}: ${result.problems[0]?.message ?? ''}`);
  return result.program.evaluate(context);
}

function problems(when: string): readonly string[] {
  const result = compileProgram(when);
  if (result.kind === 'program') return [];
  return result.problems.map(
    ({ line, column, message, suggestion }) =>
      `${line}:${column} ${message}${suggestion === undefined ? '' : ` [${suggestion}]`}`,
  );
}

const REFUSED: readonly (readonly [when: string, ...expected: readonly string[]])[] = [
  ['sql.efects == ["read"]', "1:5 unknown fact 'efects' of sql [effects]"],
  ['sq.verb == "x"', "1:1 unknown fact 'sq' [sql]"],
  ['kubernetes.verb == "get"', "1:1 unknown fact 'kubernetes'"],
  ['sql.verb == 3', '1:1 no such overload: string == int'],
  ['sql.verb', '1:1 a rule gives bool, this gives string'],
  ['identity.claims.admin', '1:1 a rule gives bool, this gives dyn: compare it, for example with == true'],
  ['1 +', '1:4 Unexpected token: EOF'],
  ['sql.verb == "é" && sql.x', "1:24 unknown fact 'x' of sql"],
  ['sql.verb == "a" &&\n  sql.foo', "2:7 unknown fact 'foo' of sql"],
  ['sql.tables.exists(t, t.name == "x" && t.acces == ["x"])', "1:41 unknown fact 'acces' of table [access]"],
  ['has(sql.nope)', "1:9 unknown fact 'nope' of sql"],
  ['has(sql.verb.x)', "1:14 'x': a string has no fields"],
  ['sql.tables.exists(t, has(t.nam))', "1:28 unknown fact 'nam' of table [name]"],
  ['sql["verb"] == "x"', '1:1 write facts as .name, not in brackets'],
  ['sql.text.match("x")', "1:10 unknown function 'match' [matches]"],
  ['sql.text.matches(sql.role)', '1:22 the pattern of matches must be a literal'],
  ['sql.tables.all(now, true)', "1:16 'now' is a fact: name the element otherwise"],
  ['sql.verb in {"constructor": 1}', "1:14 'constructor' cannot be a key here"],
  ['sql.verb in {sql.role: 1}', '1:18 the keys of a map must be literals'],
  ['sql.text.matchesLinear("x")', "1:10 unknown function 'matchesLinear'"],
  ['dyn(sql).nope == 1', "1:1 unknown function 'dyn'"],
  ['type(sql) == string', "1:1 unknown function 'type'"],
  ['cel.bind(x, sql.text, x == "a")', "1:5 unknown function 'bind'", "1:1 unknown fact 'cel'"],
  [
    'now.getHours("Nowhere/X") > 3',
    '1:14 the time zone must be a literal that is known, such as "Europe/Berlin"',
  ],
  ['foo(1) && bar(2)', "1:1 unknown function 'foo'", "1:11 unknown function 'bar'"],
  ['', '1:1 Unexpected token: EOF'],
];

describe('what is refused when a policy loads', () => {
  for (const [when, ...expected] of REFUSED) {
    test(JSON.stringify(when), () => {
      assert.deepEqual(problems(when), expected);
    });
  }

  test('names that JavaScript objects have and facts do not', () => {
    for (const name of ['constructor', '__proto__', 'prototype', 'toString', 'valueOf', 'hasOwnProperty']) {
      for (const path of [
        `sql.${name}`,
        `sql.tables[0].${name}`,
        `identity.${name}`,
        `connection.${name}`,
        name,
      ]) {
        assert.notDeepEqual(problems(`${path} == "x"`), [], path);
      }
    }
  });
});

describe('limits', () => {
  test('length, nodes, depth', () => {
    assert.match(problems(`"${'x'.repeat(MAX_EXPRESSION_LENGTH)}" == sql.verb`)[0] ?? '', /longer than 8192/);
    assert.notDeepEqual(problems(Array.from({ length: 600 }, () => 'true').join('||')), []);
    assert.notDeepEqual(problems(`${'('.repeat(200)}true${')'.repeat(200)}`), []);
    assert.notDeepEqual(problems(`${'!'.repeat(4000)}true`), []);
    assert.notDeepEqual(problems(`${'['.repeat(200)}1${']'.repeat(200)} == []`), []);
  });

  test('cost of loops in loops', () => {
    const columns = (body: string, name: string) => `sql.columns.all(${name}, ${body})`;
    assert.match(problems(columns(columns('a.name == b.name', 'b'), 'a'))[0] ?? '', /too expensive/);
    assert.match(
      problems('sql.parameters.exists(p, sql.parameters.exists(q, p == q))')[0] ?? '',
      /too expensive/,
    );
    assert.match(
      problems(
        'sql.tables.all(a, sql.tables.all(b, sql.tables.all(c, a.name == b.name || b.name == c.name)))',
      )[0] ?? '',
      /too expensive/,
    );
    assert.deepEqual(problems('sql.tables.all(t, sql.columns.exists(c, c.table == t.name))'), []);
    assert.deepEqual(problems('sql.tables.all(t, t.access.all(a, a in ["read"]))'), []);
  });

  test('a nested loop over more facts than were reckoned with fails', () => {
    const tables = Array.from({ length: 200 }, (_, index) => ({
      name: `public.t${index}`,
      access: ['read' as const],
      indirect: false,
    }));
    const context = contextOf(sqlFacts({ statement: statement({ tables }) }));
    assert.equal(evaluate('sql.tables.all(t, t.name != "")', context), 'matched');
    assert.deepEqual(evaluate('sql.tables.all(t, sql.tables.exists(u, u.name == t.name))', context), {
      kind: 'failed',
      reason: 'too many facts for a nested loop',
    });
  });
});

const TABLES = [
  { name: 'public.orders', access: ['read', 'write'] as const, indirect: false },
  { name: 'public.parts', access: ['read'] as const, indirect: true },
];
const FULL = contextOf(
  sqlFacts({
    statement: statement({
      verb: 'UPDATE',
      effects: ['read', 'write'],
      tables: TABLES,
      columns: [{ table: 'public.orders', name: 'id', access: ['read'] }],
      functions: [{ name: 'pg_catalog.now', volatility: 'stable' }],
      text: 'UPDATE Orders SET x = 1',
    }),
    parameters: ['5', null, 'a\0b', '\ud800', ''],
    role: 'writer',
    inTransaction: true,
  }),
);

const MATCHED = [
  'sql.effects == ["read", "write"]',
  '"write" in sql.effects && !("ddl" in sql.effects)',
  'sql.verb in ["UPDATE", "DELETE"] && sql.hasWhere',
  'sql.tables.exists(t, t.name == "public.orders" && "write" in t.access)',
  'sql.tables.filter(t, !t.indirect).map(t, t.name) == ["public.orders"]',
  'sql.tables.exists_one(t, t.indirect)',
  'sql.columns.all(c, c.table.startsWith("public.") && c.name == "id")',
  'sql.functions.all(f, f.volatility != "volatile")',
  'sql.parameters[0] == "5" && sql.parameters[1] == null && sql.parameters.size() == 5',
  'int(sql.parameters[0]) < 10',
  'sql.parameters.exists(p, p == null)',
  'sql.role == "writer" && sql.inTransaction',
  'sql.text.matches("(?i)update\\\\s+orders")',
  'sql.text.lowerAscii().contains("orders")',
  '"ai-agents" in identity.groups && identity.username == "agent"',
  'identity.claims.team == "orders" && identity.claims.level >= 3 && identity.claims.nested.list[1] == 1',
  'has(identity.claims.team) && !has(identity.claims.nope)',
  'connection.labels.tier == "gold" && connection.database == "orders"',
  'now > timestamp("2026-01-01T00:00:00Z") && now - timestamp("2026-11-21T11:00:00Z") == duration("30m")',
  'now.getHours() == 11 && now.getHours("Europe/Berlin") == 12 && now.getDayOfWeek("Asia/Tokyo") == 6',
  'now.getDayOfYear() == 324 && now.getDayOfYear("Pacific/Auckland") == 325 && now.getDate() == 21',
  '"\\u212A".lowerAscii() == "\\u212A"',
];

const FAILED = [
  'identity.claims.nope == "x"',
  'sql.parameters[7] == "x"',
  'sql.parameters[1].startsWith("x")',
  'int(sql.parameters[4]) == 0',
  'int(sql.parameters[2]) == 0',
  '1 / 0 == 1',
  'identity.claims[sql.role] == 1',
  'timestamp("1 January 2026 00:00:00") < now',
];

describe('evaluation', () => {
  for (const when of MATCHED) test(when, () => assert.equal(evaluate(when, FULL), 'matched'));
  for (const when of FAILED) {
    test(`fails: ${when}`, () => {
      const outcome = evaluate(when, FULL);
      assert.equal(typeof outcome === 'object' && outcome.kind, 'failed');
    });
  }

  test('claims named like what JavaScript objects inherit', () => {
    const claims: unknown = JSON.parse('{"__proto__": {"admin": true}, "constructor": {"name": "x"}}');
    // Parsed from the literal above.
    const context = contextOf(sqlFacts(), claims as Record<string, unknown>);
    assert.equal(evaluate('has(identity.claims.admin)', context), 'unmatched');
    assert.equal(evaluate('identity.claims["__proto__"].admin == true', context), 'matched');
    assert.equal(evaluate('identity.claims["constructor"].name == "x"', context), 'matched');
    assert.equal(evaluate('has(identity.claims.toString)', context), 'unmatched');
    assert.equal(typeof evaluate('identity.claims["constructor"].prototype == 1', context), 'object');
    assert.equal(typeof evaluate('connection.labels["constructor"] == "x"', context), 'object');
  });

  test('reasons of failures hold no values', () => {
    const context = contextOf(sqlFacts({ parameters: ['s3cret'] }));
    for (const when of [
      'int(sql.parameters[0]) == 1',
      'bool(sql.parameters[0])',
      'duration(sql.parameters[0]) == duration("1s")',
      'identity.claims[string(sql.parameters[0])] == 1',
    ]) {
      const outcome = evaluate(when, context);
      assert.ok(typeof outcome === 'object', when);
      assert.doesNotMatch(outcome.reason, /s3cret/);
    }
  });

  test('huge values', () => {
    const context = contextOf(
      sqlFacts({ parameters: ['x'.repeat(2 ** 24)], statement: statement({ text: 'y'.repeat(2 ** 22) }) }),
    );
    assert.equal(evaluate('sql.parameters.exists(p, p == "x")', context), 'unmatched');
    assert.equal(evaluate('sql.parameters[0].contains("y")', context), 'unmatched');
    assert.deepEqual(evaluate('sql.text.matches("x")', context), {
      kind: 'failed',
      reason: 'a value out of range',
    });
  });
});

test('dependence is judged conservatively', () => {
  const table: readonly (readonly [string, string])[] = [
    ['sql.verb == "SELECT"', 'shape'],
    ['identity.username == "x" && connection.name == "y"', 'shape'],
    ['sql.tables.exists(t, t.name == "x")', 'shape'],
    ['sql.parameters.size() == 0', 'dynamic'],
    ['sql.verb == "X" && sql.text.contains("y")', 'text'],
    ['has(sql.role)', 'dynamic'],
    ['sql.verb == "X" && sql.inTransaction', 'dynamic'],
    ['now > timestamp("2026-01-01T00:00:00Z")', 'dynamic'],
    ['[sql].exists(s, s.role == "x")', 'dynamic'],
    ['(true ? sql : sql).verb == "x"', 'dynamic'],
    ['{"a": sql.parameters}["a"].size() == 1', 'dynamic'],
  ];
  for (const [when, expected] of table) {
    const result = compileProgram(when);
    assert.ok(result.kind === 'program', when);
    assert.equal(result.program.dependence, expected, when);
  }
});

const WORDS = [
  'sql',
  'now',
  'identity',
  '.verb',
  '.tables',
  '.claims',
  '.parameters',
  '[0]',
  '==',
  '&&',
  '||',
  '!',
  '(',
  ')',
  '"x"',
  "'",
  '.exists(t,',
  '.matches(',
  'has(',
  '1',
  '-',
  '?',
  ':',
  '{',
  '}',
  ',',
  '\n',
  '.size()',
  'in',
  '💥',
  '\ud800',
  '\\',
];

test('any text compiles or is refused with a place, and evaluates without throwing', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.array(fc.constantFrom(...WORDS), { maxLength: 14 }).map((words) => words.join('')),
  );
  fc.assert(
    fc.property(text, (when) => {
      const result = compileProgram(when);
      if (result.kind === 'program') {
        assert.ok(['string', 'object'].includes(typeof result.program.evaluate(FULL)));
        return;
      }
      for (const problem of result.problems) assert.ok(problem.line >= 1 && problem.column >= 1);
    }),
    { numRuns: 3000 },
  );
});
