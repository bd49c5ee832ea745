import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { tooCostlyToLex } from './lexing-cost.ts';
import { loadParser, parse } from './parser.ts';

describe('texts that the lexer would take too long for', () => {
  before(loadParser);

  const costly: readonly (readonly [string, string])[] = [
    ['comments in comments', '/*'.repeat(50_000)],
    ['signs', `SELECT 1 ${'+'.repeat(20_000)} 1`],
    ['signs by turns', `SELECT 1 ${'+-'.repeat(10_000)} 1`],
    ['signs behind others', `SELECT 1 ${'<'.repeat(100_000)}${'+'.repeat(1_000)} 1`],
    ['many runs', `SELECT 1 ${`${'+'.repeat(900)} `.repeat(200)} 1`],
  ];
  for (const [name, text] of costly) {
    it(`refuses ${name}, at once`, () => {
      assert.ok(tooCostlyToLex(text));
      const begun = performance.now();
      assert.equal(parse(text).kind, 'unparseable');
      assert.ok(performance.now() - begun < 30_000);
    });
  }

  const usual: readonly string[] = [
    `/${'*'.repeat(200)}/ SELECT 1`,
    `-- ${'='.repeat(5_000)}\nSELECT 1`,
    `${'-'.repeat(5_000)}\nSELECT 1`,
    `SELECT '${`${'='.repeat(80)}\n+${'-'.repeat(78)}+\n`.repeat(1_000)}'`,
    `SELECT '${'+'.repeat(400)}'`,
    `SELECT 1${' + 1'.repeat(500)}`,
    `${'/* '.repeat(500)}${'*/ '.repeat(500)} SELECT 1`,
  ];
  for (const text of usual) {
    it(`takes ${JSON.stringify(text.slice(0, 30))}`, () => {
      assert.equal(parse(text).kind, 'parsed');
    });
  }
});
