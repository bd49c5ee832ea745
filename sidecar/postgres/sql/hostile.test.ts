/** Texts made to break the parser or the analysis: only values come out, and the next text is analysed as if nothing was. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { analyze, loadParser } from './analyze.ts';
import { MAX_TEXT_BYTES } from './parser.ts';
import type { Analysis } from './statement.ts';
import { MASKS, maskedCatalog } from './testing-masked.ts';
import { STATEMENTS } from './testing-statements.ts';

const catalog = maskedCatalog();
const names = { preparedStatement: () => undefined, cursor: () => undefined };
const run = (text: string): Analysis => analyze(text, { catalog, masks: MASKS, names });

const nested: readonly (readonly [string, (depth: number) => string])[] = [
  ['parentheses', (depth) => `SELECT ${'('.repeat(depth)}1${')'.repeat(depth)}`],
  ['subqueries', (depth) => `SELECT ${'(SELECT '.repeat(depth)}card FROM customers${')'.repeat(depth)}`],
  ['FROM', (depth) => `SELECT * FROM ${'(SELECT * FROM '.repeat(depth)}customers${') x'.repeat(depth)}`],
  ['sums', (depth) => `SELECT 1${'+1'.repeat(depth)}`],
  ['casts', (depth) => `SELECT 1${'::int'.repeat(depth)}`],
  ['NOT', (depth) => `SELECT ${'NOT '.repeat(depth)}true`],
  ['AND', (depth) => `SELECT true${' AND true'.repeat(depth)}`],
  ['IN', (depth) => `SELECT 1 IN (${'1,'.repeat(depth)}1)`],
  ['UNION', (depth) => `SELECT 1${' UNION SELECT 1'.repeat(depth)}`],
  ['joins', (depth) => `SELECT * FROM customers${' JOIN orders ON true'.repeat(depth)}`],
  ['calls', (depth) => `SELECT ${'upper('.repeat(depth)}'x'${')'.repeat(depth)}`],
  ['arrays', (depth) => `SELECT ${'ARRAY['.repeat(depth)}${']'.repeat(depth)}`],
  ['statements', (depth) => 'SELECT 1;'.repeat(depth)],
];

/** `WITH RECURSIVE` inside each other: each is gone through more than once. */
function recursive(depth: number): string {
  let text = 'SELECT card FROM customers';
  for (let level = 0; level < depth; level++) {
    text = `WITH RECURSIVE r${level} AS (SELECT * FROM (${text}) a UNION ALL SELECT * FROM r${level}) SELECT * FROM r${level}`;
  }
  return text;
}

function works(): void {
  const analysis = run('SELECT id, card FROM customers');
  assert.equal(analysis.kind, 'parsed');
  assert.equal(analysis.statements[0]?.masks.kind, 'columns');
}

/** The spare parser comes up between two messages. */
async function recovered(): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await delay(5))
    if (run('SELECT 1').kind === 'parsed') return;
}

describe('hostile texts', () => {
  before(loadParser);

  for (const [what, text] of nested) {
    it(`nested ${what}`, async () => {
      for (const depth of [50, 500, 2000, 10_000]) {
        run(text(depth));
        await recovered();
        works();
      }
    });
  }

  it('takes usual depths', () => {
    for (const [what, text] of nested) assert.equal(run(text(100)).kind, 'parsed', what);
  });

  it('bounds the work on recursive queries', () => {
    const before = performance.now();
    for (const depth of [3, 10, 30]) run(recursive(depth));
    assert.ok(performance.now() - before < 30_000);
    works();
  });

  it('refuses what is no text, or too long', () => {
    for (const text of [
      'SELECT 1\0; DROP TABLE x',
      'SELECT \ud800',
      `SELECT '${'x'.repeat(MAX_TEXT_BYTES)}'`,
    ]) {
      assert.equal(run(text).kind, 'unparseable');
    }
    works();
  });

  it('says where the grammar refused a text', () => {
    const analysis = run("SELECT 'ä' FORM customers x");
    assert.deepEqual(analysis, {
      kind: 'unparseable',
      message: 'syntax error at or near "customers"',
      position: 17,
    });
  });

  it('gives a value for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => run(text).kind.length > 0),
      { numRuns: 2000 },
    );
  });

  it('gives a value for any mutation of a statement', () => {
    const tokens = STATEMENTS.flatMap((text) => text.split(/(\s+|[(),;.])/)).filter((token) => token !== '');
    const mutation = fc.record({
      statement: fc.constantFrom(...STATEMENTS),
      at: fc.nat(40),
      remove: fc.nat(3),
      insert: fc.array(fc.constantFrom(...tokens), { maxLength: 4 }),
    });
    const mutate = ({
      statement,
      at,
      remove,
      insert,
    }: {
      statement: string;
      at: number;
      remove: number;
      insert: string[];
    }) => {
      const parts = statement.split(/(\s+|[(),;.])/);
      parts.splice(at % parts.length, remove, ` ${insert.join(' ')} `);
      return parts.join('');
    };
    fc.assert(
      fc.property(mutation, (value) => run(mutate(value)).kind.length > 0),
      { numRuns: 5000 },
    );
  });

  it('never calls an answer clear that has a protected column in its target list', () => {
    const wrap = fc.constantFrom(
      'X',
      '(X)',
      'upper(X)',
      'X || 1',
      'coalesce(X, 1)',
      '(SELECT X)',
      'ROW(X)',
      'X::text',
      'ARRAY[X]',
      'max(X)',
      'mine(X)',
      'X IS NULL',
      'X > 1',
      '(X, 1)',
      'json_build_object(1, X)',
      'CASE WHEN id = 1 THEN X END',
      'nullif(X, 1)',
      'X COLLATE "C"',
      'X[1]',
      '(X).a',
      'X IN (1)',
      'EXISTS (SELECT 1 WHERE X = 1)',
      'sum(X) OVER (ORDER BY id)',
      'count(DISTINCT X)',
      'xmlforest(X)',
      'greatest(X, 1)',
    );
    const outer = fc.constantFrom(
      'Q',
      'SELECT * FROM (Q) q',
      'WITH q AS (Q) SELECT * FROM q',
      'Q UNION ALL SELECT 1',
      'VALUES ((Q))',
      'SELECT q FROM (Q) q',
      'SELECT (Q)',
      'SELECT ARRAY(Q)',
      'CREATE TABLE z AS Q',
      'COPY (Q) TO STDOUT',
      'EXPLAIN Q',
      'INSERT INTO orders Q',
      'DECLARE c CURSOR FOR Q; FETCH c',
      'PREPARE p AS Q; EXECUTE p',
    );
    const column = fc.constantFrom('card', 'c.n', 'secret', 'c', 'c.email');
    fc.assert(
      fc.property(column, fc.array(wrap, { maxLength: 4 }), outer, (name, wraps, text) => {
        const target = wraps.reduce<string>((inner, one) => one.replace('X', () => inner), name);
        const analysis = run(text.replace('Q', () => `SELECT ${target} FROM customers c`));
        if (analysis.kind === 'parsed') assert.notEqual(analysis.statements.at(-1)?.masks.kind, 'clear');
      }),
      { numRuns: 5000 },
    );
  });
});
