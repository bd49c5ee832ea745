import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern, MatchBudget, MAX_MATCH_INPUT, MAX_MATCH_STEPS, type Pattern } from './pattern.ts';

function pattern(source: string): Pattern {
  const result = compilePattern(source);
  assert.ok(result.kind === 'pattern', source);
  return result.pattern;
}

/** Each makes a backtracking matcher need time exponential or at least quadratic in the text. */
const CATASTROPHIC: readonly (readonly [source: string, text: (length: number) => string])[] = [
  ['^(a+)+$', (length) => `${'a'.repeat(length)}b`],
  ['^(a|a)*$', (length) => `${'a'.repeat(length)}b`],
  ['(x+x+)+y', (length) => 'x'.repeat(length)],
  ['^(([a-z])+.)+[A-Z]([a-z])+$', (length) => 'a'.repeat(length)],
  ['\\s*;?\\s*$', (length) => `${' '.repeat(length)}x`],
];

test('catastrophic patterns answer on long texts, within steps linear in the text', () => {
  for (const [source, text] of CATASTROPHIC) {
    const compiled = pattern(source);
    for (const length of [1000, 2000, 4000]) {
      const budget = new MatchBudget();
      // A backtracking matcher would not come back from the first of them.
      budget.match(compiled, text(length));
      const spent = MAX_MATCH_STEPS - budget.left;
      assert.equal(spent, compiled.size * text(length).length);
    }
  }
});

test('patterns that are refused', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['(', /not RE2 syntax/],
    ['(a)\\1', /not RE2 syntax/],
    ['a(?=b)', /not RE2 syntax/],
    ['(?<=a)b', /not RE2 syntax/],
    ['((a{100}){100}){100}', /not RE2 syntax/],
    ['(abcdefghij){200}', /compiles to/],
    ['a'.repeat(2000), /longer than/],
  ];
  for (const [source, message] of refused) {
    const result = compilePattern(source);
    assert.ok(result.kind === 'invalid', source);
    assert.match(result.message, message);
  }
});

test('a text too long, and a budget used up, fail', () => {
  const compiled = pattern('x');
  assert.throws(() => new MatchBudget().match(compiled, 'y'.repeat(MAX_MATCH_INPUT + 1)), RangeError);
  const budget = new MatchBudget();
  const large = pattern('(ab|cd){100}z');
  const text = 'a'.repeat(20_000);
  assert.throws(() => {
    for (let round = 0; round < 1000; round++) budget.match(large, text);
  }, RangeError);
  budget.reset();
  assert.equal(budget.match(large, text), false);
});

test('characters beyond ASCII', () => {
  assert.equal(new MatchBudget().match(pattern('^.$'), '😀'), true);
  assert.equal(new MatchBudget().match(pattern('^a.b$'), 'a\0b'), true);
  assert.equal(new MatchBudget().match(pattern('x'), '\ud800'), false);
});
