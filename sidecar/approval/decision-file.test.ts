import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decisionId, parseDecision, VERDICTS } from './decision-file.ts';
import { isApprovalName, matchingNames, newApprovalName } from './name.ts';

const field = fc.oneof(
  fc.constantFrom('orders-db-7f3k2m', 'Approve', 'Modify', 'Deny', '', null, 'x'.repeat(2000)),
  fc.jsonValue({ maxDepth: 1 }),
);
const object = fc.dictionary(
  fc.constantFrom('approval', 'digest', 'shown', 'verdict', 'reason', 'modified', '__proto__', 'by'),
  field,
);

test('any text is a whole decision or one complaint', () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    object.map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(text, (written) => {
      const decision = parseDecision(written);
      if (typeof decision === 'string') return;
      assert.ok(isApprovalName(decision.approval) && VERDICTS.includes(decision.verdict));
      assert.equal(
        typeof decision.digest + typeof decision.shown + typeof decision.reason,
        'stringstringstring',
      );
      assert.equal(decision.verdict === 'Modify', decision.modified !== null);
      assert.deepEqual(Object.keys(decision).sort(), [
        'approval',
        'digest',
        'modified',
        'reason',
        'shown',
        'verdict',
      ]);
    }),
    { numRuns: 3_000 },
  );
});

test('only finished files have an identifier', () => {
  const id = '3f0f3c0e-0000-4000-8000-0123456789ab';
  assert.equal(decisionId(`${id}.json`), id);
  for (const file of [
    `.${id}.tmp`,
    `${id}.json~`,
    `../${id}.json`,
    `${id.toUpperCase()}.json`,
    'orders.json',
    `${id}.json\n`,
  ]) {
    assert.equal(decisionId(file), null, file);
  }
});

test('names are safe in a path whatever the connection is called', () => {
  fc.assert(
    fc.property(fc.string(), (connection) => {
      const name = newApprovalName(connection);
      assert.ok(isApprovalName(name), name);
      assert.match(name, /-[0-9abcdefghjkmnpqrstvwxyz]{6}$/);
    }),
    { numRuns: 500 },
  );
  for (const bad of ['', '.', '..', 'a/b', 'a..b', '-a', 'A', 'a\0', 'a\n', 'x'.repeat(129)]) {
    assert.ok(!isApprovalName(bad), JSON.stringify(bad));
  }
});

test('what a person types finds the names that it can mean', () => {
  const names = ['orders-db-7f3k2m', 'orders-db-7g0000', 'billing-7f9999'];
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['orders-db-7f3k2m', ['orders-db-7f3k2m']],
    ['orders-db-7f', ['orders-db-7f3k2m']],
    ['7F3', ['orders-db-7f3k2m']],
    ['7f', ['orders-db-7f3k2m', 'billing-7f9999']],
    ['billing', ['billing-7f9999']],
    ['', []],
    ['x', []],
  ];
  for (const [typed, expected] of cases) assert.deepEqual(matchingNames(typed, names), expected, typed);
});
